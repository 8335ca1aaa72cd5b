package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// giveOutput answers with a file that a request made: mask or overlay of a slice, or
// a result of a scan by its kind.
func (a *API) giveOutput(w http.ResponseWriter, r *http.Request) {
	result, stage, known := a.find(w, r)
	if !known {
		return
	}
	if stage != job.StageAnswered {
		problem.Write(w, problem.New(problem.CodeUnfinished, "the request has no answer yet"))
		return
	}
	written := output(result, r.PathValue("output"))
	switch {
	case written == nil:
		problem.Write(w, problem.New(problem.CodeNoOutput, "the request has no such output"))
	case written.Path == "" && written.Base64 == nil:
		problem.Write(w, problem.New(problem.CodeNoOutput, "this output is in S3, where the result says"))
	default:
		writeFile(w, r, written)
	}
}

// output is the file of a result by its name, nil where there is none. Of several of
// a kind the last is the one that the others belong to.
func output(result request.Result, name string) *request.File {
	switch {
	case result.Scan == nil && name == "mask":
		return result.Mask
	case result.Scan == nil && name == "overlay":
		return result.Overlay
	case result.Scan == nil:
		return nil
	}
	for _, f := range slices.Backward(result.Scan.Files) {
		if string(f.Kind) == name {
			return &f.File
		}
	}
	return nil
}

// writeFile answers with a file, if it still is the one that was written.
func writeFile(w http.ResponseWriter, r *http.Request, f *request.File) {
	content := io.ReadSeeker(bytes.NewReader(f.Base64))
	if f.Base64 == nil {
		file, err := boundedfile.Open(f.Path)
		if err != nil {
			problem.Write(w, errGone)
			return
		}
		defer file.Close()
		if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != int64(f.Bytes) {
			problem.Write(w, errGone)
			return
		}
		content = file
	}
	sum := sha256.New()
	_, err := io.Copy(sum, content)
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		problem.Write(w, errGone)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType(f.Path))
	h.Set("Content-Length", strconv.Itoa(f.Bytes))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:") // a report is a page
	if r.Method != http.MethodHead {
		_, _ = io.CopyN(w, content, int64(f.Bytes)) // a client that has gone needs no answer
	}
}

var errGone = problem.New(problem.CodeNoOutput, "the file is gone, or was replaced")

// mediaTypes are those of results, by the ends of their names.
var mediaTypes = []struct{ suffix, kind string }{
	{".nii.gz", "application/gzip"}, {".html", "text/html; charset=utf-8"}, {".json", typeJSON}, {".dcm", "application/dicom"},
}

func mediaType(path string) string {
	for _, m := range mediaTypes {
		if strings.HasSuffix(path, m.suffix) {
			return m.kind
		}
	}
	return typePNG
}
