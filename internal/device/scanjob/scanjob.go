// Package scanjob carries out requests of whole scans: it finds the scan below
// the configured folders, has package scans segment it, has the results written,
// and makes the answer. It also says when: a Lane works on one scan after the
// other, and a Precedence lets requests of slices go first.
//
// It knows no queue, sends nothing and signs no answer; package engine does, and
// calls it.
package scanjob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"os"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
)

// Job is a scan to be segmented. All but Progress, Done, Version and Logger must be set.
type Job struct {
	Request request.Request
	// Roots are the folders below which scans may be read; a relative path is
	// taken from the first.
	Roots []string
	// Fetch copies a scan in S3 into a folder, and returns the path of the copy; see
	// store.Store. Its errors are as those of Write.
	Fetch func(ctx context.Context, location, folder string) (string, error)
	// Network segments the slices, Workers of them at once.
	Network scans.Network
	Workers int
	// Slices go before the slices of the scan.
	Slices *Precedence
	// Write stores a result; see store.Store. Its errors are *request.Error
	// wherever the requester can do something about them.
	Write func(ctx context.Context, destination string, data []byte) (*request.File, error)
	// Progress, if not nil, is told ten times how much is segmented, above 0 to 1.
	Progress func(share float64)
	// Done, if not nil, is called when nothing of the job is used any more. left
	// tells that Run returned before.
	Done func(left bool)
	// Version of the program, for DICOM objects.
	Version string
	// Logger is told of faults of the component. Default: none.
	Logger *zap.Logger
}

// ErrLeft is wrapped by the error of a job that was left behind.
var ErrLeft = errors.New("the storage or the network does not come back")

// grace is for how long a job may go on once its context has ended.
const grace = 3 * time.Second

// Run does the job. Its errors are *request.Error wherever the requester can do
// something about them, and the context's where that ended. Where results were
// written before it failed, they stay.
//
// A file system that does not answer heeds no context: Run leaves the job behind
// then, and Done tells when it has come back.
func (j Job) Run(ctx context.Context) (request.Result, error) {
	if j.Logger == nil {
		j.Logger = zap.NewNop()
	}
	type outcome struct {
		result request.Result
		err    error
	}
	came := make(chan outcome) // without room: whoever sends knows whether it was taken
	left := make(chan struct{})
	go func() {
		var o outcome
		o.result, o.err = j.guarded(ctx)
		late := false
		select {
		case came <- o:
		case <-left:
			late = true
		}
		if j.Done != nil {
			j.Done(late)
		}
	}()
	select {
	case o := <-came:
		return o.result, o.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case o := <-came:
		return o.result, o.err
	case <-timer.C:
		close(left)
		return request.Result{}, request.NewError(request.CodeStorageUnavailable, "the storage does not answer", errors.Join(ErrLeft, context.Cause(ctx)))
	}
}

// guarded turns a panic into an error.
func (j Job) guarded(ctx context.Context) (r request.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			j.Logger.Error("a scan failed by a fault of the component", zap.ByteString("stack", debug.Stack()))
		}
	}()
	return j.run(ctx)
}

func (j Job) run(ctx context.Context) (request.Result, error) {
	if ctx.Err() != nil {
		return request.Result{}, context.Cause(ctx)
	}
	start := time.Now()
	want := j.Request.Scan
	if err := scans.Check(want.Kinds, j.Network.Manifest()); err != nil {
		return request.Result{}, request.NewError(request.CodeInvalidRequest, "the model cannot make all of output.kinds: "+err.Error(), err).WithSummary("the model cannot make all of output.kinds")
	}
	path, remove, err := j.place(ctx)
	if err != nil {
		return request.Result{}, err
	}
	defer remove()
	told := 0
	segmented, err := scans.Segment(ctx, path, givingWay{j.Network, j.Slices}, scans.Options{
		Read:  volume.Options{Assume: want.Assume, Series: want.Series, Volume: want.Volume},
		Kinds: want.Kinds, Deidentify: want.Deidentify, Workers: j.Workers, Version: j.Version,
		Progress: func(done, total int) {
			if tenth := done * 10 / total; j.Progress != nil && tenth > told {
				told = tenth
				j.Progress(float64(tenth) / 10)
			}
		},
	})
	if err != nil {
		return request.Result{}, explain(err)
	}
	segmentedAt := time.Now()
	r := request.Result{
		ID: j.Request.ID, Status: request.StatusSucceeded, Complete: true, Scan: describe(segmented.Report),
		Timings: &request.Timings{Inference: request.Milliseconds(segmentedAt.Sub(start))},
	}
	destination := j.Request.ScanDestination()
	var content bytes.Buffer
	for _, file := range segmented.Files(j.Request.ID) {
		content.Reset()
		if err := file.Write(&content); err != nil {
			return request.Result{}, fmt.Errorf("make the result %s: %w", file.Suffix, err)
		}
		written, err := j.Write(ctx, destination+file.Suffix, content.Bytes())
		if err != nil {
			return request.Result{}, err
		}
		r.Scan.Files = append(r.Scan.Files, request.ScanFile{Kind: file.Kind, File: *written})
	}
	r.Timings.Write = request.Milliseconds(time.Since(segmentedAt))
	return r, nil
}

