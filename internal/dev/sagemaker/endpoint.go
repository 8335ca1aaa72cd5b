// Package sagemaker plays Amazon SageMaker to a container: the calls of an
// endpoint, of an asynchronous one, and of a transform job, as the service's
// documentation says that it makes them, with its bounds.
//
// It starts no container and knows nothing of images of brains. Folders stand for
// prefixes of S3. Tests and the benchmark of transform jobs call it.
package sagemaker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// The service's bounds.
const (
	maxInvocation      = 25 << 20 // bytes of the body of a real-time invocation
	pingTimeout        = 2 * time.Second
	invocationTimeout  = 60 * time.Second
	asynchronousLimit  = time.Hour
	maxPayloadTogether = 100 // megabytes of a transform job, at the same time
)

// Container is where a container listens.
type Container struct {
	URL string
	// Gone, if not nil, is closed when the container has ended.
	Gone <-chan struct{}
}

// Answer is what a container answers.
type Answer struct {
	Status int
	Type   string
	Body   []byte
}

// WaitReady calls /ping until it is answered well.
func (c Container) WaitReady(ctx context.Context) error {
	for {
		limited, cancel := context.WithTimeout(ctx, pingTimeout)
		answer, err := c.call(limited, http.MethodGet, "/ping", nil, nil)
		cancel()
		if err == nil && answer.Status == http.StatusOK {
			return nil
		}
		select {
		case <-c.Gone:
			return errors.New("the container ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("the container is not ready: %w", ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Invoke is InvokeEndpoint: one call, one answer, within the service's bounds.
func (c Container) Invoke(ctx context.Context, body []byte, contentType, accept string) (Answer, error) {
	if len(body) > maxInvocation {
		return Answer{}, fmt.Errorf("InvokeEndpoint takes %d bytes, and these are %d", maxInvocation, len(body))
	}
	ctx, cancel := context.WithTimeout(ctx, invocationTimeout)
	defer cancel()
	return c.call(ctx, http.MethodPost, "/invocations", body, headers(contentType, accept))
}

// InvokeAsync is InvokeEndpointAsync: it reads the input, and leaves the answer in
// the folder output, or what went wrong in the folder failure. It returns the
// file's path.
func (c Container) InvokeAsync(ctx context.Context, id, input, contentType, accept, output, failure string) (string, error) {
	body, err := os.ReadFile(input)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, asynchronousLimit)
	defer cancel()
	h := headers(contentType, accept)
	h.Set("X-Amzn-SageMaker-Inference-Id", id)
	answer, err := c.call(ctx, http.MethodPost, "/invocations", body, h)
	if err != nil {
		return "", err
	}
	path := filepath.Join(output, id+".out")
	if answer.Status/100 != 2 {
		path = filepath.Join(failure, id+"-error.out")
	}
	return path, os.WriteFile(path, answer.Body, 0o640)
}

func headers(contentType, accept string) http.Header {
	h := make(http.Header)
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	if accept != "" {
		h.Set("Accept", accept)
	}
	return h
}

func (c Container) call(ctx context.Context, method, path string, body []byte, h http.Header) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if h != nil {
		r.Header = h
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header.Get("Content-Type"), content}, err
}

// parameters are what a container asks of a transform job that leaves them open.
type parameters struct {
	MaxConcurrentTransforms int
	BatchStrategy           string
	MaxPayloadInMB          int
}

// executionParameters asks for them; a container need not answer.
func (c Container) executionParameters(ctx context.Context) parameters {
	p := parameters{MaxConcurrentTransforms: 1, BatchStrategy: "MULTI_RECORD", MaxPayloadInMB: 6}
	answer, err := c.call(ctx, http.MethodGet, "/execution-parameters", nil, nil)
	if err == nil && answer.Status == http.StatusOK {
		_ = json.Unmarshal(answer.Body, &p) // what it does not say stays
	}
	return p
}
