package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"os"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// goContestantCommand makes this program a contestant: the component's own
// packages, called directly. Next to the component it shows what IPC costs.
const goContestantCommand = "go-contestant"

func goContestant(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: %s MODEL LIBRARY FOLDER", goContestantCommand)
	}
	images, err := store.New(store.Options{InputRoots: args[2:], OutputRoot: args[2]})
	if err != nil {
		return err
	}
	defer images.Close()
	model, err := segmentation.Open(args[0], segmentation.Options{Library: args[1]})
	if err != nil {
		return err
	}
	defer model.Close()
	ctx := context.Background()
	var (
		picture *image.Gray
		mask    []uint8
		encoded bytes.Buffer
	)
	// A run is all of Segment: padding, window and checks too, which the other
	// contestants do outside of theirs.
	run := func() error { return model.Segment(ctx, picture, mask) }
	segment := func(in, out string) error {
		data, err := images.Read(ctx, store.Reference{Location: in})
		if err != nil {
			return err
		}
		if picture, _, err = imaging.Decode(data, imaging.Limits{}); err != nil {
			return err
		}
		width, height := picture.Rect.Dx(), picture.Rect.Dy()
		if cap(mask) < width*height {
			mask = make([]uint8, width*height)
		}
		mask = mask[:width*height]
		if err := run(); err != nil {
			return err
		}
		encoded.Reset()
		if err := imaging.EncodeMask(&encoded, mask, width, height); err != nil {
			return err
		}
		_, err = images.Write(ctx, out, encoded.Bytes())
		return err
	}
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		fields := strings.Fields(commands.Text())
		n, work := 1, run
		switch {
		case len(fields) == 3 && fields[0] == "slice":
			work = func() error { return segment(fields[1], fields[2]) }
		case len(fields) == 2 && fields[0] == "run" && picture != nil:
			if _, err := fmt.Sscan(fields[1], &n); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown command %q", commands.Text())
		}
		var answer strings.Builder
		for range n {
			start := time.Now()
			if err := work(); err != nil {
				return err
			}
			fmt.Fprintf(&answer, "%d ", time.Since(start).Nanoseconds())
		}
		fmt.Println(strings.TrimSpace(answer.String()))
	}
	return nil
}
