// Package page is what a person with a browser sees of a device: a page that
// takes slices, shows image, mask and overlay, and what the device is doing.
//
// The page is a client like any other: it sends images the way that package
// httpapi describes, to the origin that it came from, and to nowhere else. It is
// HTML, CSS and JavaScript modules as they are in the folder assets, embedded and
// served under a strict content security policy: no build makes them, and no
// network but the device's is needed. The one thing that is made for it alone is
// Activity: the queue and the last answers, in numbers.
//
// The package segments nothing and decides nothing about who may come in; package
// httpapi mounts it and does.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

// Prefix is below what the page's own files are, and what it reads.
const Prefix = "/page/"

// Policy is the content security policy of the page: files of this origin, no
// inline scripts and styles, no frames, nobody else's form. Pictures may be data,
// as NiiVue's letters are.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// asset is a file that is served as it is.
type asset struct {
	content     []byte
	compressed  bool // by gzip
	contentType string
	tag         string // its entity tag
}

// types are those of the assets, for machines whose own table is odd or absent.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// Mount mounts the page at / and its files, and the activity that it shows, below
// Prefix, all by GET and HEAD. handle takes patterns as http.ServeMux.Handle does.
func (a *Activity) Mount(handle func(pattern string, h http.Handler)) {
	for name, file := range load() {
		at := Prefix + name
		if name == "index.html" {
			at = "/{$}"
		}
		handle("GET "+at, file)
	}
	handle("GET "+Prefix+"activity", a)
}

// load reads the assets by their name. They are part of the program, so that
// nothing can be wrong with them.
func load() map[string]asset {
	entries, err := fs.ReadDir(assets, "assets")
	if err != nil {
		panic(fmt.Sprintf("the page is not part of this program: %v", err))
	}
	all := make(map[string]asset)
	for _, entry := range entries {
		content, err := fs.ReadFile(assets, path.Join("assets", entry.Name()))
		if err != nil {
			panic(fmt.Sprintf("the page is not part of this program: %v", err))
		}
		name, compressed := strings.CutSuffix(entry.Name(), ".gz")
		sum := sha256.Sum256(content)
		all[name] = asset{content: content, compressed: compressed, contentType: types[path.Ext(name)], tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return all
}

func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-cache") // a new version of the program is a new page
	protect(h)
	if !a.compressed {
		h.Set("ETag", a.tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
		return
	}
	h.Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("ETag", a.tag)
		h.Set("Content-Encoding", "gzip")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
		return
	}
	// Browsers do not come here.
	plain, err := gzip.NewReader(bytes.NewReader(a.content))
	if err == nil && r.Method != http.MethodHead {
		_, err = io.Copy(w, plain)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// acceptsGzip reads Accept-Encoding as far as browsers and tools write it.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.TrimSpace(quality) != "q=0"
		}
	}
	return false
}

// protect keeps other pages from using this one, and this one from others.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", strings.Join([]string{"camera=()", "geolocation=()", "microphone=()"}, ", "))
}
