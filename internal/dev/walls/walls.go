// Package walls holds the repository to its own layout, by tests alone: what may
// import what, what each program links, how large files and packages may become,
// and that documents name only links, targets, commands and flags that exist.
//
// It has no code and nobody calls it. ARCHITECTURE.md describes the rooms between
// the walls.
package walls
