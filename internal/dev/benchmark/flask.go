package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// flask is the endpoint of the 2018 system as it would be written today. A slice
// is a request over HTTP, as its users make it.
type flask struct {
	process
	python, script, model string
	rule                  []string
	address               string
	client                http.Client
}

func (f *flask) name() string { return "Python, Flask" }

// start returns when the server answers, with whatever status.
func (f *flask) start(ctx context.Context) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	arguments := append([]string{f.script, f.model}, f.rule...)
	if err := f.launch(exec.CommandContext(ctx, f.python, append(arguments, strconv.Itoa(port))...)); err != nil {
		return fmt.Errorf("%s: %w", f.name(), err)
	}
	f.address = "127.0.0.1:" + strconv.Itoa(port)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if c, err := net.Dial("tcp", f.address); err == nil {
			c.Close()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return f.failed(f.name(), errors.New("the server does not listen after 30 s"))
}

func (f *flask) slice(ctx context.Context, in, out string) (time.Duration, error) {
	picture, err := os.ReadFile(in)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("Body", "slice.png")
	if err != nil {
		return 0, err
	}
	part.Write(picture)
	form.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.address+"/", &body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	response, err := f.client.Do(request)
	if err != nil {
		return 0, f.failed(f.name(), err)
	}
	defer response.Body.Close()
	mask, err := io.ReadAll(response.Body)
	took := time.Since(start)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	if err != nil {
		return 0, f.failed(f.name(), err)
	}
	return took, os.WriteFile(out, mask, 0o640)
}
