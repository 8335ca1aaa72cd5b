package invocations

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/volume"
)

// scanAnswers are the types of what a scan can be answered with.
var scanAnswers = []string{typeGzip, typeJSON, typeDICOM, "application/x-gzip", "application/octet-stream"}

// scan answers a whole scan with its label map, its figures, or a DICOM SEG.
func (in *invocation) scan() {
	kind := httpapi.Choose(in.r.Header, scanAnswers...)
	if kind == "" {
		problem.Write(in.w, notAcceptable(typeGzip+" (the label map in NIfTI), "+typeJSON+" (the millilitres) or "+typeDICOM+" (a DICOM SEG)"))
		return
	}
	number, start := in.numbers.Add(1), time.Now()
	answer, err := in.segmentScan(kind)
	if err != nil {
		in.options.Logger.Warn("scan failed", zap.Uint64("scan", number), zap.String("code", string(request.AsError(err).Code)))
		in.fails(err, kind == typeJSON)
		return
	}
	in.options.Logger.Info("scan processed", zap.Uint64("scan", number), zap.Duration("took", time.Since(start)))
	in.w.Header().Set("Content-Type", kind)
	in.w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	in.w.Write(answer)
}

// segmentScan reads the body, waits for its turn, and returns the answer.
func (in *invocation) segmentScan(kind string) ([]byte, error) {
	select {
	case in.scans <- struct{}{}:
		defer func() { <-in.scans }()
	default:
		return nil, request.NewError(request.CodeBusy, "too many scans wait already, try again later", nil)
	}
	// A folder of its own: a DICOMDIR is read with what lies beside it.
	folder, err := in.options.Spool.Take()
	if err != nil {
		return nil, noDisk(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "scan")
	if err := in.store(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(in.r.Context())
	defer cancel()
	defer context.AfterFunc(in.work, cancel)()
	select {
	case in.turn <- struct{}{}:
		defer func() { <-in.turn }()
	case <-ctx.Done():
		return nil, errStopping
	}
	return in.answerScan(ctx, path, kind)
}

// store writes the body to a file.
func (in *invocation) store(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return noDisk(err)
	}
	defer file.Close()
	_, err = io.Copy(file, in.body)
	var refused *os.PathError // of the file; others are the client's
	if errors.As(err, &refused) {
		return noDisk(err)
	}
	if err != nil {
		return readError(err)
	}
	if err := file.Close(); err != nil {
		return noDisk(err)
	}
	return nil
}

// answerScan is called for one scan at a time.
func (in *invocation) answerScan(ctx context.Context, path, kind string) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			in.options.Logger.Error("scan failed by a fault of the program", zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	network, release, err := in.engine.Lend()
	if err != nil {
		return nil, err
	}
	defer release()
	wanted, suffix := scans.Labels, scans.LabelsSuffix
	switch kind {
	case typeJSON:
		wanted, suffix = scans.Volumes, ""
	case typeDICOM:
		wanted, suffix = scans.SEG, scans.SEGSuffix
	}
	if err := scans.Check([]scans.Kind{wanted}, network.Manifest()); err != nil {
		return nil, invalid(err.Error(), nil)
	}
	result, err := scans.Segment(ctx, path, network, scans.Options{
		Kinds: []scans.Kind{wanted}, Workers: in.engine.Config().Service.Workers, Version: in.options.Version,
	})
	var refusal *volume.Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, refused(refusal)
	case ctx.Err() != nil:
		return nil, errStopping
	case err != nil:
		return nil, err
	}
	var out bytes.Buffer
	for _, file := range result.Files("") {
		if suffix != "" && file.Suffix != suffix {
			continue
		}
		if err := file.Write(&out); err != nil {
			return nil, fmt.Errorf("write the answer of a scan: %w", err)
		}
	}
	return out.Bytes(), nil
}
