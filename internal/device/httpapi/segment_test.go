package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

func TestThePostedImageIsAnsweredWithItsMask(t *testing.T) {
	s := start(t)
	// Colour becomes grey with the weights of the 2018 system: 0.3, 0.59, 0.11.
	picture := image.NewRGBA(image.Rect(0, 0, 3, 1))
	picture.Set(0, 0, color.RGBA{R: 200, A: 255}) // 60: class 1
	picture.Set(1, 0, color.RGBA{G: 150, A: 255}) // 88.5: class 2
	picture.Set(2, 0, color.RGBA{B: 255, A: 255}) // 28: class 0
	contentType, body := form(t, Field, encode(t, picture))
	inForm := s.do(t, http.MethodPost, "", contentType, body)
	raw := s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(encode(t, picture)))
	chunked := s.do(t, http.MethodPost, "", "image/png", io.MultiReader(bytes.NewReader(encode(t, picture)))) // no Content-Length
	for name, r := range map[string]reply{"in a form": inForm, "raw": raw, "chunked": chunked} {
		if r.status != http.StatusOK || r.kind != typePNG {
			t.Fatalf("%s: %d %s %s", name, r.status, r.kind, r.body)
		}
		mask, err := png.Decode(bytes.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		if grey, ok := mask.(*image.Gray); !ok || !bytes.Equal(grey.Pix, []uint8{1, 2, 0}) {
			t.Errorf("%s: mask %T %+v", name, mask, mask)
		}
	}
	list := s.until(t, request.MessageImageProcessed, 3)
	if got := strings.Join(list[:3], " "); got != "Model loaded. Image received. Image processed." {
		t.Errorf("status messages: %s", got)
	}
}

func TestTheResultDocumentHoldsTheMaskThatOthersGet(t *testing.T) {
	s := start(t)
	slice := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range slice.Pix {
		slice.Pix[i] = uint8(i % 96)
	}
	picture := encode(t, slice)
	answers := make(chan job.Outcome, 1)
	s.engine.Submit(t.Context(), job.Requester{Way: job.WayIPC}, request.Request{ID: "ipc", Image: request.Image{Inline: bytes.Clone(picture)}, Output: request.Output{Discard: true}},
		func(o job.Outcome) { o.Mask = bytes.Clone(o.Mask); answers <- o })
	want := <-answers

	for query, overlay := range map[string]bool{"": false, "?overlay=0": false, "?overlay=1": true, "?overlay=true": true} {
		r := s.do(t, http.MethodPost, query, "image/png", bytes.NewReader(picture), "Accept", "application/json")
		var result request.Result
		if err := json.Unmarshal(r.body, &result); err != nil || r.status != http.StatusOK || r.kind != typeJSON {
			t.Fatalf("%s: %d %s %s", query, r.status, r.kind, r.body)
		}
		if result.Mask == nil || !bytes.Equal(result.Mask.Base64, want.Mask) || len(result.Tissues) != 3 || result.Image.Width != 16 || result.ID == "" {
			t.Errorf("%s: %s", query, r.body)
		}
		if (result.Overlay != nil) != overlay {
			t.Errorf("%s: overlay %+v", query, result.Overlay)
		}
		r = s.do(t, http.MethodPost, query, "image/png", bytes.NewReader(picture))
		if r.status != http.StatusOK || r.kind != typePNG {
			t.Fatalf("%s: %d %s", query, r.status, r.kind)
		}
		if overlay && !bytes.Equal(r.body, result.Overlay.Base64) || !overlay && !bytes.Equal(r.body, want.Mask) {
			t.Errorf("%s: the picture differs from that in the document", query)
		}
	}
}

func TestAJPEGIsTakenAsWell(t *testing.T) {
	s := start(t)
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 9, 9)), nil); err != nil {
		t.Fatal(err)
	}
	if r := s.do(t, http.MethodPost, "", "image/jpeg", &picture); r.status != http.StatusOK || r.kind != typePNG {
		t.Errorf("got %d %s %s", r.status, r.kind, r.body)
	}
}

func TestErrorsAreProblemsWithOurCodes(t *testing.T) {
	s := start(t)
	formOf := func(field string, content []byte) (string, io.Reader) {
		contentType, body := form(t, field, content)
		return contentType, body
	}
	raw := func(kind string, content []byte) func() (string, io.Reader) {
		return func() (string, io.Reader) { return kind, bytes.NewReader(content) }
	}
	tests := []struct {
		name          string
		query, accept string
		body          func() (contentType string, body io.Reader)
		status        int
		code          request.Code
	}{
		{"no image type", "", "", raw("text/plain", []byte("x")), 415, problem.CodeUnsupportedType},
		{"no type", "", "", raw("", []byte("x")), 415, problem.CodeUnsupportedType},
		{"a form without boundary", "", "", raw("multipart/form-data", []byte("x")), 400, request.CodeInvalidRequest},
		{"another field", "", "", func() (string, io.Reader) { return formOf("File", []byte("x")) }, 400, request.CodeInvalidRequest},
		{"a form that ends early", "", "", func() (string, io.Reader) {
			contentType, body := form(t, Field, []byte("x"))
			return contentType, bytes.NewReader(body.Bytes()[:body.Len()-40])
		}, 400, request.CodeInvalidRequest},
		{"a flag that is none", "?overlay=perhaps", "", raw("image/png", small(t)), 400, request.CodeInvalidRequest},
		{"an answer that cannot be given", "", "text/html", raw("image/png", small(t)), 406, problem.CodeNotAcceptable},
		{"text", "", "", func() (string, io.Reader) { return formOf(Field, []byte("no picture")) }, 422, request.CodeImageUnreadable},
		{"nothing", "", "", func() (string, io.Reader) { return formOf(Field, nil) }, 422, request.CodeImageUnreadable},
		{"nothing, raw", "", "application/json", raw("image/png", nil), 422, request.CodeImageUnreadable},
		{"too many bytes", "", "", func() (string, io.Reader) { return formOf(Field, make([]byte, 1<<20+1)) }, 413, request.CodeImageTooLarge},
		{"too many bytes, raw", "", "", raw("image/jpeg", make([]byte, 1<<20+1)), 413, request.CodeImageTooLarge},
		{"far too many bytes", "", "", func() (string, io.Reader) { return formOf(Field, make([]byte, 4<<20)) }, 413, request.CodeImageTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contentType, body := tt.body()
			headers := []string{}
			if tt.accept != "" {
				headers = []string{"Accept", tt.accept}
			}
			r := s.do(t, http.MethodPost, tt.query, contentType, body, headers...)
			if r.status != tt.status || r.code(t) != tt.code {
				t.Errorf("got %d %s, want %d %s", r.status, r.body, tt.status, tt.code)
			}
			var document struct{ Detail string }
			if err := json.Unmarshal(r.body, &document); err != nil || document.Detail == "" {
				t.Fatalf("got %s", r.body)
			}
			s.until(t, request.ErrorMessage(document.Detail), 1)
			if r := s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(small(t))); r.status != http.StatusOK {
				t.Errorf("a good image after it: %d %s", r.status, r.body)
			}
		})
	}
}

