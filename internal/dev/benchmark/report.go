package main

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/brainseg/brainseg/internal/model"
)

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// print writes the table, and below it the ratios that the project promises.
func (all results) print(w io.Writer, m *model.Manifest, stream []slice) {
	fmt.Fprintf(w, "\nModel %s %s, %d slices (%d x %d to %d x %d), %s/%s, one thread, all contestants taking turns\n\n",
		m.Name, m.Version, len(stream), stream[0].width, stream[0].height, stream[len(stream)-1].width, stream[len(stream)-1].height,
		runtime.GOOS, runtime.GOARCH)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\trun p50\tslice p50\tslice p95\tCPU/slice\tpeak\tfirst mask\tagreement\t")
	fmt.Fprintln(t, "\tms\tms\tms\tms\tMB\tms\t%\t")
	for _, r := range all {
		run := "-"
		if len(r.runs) > 0 {
			run = fmt.Sprintf("%.2f", ms(median(r.runs)))
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t%.0f\t%.3f\t\n", r.name, run, ms(median(r.stream)), ms(percentile(r.stream, 0.95)),
			ms(r.cpu)/float64(len(r.stream)), float64(r.peak)/1e6, ms(r.first), 100*r.agreement)
	}
	t.Flush()

	floor, goInProcess, node, python, own := all[0], all[1], all[2], all[3], all[4]
	ratio := func(a, b time.Duration) float64 { return float64(a) / float64(b) }
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what string, value, bar float64, format string) {
		verdict := "ok"
		if value > bar {
			verdict = "missed"
		}
		fmt.Fprintf(t, "%s\t"+format+"\t(bar "+format+")\t%s\n", what, value, bar, verdict)
	}
	fmt.Fprintln(t)
	line("Go run / C run, p50", ratio(median(goInProcess.runs), median(floor.runs)), 1.05, "%.3f")
	line("component / C, p50 of a slice", ratio(median(own.stream), median(floor.stream)), 1.08, "%.3f")
	line("component / C, CPU of a slice", ratio(own.cpu, floor.cpu), 1.08, "%.3f")
	line("component / Node, p50 of a slice", ratio(median(own.stream), median(node.stream)), 0.85, "%.3f")
	line("component / Python with Flask, p50 of a slice", ratio(median(own.stream), median(python.stream)), 0.74, "%.3f")
	fmt.Fprintf(t, "for comparison: C / Python with Flask\t%.3f\n", ratio(median(floor.stream), median(python.stream)))
	line("component's time outside of inference, %", 100*own.outsideShare, 20, "%.1f")
	line("component's peak memory, MB", float64(own.peak)/1e6, 70, "%.1f")
	line("component's start to RUNNING, self-test included, ms", ms(own.running), 400, "%.0f")
	t.Flush()
}