// place finds the scan, or copies it from S3. remove ends the copy.
func (j Job) place(ctx context.Context) (path string, remove func(), err error) {
	if j.Request.Image.S3 == "" {
		path, err = locate(j.Roots, j.Request.Image.Path)
		return path, func() {}, err
	}
	folder, err := os.MkdirTemp("", "brainseg-scan-") // mode 0700
	if err != nil {
		return "", nil, request.NewError(request.CodeStorageUnavailable, "read image: there is no room for a copy of the scan", err)
	}
	remove = func() { _ = os.RemoveAll(folder) } // what stays is in the system's folder for that
	if path, err = j.Fetch(ctx, j.Request.Image.S3, folder); err != nil {
		remove()
		return "", nil, err
	}
	return path, remove, nil
}

// describe is the report as an answer has it.
func describe(from report.Report) *request.ScanResult {
	s := &request.ScanResult{
		BrainMillilitres: from.BrainMillilitres, Planes: from.Planes, Slices: from.Slices,
		Quality: request.ScanQuality{Score: from.Quality.Score, Agreement: from.Quality.Agreement, Flags: []string{}},
		Grid:    &request.ScanGrid{Size: from.Grid.Size, Spacing: from.Grid.Spacing, Orientation: from.Grid.Orientation},
	}
	for _, t := range from.Tissues {
		s.Tissues = append(s.Tissues, request.ScanTissue(t))
	}
	for _, f := range from.Quality.Flags {
		s.Quality.Flags = append(s.Quality.Flags, f.Name)
	}
	for _, w := range from.Warnings {
		s.Warnings = append(s.Warnings, w.Name)
	}
	return s
}

// explain makes a refusal an error for the requester. Others are told its code
// only, for the sentence may name a file.
func explain(err error) error {
	var refusal *volume.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	code := request.CodeImageUnreadable
	switch refusal.Code {
	case volume.CodeNoImage:
		code = request.CodeImageNotFound
	case volume.CodeTooLarge:
		code = request.CodeImageTooLarge
	}
	return request.NewError(code, refusal.Error(), err).WithSummary("the scan is refused: " + string(refusal.Code)).WithReason(string(refusal.Code))
}

// givingWay is a network that lets requests of slices go before the slices of a
// scan.
type givingWay struct {
	scans.Network
	slices *Precedence
}

var _ segmentation.Detailed = givingWay{}

func (g givingWay) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	_, err := g.SegmentDetailed(ctx, slice, mask, nil)
	return err
}

// SegmentDetailed turns a panic into an error: it runs on goroutines of package
// threeplane.
func (g givingWay) SegmentDetailed(ctx context.Context, slice *image.Gray, mask, scores []uint8) (said *model.Judgement, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the network: %v", p)
		}
	}()
	err = g.slices.After(ctx, func() (err error) {
		said, err = segmentation.Detail(ctx, g.Network, slice, mask, scores)
		return err
	})
	return said, err
}

// Kept holds results in memory, for those who asked that nothing be written. It has
// one user at a time.
type Kept struct{ Files [][]byte }

// Write keeps a copy of a result, and describes it.
func (k *Kept) Write(data []byte) *request.File {
	k.Files = append(k.Files, bytes.Clone(data))
	sum := sha256.Sum256(data)
	return &request.File{SHA256: hex.EncodeToString(sum[:]), Bytes: len(data)}
}
