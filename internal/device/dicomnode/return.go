package dicomnode

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/dicomnet"
)

const (
	explicitLE = "1.2.840.10008.1.2.1"
	implicitLE = "1.2.840.10008.1.2"
)

// ByStore returns results by C-STORE.
type ByStore struct {
	// Node is where they go.
	Node dicomnet.Requestor
}

// Return sends a file in an association of its own.
func (r ByStore) Return(ctx context.Context, path string) error {
	file, err := openResult(path)
	if err != nil {
		return err
	}
	defer file.Close()
	// One context each, so that the node cannot choose an encoding that is not there.
	proposals := []dicomnet.Proposal{{SOPClass: file.SOPClass, TransferSyntaxes: []string{file.TransferSyntax}}}
	if file.TransferSyntax == explicitLE {
		proposals = append(proposals, dicomnet.Proposal{SOPClass: file.SOPClass, TransferSyntaxes: []string{implicitLE}})
	}
	a, err := r.Node.Dial(ctx, proposals...)
	if err != nil {
		return fmt.Errorf("return a result by C-STORE: %w", err)
	}
	var data io.Reader = file.Data
	syntax := file.TransferSyntax
	switch {
	case a.Accepts(file.SOPClass, syntax):
	case a.Accepts(file.SOPClass, implicitLE):
		syntax = implicitLE
		in, out := io.Pipe()
		converted := make(chan struct{})
		go func() {
			defer close(converted)
			out.CloseWithError(dicomnet.Implicit(out, file.Data))
		}()
		defer func() { in.Close(); <-converted }()
		data = in
	default:
		_ = a.Release(ctx)
		return fmt.Errorf("return a result by C-STORE: %w: it does not store DICOM Segmentation, which an administrator there can change", ErrRefused)
	}
	status, err := a.Store(ctx, file.SOPClass, file.SOPInstance, syntax, data)
	if err != nil {
		a.Abort()
		return fmt.Errorf("return a result: %w", err)
	}
	_ = a.Release(ctx) // the result is there, whatever becomes of the connection
	switch {
	case status.OK():
		return nil
	case status&0xff00 == dicomnet.OutOfResources:
		return fmt.Errorf("return a result by C-STORE: the node has no room: %v", status)
	}
	return fmt.Errorf("return a result by C-STORE: %w: %v", ErrRefused, status)
}

// openResult opens a file that is to be returned.
func openResult(path string) (*dicomnet.File, error) {
	file, err := dicomnet.OpenFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("return a result: %w: somebody removed the file", ErrRefused)
	}
	if err != nil {
		return nil, fmt.Errorf("return a result: %w", err)
	}
	return file, nil
}

// BySTOW returns results by STOW-RS (PS3.18, 10.5).
type BySTOW struct {
	// URL is the service's, without /studies. Required.
	URL string
	// Authorization is the value of that header. Default: none.
	Authorization string
	// Client sends. Default: one that waits for 5 min.
	Client *http.Client
}

// maxResponse is how many bytes of a response are looked at.
const maxResponse = 1 << 20

// Return sends a file in a request of its own.
func (r BySTOW) Return(ctx context.Context, path string) error {
	if err := r.post(ctx, path); err != nil {
		return fmt.Errorf("return a result by STOW-RS: %w", err)
	}
	return nil
}

func (r BySTOW) post(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: somebody removed the file", ErrRefused)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	in, out := io.Pipe()
	parts := multipart.NewWriter(out)
	written := make(chan struct{})
	go func() {
		defer close(written)
		part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom"}})
		if err == nil {
			_, err = io.Copy(part, bufio.NewReaderSize(file, 64<<10))
		}
		if err == nil {
			err = parts.Close()
		}
		out.CloseWithError(err)
	}()
	defer func() { in.Close(); <-written }()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.URL, "/")+"/studies", in)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", `multipart/related; type="application/dicom"; boundary=`+parts.Boundary())
	request.Header.Set("Accept", "application/dicom+json")
	if r.Authorization != "" {
		request.Header.Set("Authorization", r.Authorization)
	}
	client := r.Client
	if client == nil {
		client = &http.Client{Timeout: 5 * time.Minute}
	}
	// A redirect could take the object, and the authorization, elsewhere.
	sealed := *client
	sealed.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := sealed.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return err
	}
	switch code := response.StatusCode; {
	case code == http.StatusOK, code == http.StatusAccepted:
		return stored(body)
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return fmt.Errorf("the service answered %s", response.Status)
	}
	return fmt.Errorf("%w: the service answered %s", ErrRefused, response.Status)
}

// stored looks for the sequence of what was not stored (PS3.18, I.2). Services put
// the data set into an array or not, and other elements, whose values have other
// forms, beside the sequence.
func stored(body []byte) error {
	const failedSOPSequence, failureReason = "00081198", "00081197"
	var sets []map[string]json.RawMessage
	if err := json.Unmarshal(body, &sets); err != nil {
		sets = make([]map[string]json.RawMessage, 1)
		if err := json.Unmarshal(body, &sets[0]); err != nil {
			return nil // it was told to be stored, in words that are not ours
		}
	}
	for _, set := range sets {
		var failed struct {
			Value []map[string]struct{ Value []any }
		}
		if raw, there := set[failedSOPSequence]; !there {
			continue
		} else if err := json.Unmarshal(raw, &failed); err != nil {
			return fmt.Errorf("%w: failure reasons that cannot be read", ErrRefused)
		}
		if len(failed.Value) > 0 {
			return fmt.Errorf("%w: failure reason %v", ErrRefused, failed.Value[0][failureReason].Value)
		}
	}
	return nil
}
