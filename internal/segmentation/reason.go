package segmentation

import (
	"errors"
	"regexp"
	"strings"
)

// sourcePlace is where in ONNX Runtime's own source an error was thrown: a file of
// C++ with its line, and often the signature of the function.
var sourcePlace = regexp.MustCompile(`\S*\.(?:cc|cpp|cxx|h|hpp):\d+\s+(?:[\w~<>:&*, ]*::[\w~<>]+\([^()]*(?:\([^()]*\)[^()]*)*\)(?:::<lambda\S*)?(?: const)?\s*)?`)

// reason returns an error of ONNX Runtime as it concerns the owner of a model,
// without what only its authors need.
func reason(err error) error {
	text := err.Error()
	for _, prefix := range []string{"Error creating C session: ", "Error running network: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	text = strings.TrimSpace(sourcePlace.ReplaceAllString(text, ""))
	if text == "" || text == err.Error() {
		return err
	}
	return errors.New(text)
}
