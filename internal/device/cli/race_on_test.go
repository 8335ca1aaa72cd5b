//go:build race

package cli_test

// raceDetector tells whether the program under test carries it.
const raceDetector = true
