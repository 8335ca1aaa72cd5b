package store

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/device/store/fault"
)

func TestAScanIsCopiedFromS3(t *testing.T) {
	store := s3Store(t, useS3(t, awstest.Device).Endpoint)
	for _, key := range []string{"study/head.nii.gz", "study/series/1.dcm", "study/series/more/1.dcm", "study/series2/1.dcm"} {
		if _, err := store.Write(t.Context(), "s3://scans/"+key, []byte(key), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	folder := t.TempDir()
	path, err := store.Fetch(t.Context(), "s3://scans/study/head.nii.gz", folder)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "study/head.nii.gz" || filepath.Dir(path) != folder || !strings.HasSuffix(path, "head.nii.gz") {
		t.Errorf("%s holds %q, %v", path, content, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	folder = t.TempDir()
	if path, err = store.Fetch(t.Context(), "s3://scans/study/series/", folder); err != nil || path != folder {
		t.Fatalf("copied to %s: %v", path, err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Fatalf("copied %v, %v", entries, err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil || !strings.HasPrefix(string(content), "study/series/") || !strings.HasSuffix(e.Name(), "1.dcm") {
			t.Errorf("%s holds %q, %v", e.Name(), content, err)
		}
	}
	for _, location := range []string{"s3://scans/study/none.nii", "s3://scans/study/none/"} {
		if _, err := store.Fetch(t.Context(), location, t.TempDir()); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: error %v", location, err)
		} else if strings.Contains(err.Error(), "none") {
			t.Errorf("the error tells the key: %v", err)
		}
	}
	if _, err := store.Fetch(t.Context(), "/etc/hostname", t.TempDir()); err == nil {
		t.Error("a path was copied")
	}
}

func TestACopyThatDoesNotGetOnEnds(t *testing.T) {
	server := useS3(t, awstest.Device)
	store := s3Store(t, server.Endpoint)
	if _, err := store.Write(t.Context(), "s3://scans/slow.nii", bytes.Repeat([]byte("x"), 1<<20), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	stuck := through(t, server.Endpoint, func(w http.ResponseWriter, forward http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				forward(w, r)
				return
			}
			w.Header().Set("Content-Length", "1048576")
			w.Write([]byte("begun"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	})
	impatient := s3Store(t, stuck, func(o *Options) { o.S3.Timeout = 300 * time.Millisecond })
	if _, err := impatient.Fetch(t.Context(), "s3://scans/slow.nii", t.TempDir()); !errors.Is(err, fault.ErrTimeout) {
		t.Errorf("error %v", err)
	}
}
