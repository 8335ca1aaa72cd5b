package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// withFolders has images and masks in folders of the test; it returns them.
func withFolders(t testing.TB) (images, masks string, change func(*config.Config)) {
	images, masks = t.TempDir(), t.TempDir()
	return images, masks, func(c *config.Config) { c.Images.Roots, c.Output.Root = []string{images}, masks }
}

func inline(t testing.TB, id string) string {
	return fmt.Sprintf(`{"id":%q,"image":{"base64":%q}}`, id, base64.StdEncoding.EncodeToString(small(t)))
}

func TestARequestDocumentIsAnsweredWithItsResult(t *testing.T) {
	images, masks, folders := withFolders(t)
	s := start(t, folders)
	if err := os.WriteFile(filepath.Join(images, "slice.png"), encode(t, image.NewGray(image.Rect(0, 0, 5, 4))), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, document := range map[string]string{
		"a path": fmt.Sprintf(`{"id":"a","image":{"path":%q},"output":{"overlay":true}}`, filepath.Join(images, "slice.png")), "an image": inline(t, "b"),
	} {
		r := s.do(t, http.MethodPost, "v1/requests", "application/json", strings.NewReader(document))
		var result request.Result
		if err := json.Unmarshal(r.body, &result); err != nil || r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, r.status, r.body)
		}
		if result.Mask == nil || filepath.Dir(result.Mask.Path) != masks {
			t.Errorf("%s: %s", name, r.body)
		}
		if _, err := os.Stat(result.Mask.Path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARequestThatFailsIsAProblemOfItsStatus(t *testing.T) {
	images, masks, folders := withFolders(t)
	s := start(t, folders)
	if err := os.WriteFile(filepath.Join(masks, "mine.png"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for document, want := range map[string]struct {
		status int
		code   request.Code
	}{
		`{`:                               {400, request.CodeInvalidRequest},
		`[]`:                              {400, request.CodeInvalidRequest},
		`{"id":"a"}`:                      {400, request.CodeInvalidRequest},
		`{"bucket":"scans","prefix":"p"}`: {403, request.CodeImageNotAllowed},
		`{"id":"a","image":{"path":"` + images + `/none.png"}}`:                         {404, request.CodeImageNotFound},
		`{"id":"a","image":{"path":"/etc/passwd"}}`:                                     {403, request.CodeImageNotAllowed},
		`{"id":"a","image":{"base64":"eHh4"}}`:                                          {422, request.CodeImageUnreadable},
		strings.TrimSuffix(inline(t, "a"), "}") + `,"output":{"to":"mine.png"}}`:        {409, request.CodeOutputExists},
		strings.TrimSuffix(inline(t, "a"), "}") + `,"output":{"to":"../out.png"}}`:      {403, request.CodeOutputNotAllowed},
		`{"id":"a","image":{"base64":"` + strings.Repeat("A", 1<<20/3*4+70_000) + `"}}`: {413, request.CodeImageTooLarge},
		`{"id":"a","image":{"base64":"` + strings.Repeat("A", 1<<20/3*4+400) + `"}}`:    {413, request.CodeImageTooLarge},
	} {
		r := s.do(t, http.MethodPost, "v1/requests", "application/json; charset=utf-8", strings.NewReader(document))
		if r.status != want.status || r.code(t) != want.code {
			t.Errorf("%.60s: %d %s, want %d %s", document, r.status, r.body, want.status, want.code)
		}
	}
	if r := s.do(t, http.MethodPost, "v1/requests", "text/json", strings.NewReader(inline(t, "a"))); r.code(t) != problem.CodeUnsupportedType || r.header.Get("Accept-Post") != "application/json" {
		t.Errorf("another type: %d %s", r.status, r.body)
	}
	if r := s.do(t, http.MethodPost, "v1/requests", "application/json", strings.NewReader(inline(t, "a")), "Accept", "image/png"); r.code(t) != problem.CodeNotAcceptable {
		t.Errorf("another type of answer: %d %s", r.status, r.body)
	}
}

func TestAScanThatIsNotThereCannotBeCalledOff(t *testing.T) {
	s := start(t)
	if r := s.do(t, http.MethodPost, "v1/requests", "application/json", strings.NewReader(`{"id":"a","cancel":true}`)); r.status != http.StatusNotFound || r.code(t) != problem.CodeUnknownRequest {
		t.Errorf("got %d %s", r.status, r.body)
	}
}
