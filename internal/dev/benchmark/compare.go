package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is what was measured of one contestant.
type result struct {
	name         string
	first        time.Duration // median, process start to first mask
	stream       []time.Duration
	cpu          time.Duration // user and system, of all slices of the stream
	runs         []time.Duration
	peak         int64         // bytes
	agreement    float64       // share of pixels equal to the floor's
	outsideShare float64       // component only
	running      time.Duration // component only: median, process start to RUNNING
}

type results []result

// Each start is followed by this many slices that are not counted.
const warmUp = 10

// Runs of the network alone: so many turns of so many runs each.
const (
	runTurns = 40
	runsEach = 10
)

func compare(ctx context.Context, s settings, list []contestant, stream []slice) (results, error) {
	all := make(results, len(list))
	folders := make([]string, len(list))
	for i, c := range list {
		all[i].name = c.name()
		folders[i] = filepath.Join(s.work, strconv.Itoa(i))
		if own, ok := c.(*component); ok {
			folders[i] = own.masks
			defer own.close()
		}
		if err := os.MkdirAll(folders[i], 0o750); err != nil {
			return nil, err
		}
	}
	out := func(i int, in slice) string { return filepath.Join(folders[i], filepath.Base(in.path)) }

	progress("first masks, %d starts each", s.starts)
	firsts := make([][]time.Duration, len(list))
	for range s.starts {
		for i, c := range list {
			start := time.Now()
			if err := c.start(ctx); err != nil {
				return nil, err
			}
			if _, err := c.slice(ctx, stream[0].path, out(i, stream[0])); err != nil {
				return nil, err
			}
			firsts[i] = append(firsts[i], time.Since(start))
			c.stop()
		}
	}

	for i, c := range list {
		all[i].first = median(firsts[i])
		if err := c.start(ctx); err != nil {
			return nil, err
		}
		for _, in := range stream[:min(warmUp, len(stream))] {
			if _, err := c.slice(ctx, in.path, out(i, in)); err != nil {
				return nil, err
			}
		}
	}
	before := make([]time.Duration, len(list))
	for i, c := range list {
		var err error
		if before[i], err = cpuTime(c.pid()); err != nil {
			return nil, err
		}
	}
	for round := range s.rounds {
		progress("round %d of %d, %d slices", round+1, s.rounds, len(stream))
		turn := 0
		for block := range slices.Chunk(stream, s.turn) {
			for k := range list {
				i := (turn + k) % len(list) // nobody always follows the same one
				times, err := take(ctx, list[i], block, func(in slice) string { return out(i, in) })
				if err != nil {
					return nil, err
				}
				all[i].stream = append(all[i].stream, times...)
			}
			turn++
		}
	}
	for i, c := range list {
		after, err := cpuTime(c.pid())
		if err != nil {
			return nil, err
		}
		all[i].cpu = after - before[i]
		if all[i].peak, err = peakMemory(c.pid()); err != nil {
			return nil, err
		}
		if own, ok := c.(*component); ok {
			all[i].outsideShare = own.outsideInference()
			all[i].running = median(own.starts)
		}
	}
	progress("runs of the network alone")
	for range runTurns {
		for i, c := range list {
			if r, ok := c.(runner); ok {
				times, err := r.run(ctx, runsEach)
				if err != nil {
					return nil, err
				}
				all[i].runs = append(all[i].runs, times...)
			}
		}
	}
	for i := range list {
		equal, pixels := 0, 0
		for _, in := range stream {
			a, b, err := agreement(out(0, in), out(i, in), in)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			equal, pixels = equal+a, pixels+b
		}
		all[i].agreement = float64(equal) / float64(pixels)
		if all[i].agreement < 0.999 {
			return nil, fmt.Errorf("%s: only %.3f %% of the pixels agree with the floor's; this is no comparison", all[i].name, 100*all[i].agreement)
		}
	}
	return all, nil
}

// take gives a contestant its turn.
func take(ctx context.Context, c contestant, block []slice, out func(slice) string) ([]time.Duration, error) {
	times := make([]time.Duration, len(block))
	for k, in := range block {
		var err error
		if times[k], err = c.slice(ctx, in.path, out(in)); err != nil {
			return nil, err
		}
	}
	return times, nil
}

func progress(format string, values ...any) { fmt.Fprintf(os.Stderr, format+"\n", values...) }

// agreement returns how many pixels of two masks are equal, and how many there are.
func agreement(a, b string, s slice) (equal, pixels int, err error) {
	var masks [2]*image.Gray
	for i, path := range []string{a, b} {
		data, err := os.ReadFile(path)
		if err != nil {
			return 0, 0, err
		}
		picture, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			return 0, 0, err
		}
		grey, ok := picture.(*image.Gray)
		if !ok || grey.Rect.Dx() != s.width || grey.Rect.Dy() != s.height {
			return 0, 0, fmt.Errorf("a mask is %T of %v, and the slice has %d x %d pixels", picture, picture.Bounds(), s.width, s.height)
		}
		masks[i] = grey
	}
	for i, v := range masks[0].Pix {
		if v == masks[1].Pix[i] {
			equal++
		}
	}
	return equal, len(masks[0].Pix), nil
}

func median(times []time.Duration) time.Duration { return percentile(times, 0.5) }

func percentile(times []time.Duration, share float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[int(share*float64(len(sorted)-1))]
}

// cpuTime is the user and system time of a process: fields 14 and 15 of
// /proc/PID/stat, in hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field, in brackets, may contain blanks.
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// peakMemory is the largest resident set that a process had, in bytes.
func peakMemory(pid int) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmHWM", pid)
}
