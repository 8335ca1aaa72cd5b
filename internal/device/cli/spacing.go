package cli

import (
	"errors"
	"fmt"

	"github.com/brainseg/brainseg/internal/device/request"
)

const spacingUsage = "size of a pixel in mm, or across,down (default: what the file states; otherwise guessed where a head would be too large or small)"

// spacing reads a --spacing flag; zero where it is not given.
func spacing(flag []float64) (mm [2]float64, err error) {
	switch len(flag) {
	case 0:
		return mm, nil
	case 1:
		mm = [2]float64{flag[0], flag[0]}
	case 2:
		mm = [2]float64{flag[0], flag[1]}
	default:
		return mm, usageError{errors.New("--spacing takes one number of millimetres, or two")}
	}
	for _, v := range mm {
		if !(v >= request.MinSpacing && v <= request.MaxSpacing) {
			return mm, usageError{fmt.Errorf("--spacing is %g to %g mm", request.MinSpacing, request.MaxSpacing)}
		}
	}
	return mm, nil
}
