package modelcheck

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/brainseg/brainseg/internal/model"
)

// Print writes a report for people.
func Print(w io.Writer, r *model.Verification) {
	if m := r.Measured; m != nil {
		fmt.Fprintf(w, "  %d x %d slice in one thread: p50 %.2f ms, p90 %.2f ms, processor time %.2f ms; peak memory %.0f MB (ONNX Runtime %s, %s)\n",
			m.Width, m.Height, m.P50, m.P90, m.CPU, m.PeakMemory, m.ONNXRuntime, m.Processor)
	}
	if len(r.Golden) > 0 {
		compared := 0
		for _, mask := range r.Golden {
			if mask.Agreement != nil {
				compared++
			}
		}
		fmt.Fprintf(w, "  golden slices: %d run, %d compared with their masks\n", len(r.Golden), compared)
	}
	if a := r.Accuracy; a != nil {
		fmt.Fprintf(w, "  Dice on %d slices of %d images:", a.Slices, a.Images)
		for _, name := range slices.Sorted(maps.Keys(a.Dice)) {
			fmt.Fprintf(w, " %s %.3f,", name, a.Dice[name])
		}
		fmt.Fprintf(w, " mean %.3f, worst image %.3f\n", a.MeanDice, a.WorstImage)
	}
}