func TestAnImageOfExactlyTheMostBytesIsTaken(t *testing.T) {
	s := start(t)
	picture := small(t)
	for _, more := range []int{0, 1} { // behind the end of the picture
		body := append(bytes.Clone(picture), make([]byte, 1<<20-len(picture)+more)...)
		want := http.StatusOK
		if more > 0 {
			want = http.StatusRequestEntityTooLarge
		}
		contentType, inForm := form(t, Field, body)
		for name, r := range map[string]reply{
			"raw": s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(body)), "chunked": s.do(t, http.MethodPost, "", "image/png", io.MultiReader(bytes.NewReader(body))),
			"form": s.do(t, http.MethodPost, "", contentType, inForm),
		} {
			if r.status != want {
				t.Errorf("%s, %d bytes: %d %s", name, len(body), r.status, r.body)
			}
		}
	}
}

func TestUploadsAreBoundedInBytesAndNotOnlyInNumber(t *testing.T) {
	const size = 1 << 20
	s := start(t, func(c *config.Config) { c.Images.TotalBytes, c.Images.MaxBytes = 4*size, size })
	hold, started := make(chan struct{}), make(chan struct{})
	s.engine.Submit(context.Background(), job.Requester{Way: job.WayIPC},
		request.Request{ID: "stuck", Image: request.Image{Inline: small(t)}, Output: request.Output{Discard: true}},
		func(job.Outcome) { close(started); <-hold })
	<-started
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 40
	statuses := make(chan int, n)
	for range n {
		go func() {
			answer, err := s.client.Post(s.url, "image/png", bytes.NewReader(make([]byte, size-1024)))
			if err != nil {
				t.Error(err)
				statuses <- 0
				return
			}
			answer.Body.Close()
			statuses <- answer.StatusCode
		}()
	}
	// Four at most are let in; the others are told, while these still wait.
	for range n - 4 {
		if status := <-statuses; status != http.StatusTooManyRequests {
			t.Errorf("got %d, want busy", status)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16*size { // ours and the test's own bodies
		t.Errorf("%d bytes are held", grown)
	}
	close(hold)
	for range 4 {
		if status := <-statuses; status != http.StatusUnprocessableEntity && status != http.StatusTooManyRequests { // no picture
			t.Errorf("got %d", status)
		}
	}
	if r := s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(make([]byte, size-1024))); r.status != http.StatusUnprocessableEntity {
		t.Errorf("afterwards: got %d", r.status)
	}
}

func TestWhoAnnouncesMuchAndSendsLittleKeepsNothingFromOthers(t *testing.T) {
	const size = 1 << 20
	s := start(t, func(c *config.Config) { c.Images.TotalBytes, c.Images.MaxBytes = size, size })
	var pipes []*io.PipeWriter
	for range 8 {
		from, to := io.Pipe()
		pipes = append(pipes, to)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, from)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = size
		r.Header.Set("Content-Type", "image/png")
		go func() {
			if answer, err := http.DefaultTransport.RoundTrip(r); err == nil {
				answer.Body.Close()
			}
		}()
		to.Write([]byte("some"))
	}
	if r := s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(append(small(t), make([]byte, size/4)...))); r.status != http.StatusOK {
		t.Errorf("got %d %s", r.status, r.body)
	}
	for _, to := range pipes {
		to.CloseWithError(io.ErrUnexpectedEOF)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestNobodyIsToldOfClientsThatGoAwayWhileTheySend(t *testing.T) {
	s := start(t)
	contentType, body := form(t, Field, make([]byte, 1000))
	for kind, content := range map[string][]byte{"image/png": make([]byte, 1000), contentType: body.Bytes()} {
		c, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(s.url, "http://"), "/"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(content), content[:len(content)/2])
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v %+v", kind, err, answer)
		}
		c.Close()
	}
	if r := s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(small(t))); r.status != http.StatusOK {
		t.Errorf("a good image after it: %d %s", r.status, r.body)
	}
	for _, m := range s.until(t, request.MessageImageProcessed, 1) {
		if strings.HasPrefix(m, "Error") {
			t.Errorf("status: %s", m)
		}
	}
}
