package dicomnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
)

func TestAResultIsSentUntilTheNodeHasItOrRefusesIt(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answers  []dicomnet.Status
		said     string
		returned int
	}{
		{"no room for long", []dicomnet.Status{0xa700, 0xa701, 0xa700, 0xa700, 0xa700}, "result returned", 6},
		{"a warning", []dicomnet.Status{0xb000}, "result returned", 1},
		{"refused for good", []dicomnet.Status{0xa900, 0xa900, 0xa900, 0xa900}, "the result is not returned", returnTries},
	} {
		w, a := &worker{t: t, results: t.TempDir()}, &archive{answers: tt.answers}
		n := run(t, t.TempDir(), w, ByStore{Node: a.start(t, explicitLE)})
		n.send(one(1), 0)
		await(t, func() bool { return n.said(tt.said) == 1 })
		n.stop()
		if asked, _ := a.got(); asked != tt.returned || !slices.Equal(w.finished(), []string{"1: 1"}) {
			t.Errorf("%s: sent %d times, want %d; worked on %v", tt.name, asked, tt.returned, w.finished())
		}
	}
	a := &archive{}
	noSEG := ByStore{Node: a.start(t)} // takes no transfer syntax
	path := filepath.Join(t.TempDir(), "x.dcm")
	if err := noSEG.Return(t.Context(), path); !errors.Is(err, ErrRefused) {
		t.Errorf("a file that is gone: %v", err)
	}
	header := dicomnet.FileHeader(dicomnet.StoreRequest{SOPClass: dicomtest.ClassMR, SOPInstance: "1.2", TransferSyntax: dicomtest.Syntax})
	if err := os.WriteFile(path, header, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := noSEG.Return(t.Context(), path); !errors.Is(err, ErrRefused) {
		t.Errorf("a node that takes no such objects: %v", err)
	}
}

func TestSTOWTellsWhatPassesFromWhatDoesNot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.dcm")
	content := bytes.Repeat([]byte("DICOM"), 100_000)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	const failed = `{"00081198":{"vr":"SQ","Value":[{"00081197":{"vr":"US","Value":[272]}}]}}`
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string // "" stored, "refused", or "again"
	}{
		{"stored", 200, `{"00081199":{"vr":"SQ","Value":[{}]}}`, ""},
		{"stored, without a word", 200, "", ""},
		{"stored with a warning", 202, `{"00081199":{"vr":"SQ","Value":[{}]}}`, ""},
		{"not stored, and called accepted", 202, failed, "refused"},
		{"not stored, beside other elements", 200, `{"00081190":{"vr":"UR","Value":["http://pacs/1"]},` + failed[1:], "refused"},
		{"not stored, in an array", 200, "[" + failed + "]", "refused"},
		{"not stored", 409, failed, "refused"},
		{"unauthorized", 401, "", "refused"},
		{"elsewhere", 307, "", "refused"},
		{"too many", 429, "", "again"},
		{"down", 503, "", "again"},
	} {
		var problem string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if err == nil {
				part, partErr := multipart.NewReader(r.Body, parameters["boundary"]).NextPart()
				if err = partErr; err == nil {
					got, readErr := io.ReadAll(part)
					if err = readErr; !bytes.Equal(got, content) || part.Header.Get("Content-Type") != "application/dicom" {
						problem = fmt.Sprintf("%d bytes of %s", len(got), part.Header.Get("Content-Type"))
					}
				}
			}
			if err != nil || r.URL.Path != "/dicom-web/studies" || r.Header.Get("Authorization") != "Bearer x" || !strings.HasPrefix(r.Header.Get("Content-Type"), `multipart/related; type="application/dicom"`) {
				problem = fmt.Sprint(err, r.URL.Path, r.Header)
			}
			w.Header().Set("Location", "/other")
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		client := server.Client()
		err := BySTOW{URL: server.URL + "/dicom-web/", Authorization: "Bearer x", Client: client}.Return(t.Context(), file)
		client.CloseIdleConnections()
		server.Close()
		got := ""
		switch {
		case errors.Is(err, ErrRefused):
			got = "refused"
		case err != nil:
			got = "again"
		}
		if got != tt.want || problem != "" {
			t.Errorf("%s: %v, want %q; %s", tt.name, err, tt.want, problem)
		}
	}
	client := &http.Client{}
	if err := (BySTOW{URL: "http://127.0.0.1:1", Client: client}).Return(t.Context(), file); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("a service that is down: %v", err)
	}
	if err := (BySTOW{URL: "http://127.0.0.1:1", Client: client}).Return(t.Context(), file+".not"); !errors.Is(err, ErrRefused) {
		t.Errorf("a file that is gone: %v", err)
	}
}
