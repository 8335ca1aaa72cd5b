package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

const (
	typeGzip = "application/gzip"
	// maxScan is the largest scan that is taken, in bytes as it is sent.
	maxScan = 256 << 20
	// maxScans is how many scans lie on disk at the same time.
	maxScans = 4
)

// scanTypes are the types of scans: NIfTI, packed or not, and zipped DICOM.
// Which it is, the bytes say.
var scanTypes = []string{typeGzip, "application/x-nifti", "application/zip", "application/octet-stream"}

// segmentScan answers a whole scan with its label map or the result document. The
// scan is on disk while it is worked on; nothing else is, and nothing stays.
func (a *API) segmentScan(w http.ResponseWriter, r *http.Request) {
	e := a.working(w)
	if e == nil {
		return
	}
	kind := Choose(r.Header, typeGzip, typeJSON)
	kinds, err := a.scanKinds(w, r, kind)
	if err == nil && a.spool == nil {
		err = problem.New(problem.CodeNotFound, "scans are not taken here")
	}
	if err != nil {
		refuse(e, w, err)
		return
	}
	select {
	case a.scans <- struct{}{}:
		defer func() { <-a.scans }()
	default:
		err := problem.New(request.CodeBusy, "too many scans wait already, try again later")
		refuse(e, w, err)
		return
	}
	folder, err := a.spool.Take()
	if err != nil {
		err = request.NewError(request.CodeStorageUnavailable, "there is no place on disk for the scan", err)
	} else {
		defer os.RemoveAll(folder)
		err = spoolBody(w, r, filepath.Join(folder, "scan"))
	}
	if err != nil {
		refuse(e, w, err)
		return
	}
	writeScan(w, kind, a.submitScan(e, r, filepath.Join(folder, "scan"), kinds))
}

// scanKinds checks type and size of a scan, and reads the results that are asked
// for, for which there is but one place in a label map.
func (a *API) scanKinds(w http.ResponseWriter, r *http.Request, kind string) ([]request.Kind, error) {
	given, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "":
		return nil, problem.New(problem.CodeNotAcceptable, "the answer is "+typeGzip+" (the label map in NIfTI) or "+typeJSON+", and Accept takes neither")
	case err != nil || !slices.Contains(scanTypes, given):
		w.Header().Set("Accept-Post", strings.Join(scanTypes, ", "))
		return nil, problem.New(problem.CodeUnsupportedType, "the body must be "+typeGzip+" or application/x-nifti (NIfTI), application/zip (DICOM), or application/octet-stream (any of these)")
	case r.ContentLength > maxScan:
		return nil, tooLarge(maxScan, nil)
	}
	kinds := []request.Kind{request.KindLabels}
	if list := r.URL.Query().Get("kinds"); list != "" && kind == typeJSON {
		kinds = nil
		for name := range strings.SplitSeq(list, ",") {
			if k := request.Kind(name); slices.Contains(request.Kinds, k) && !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
				continue
			}
			return nil, request.NewError(request.CodeInvalidRequest, "the parameter kinds holds, each at most once and parted by commas, what output.kinds of a request may", nil)
		}
	}
	return kinds, nil
}

// spoolBody writes the body to a file. Its errors are *request.Error.
func spoolBody(w http.ResponseWriter, r *http.Request, path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		defer file.Close()
		if _, err = io.Copy(file, http.MaxBytesReader(w, r.Body, maxScan)); err == nil {
			err = file.Close()
		}
	}
	var disk *os.PathError // others are the client's
	switch {
	case err == nil:
		return nil
	case errors.As(err, &disk) && !errors.Is(err, os.ErrDeadlineExceeded):
		return request.NewError(request.CodeStorageUnavailable, "there is no place on disk for the scan", err)
	}
	return readError(err, maxScan)
}

// submitScan has a scan segmented, unless the client goes away, and returns when
// nobody reads it any more.
func (a *API) submitScan(e *engine.Engine, r *http.Request, path string, kinds []request.Kind) job.Outcome {
	answers := make(chan job.Outcome, 1)
	asked := request.Request{
		ID: rand.Text(), Image: request.Image{Path: path}, Scan: &request.Scan{Kinds: kinds}, Output: request.Output{Discard: true},
	}
	e.Submit(r.Context(), requester(r), asked, func(o job.Outcome) { answers <- o })
	gone := r.Context().Done()
	var again <-chan time.Time
	for {
		select {
		case o := <-answers:
			return o
		case <-gone:
		case <-again:
		}
		// It may not have come to the scans yet.
		e.Cancel(context.WithoutCancel(r.Context()), asked.ID)
		gone, again = nil, time.After(time.Second)
	}
}

// writeScan answers with the label map, or with the document, which has the last
// file of each kind in it: others only explain that one.
func writeScan(w http.ResponseWriter, kind string, o job.Outcome) {
	result := o.Result
	if failure := result.Error; failure != nil {
		problem.WriteFailure(w, *failure)
		return
	}
	if kind == typeGzip {
		w.Header().Set("Content-Type", typeGzip)
		_, _ = w.Write(o.Files[len(o.Files)-1]) // a client that has gone needs no answer
		return
	}
	var files []request.ScanFile
	for i, f := range result.Scan.Files {
		f.Base64 = o.Files[i]
		if !slices.ContainsFunc(result.Scan.Files[i+1:], func(later request.ScanFile) bool { return later.Kind == f.Kind }) {
			files = append(files, f)
		}
	}
	scan := *result.Scan
	scan.Files = files
	result.Scan = &scan
	writeResult(w, result)
}
