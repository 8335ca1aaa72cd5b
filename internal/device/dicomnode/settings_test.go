package dicomnode

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsAreCheckedBeforeAPortIsOpened(t *testing.T) {
	dir := t.TempDir()
	token, lines := filepath.Join(dir, "token"), filepath.Join(dir, "lines")
	if err := os.WriteFile(token, []byte("Bearer x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lines, []byte("Bearer x\r\nHost: y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Settings)
		want   string // of the error; "" for none
	}{
		{"the least", func(*Settings) {}, ""},
		{"an address to return to", func(s *Settings) { s.Return = "PACS@127.0.0.1:104" }, ""},
		{"networks", func(s *Settings) { s.From = []string{"10.0.0.0/8", "::1"} }, ""},
		{"a service", func(s *Settings) { s.STOW, s.Authorization = "https://pacs.example/dicom-web", token }, ""},
		{"a service here", func(s *Settings) { s.STOW = "http://127.0.0.1:8042/dicom-web" }, ""},
		{"plaintext by a word", func(s *Settings) { s.Listen, s.Plaintext, s.Return = ":104", true, "PACS@pacs:104" }, ""},
		{"plaintext without", func(s *Settings) { s.Listen = ":104" }, "listen: :104 is beyond this machine"},
		{"returning in the clear", func(s *Settings) { s.Return = "PACS@pacs:104" }, "return: pacs:104 is beyond this machine"},
		{"a service in the clear", func(s *Settings) { s.STOW = "http://pacs/dicom-web" }, "stow: pacs:http is beyond this machine"},
		{"a long title", func(s *Settings) { s.Title = "SEVENTEEN LETTERS" }, "is no AE title"},
		{"a caller's title", func(s *Settings) { s.Callers = []string{"A\\B"} }, "is no AE title"},
		{"no network", func(s *Settings) { s.From = []string{"here"} }, "neither an address nor a network"},
		{"no node", func(s *Settings) { s.Return = "pacs:104" }, "TITLE@HOST:PORT is needed"},
		{"a node without port", func(s *Settings) { s.Return = "PACS@pacs" }, "HOST:PORT is needed"},
		{"both", func(s *Settings) { s.Return, s.STOW = "PACS@127.0.0.1:104", "https://pacs.example" }, "not by both"},
		{"a password in the URL", func(s *Settings) { s.STOW = "https://a:secret@pacs.example" }, "without a password"},
		{"another scheme", func(s *Settings) { s.STOW = "ftp://pacs.example" }, "a URL such as"},
		{"an authorization for nobody", func(s *Settings) { s.Authorization = token }, "without the STOW-RS service"},
		{"an authorization of two lines", func(s *Settings) { s.STOW, s.Authorization = "https://pacs.example", lines }, "more than one line"},
		{"TLS to nobody", func(s *Settings) { s.ReturnTLS = true }, "without the node"},
		{"an authority alone", func(s *Settings) { s.Certificates.Authority = token }, "a certificate of our own"},
		{"a certificate that is none", func(s *Settings) { s.Certificates = Certificates{Certificate: token, Key: token} }, "read the certificate and its key"},
		{"an authority that is none", func(s *Settings) {
			s.Return, s.ReturnTLS, s.Certificates.Authority = "PACS@pacs:104", true, token
		}, "holds none in PEM"},
	} {
		s := Settings{Folder: dir, Listen: "127.0.0.1:0", Title: "BRAINSEG"}
		tt.change(&s)
		_, _, err := s.Options()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error tells the password", tt.name)
		}
	}
}
