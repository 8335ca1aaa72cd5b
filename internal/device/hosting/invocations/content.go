package invocations

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
)

// The types of bodies and answers.
const (
	typeJSON  = "application/json"
	typeLines = "application/jsonlines"
	typePNG   = "image/png"
	typeGzip  = "application/gzip"
	typeDICOM = "application/dicom"
)

// content is what a body holds.
type content uint8

const (
	contentSlice    content = iota // PNG or JPEG
	contentDocument                // a request document, or several
	contentLines                   // a request document a line
	contentScan                    // NIfTI, DICOM, or a zip of DICOM
)

// bodyReader is a body of which the first bytes were looked at.
type bodyReader struct{ *bufio.Reader }

// contents are the types that say what a body holds. Where it has none, or one that
// says nothing, its first bytes do: a transform job gives all its files one type.
var contents = map[string]content{
	"image/png": contentSlice, "image/x-png": contentSlice, "image/jpeg": contentSlice, "image/jpg": contentSlice,
	typeJSON: contentDocument, typeLines: contentLines, "application/x-jsonlines": contentLines, "application/x-ndjson": contentLines,
	"application/x-nifti": contentScan, "application/nifti": contentScan, "application/vnd.unknown.nifti-1": contentScan,
	typeDICOM: contentScan, typeGzip: contentScan, "application/x-gzip": contentScan,
	"application/zip": contentScan, "application/x-zip-compressed": contentScan,
}

var noTypes = []string{"", "application/octet-stream", "binary/octet-stream", "application/x-image", "application/x-www-form-urlencoded"}

// contentOf tells what the body holds, and returns it with a buffer.
func contentOf(r *http.Request) (*bodyReader, content, error) {
	body := &bodyReader{bufio.NewReaderSize(r.Body, 64<<10)}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, 0, errType
	}
	if c, known := contents[kind]; known {
		return body, c, nil
	}
	if !slices.Contains(noTypes, kind) {
		return nil, 0, errType
	}
	head, err := body.Peek(16)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, readError(err)
	}
	trimmed := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(head) == 0:
		return nil, 0, invalid("the body is empty", nil)
	case bytes.HasPrefix(head, []byte("\x89PNG")), bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return body, contentSlice, nil
	case bytes.HasPrefix(trimmed, []byte("{")):
		return body, contentDocument, nil
	}
	return body, contentScan, nil
}
