package store

import (
	"os"
	"path/filepath"
	"testing"
)

func BenchmarkWrite(b *testing.B) {
	store, err := New(Options{OutputRoot: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 2500)
	for b.Loop() {
		if _, err := store.Write(b.Context(), "patient/m.png", data, WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	root := b.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.png"), make([]byte, 40_000), 0o644); err != nil {
		b.Fatal(err)
	}
	store, err := New(Options{InputRoots: []string{root}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Read(b.Context(), Reference{Location: "a.png"}); err != nil {
			b.Fatal(err)
		}
	}
}
