package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var foreign = []entry{
	{name: "._model.onnx", content: "\x00\x05\x16\x07AppleDouble"},
	{name: "model.onnx", content: "network"},
	{name: "model/._manifest.json", content: "\x00\x05\x16\x07"},
	{name: "model/manifest.json", content: "{}"},
	{name: "model/.ipynb_checkpoints/model-checkpoint.onnx", content: "an older network"},
	{name: "model/PaxHeader/model.onnx", content: "30 mtime=1700000000.123456789\n"},
	{name: "PaxHeaders.4711/model.onnx", content: "30 mtime=1700000000.123456789\n"},
	{name: "__MACOSX/._model.onnx", content: "\x00\x05\x16\x07"},
	{name: ".DS_Store", content: "\x00\x00\x00\x01Bud1"},
	{name: "model/Thumbs.db", content: "\xd0\xcf\x11\xe0"},
}

func TestWhatOtherProgramsLeftIsIgnoredAndNamed(t *testing.T) {
	want := Contents{
		Files: []string{"model.onnx", "model/manifest.json"},
		Litter: []string{
			".DS_Store", "._model.onnx", "PaxHeaders.4711/model.onnx", "__MACOSX/._model.onnx", "model/._manifest.json",
			"model/.ipynb_checkpoints/model-checkpoint.onnx", "model/PaxHeader/model.onnx", "model/Thumbs.db",
		},
	}
	for name, archive := range map[string][]byte{"tar.gz": tarGz(t, foreign...), "zip": zipFile(t, foreign...)} {
		got, err := unpackContents(t, archive)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{"a.onnx", "a._b", "_.onnx", "PaxHeadersX/a", "ipynb_checkpoints/a", "x/Thumbs.db.onnx"} {
		if IsLitter(name) {
			t.Errorf("%s is ignored", name)
		}
	}
	// It is bounded and checked as everything else.
	if _, _, err := unpackBytes(t, tarGz(t, entry{name: "__MACOSX/../../x"}), Limits{}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a name that leads out: %v", err)
	}
	if _, _, err := unpackBytes(t, tarGz(t, foreign...), Limits{Entries: len(foreign) - 1}); !errors.Is(err, ErrLimit) {
		t.Errorf("more than the limit: %v", err)
	}
}

func unpackContents(t *testing.T, archive []byte) (Contents, error) {
	t.Helper()
	folder := t.TempDir()
	name := filepath.Join(folder, "archive")
	if err := os.WriteFile(name, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	return Unpack(t.Context(), name, filepath.Join(folder, "target"), Limits{})
}

// macZip is an archive as Archive Utility of macOS makes them: files in the
// streaming form, with a data descriptor behind them, and folders that are stored
// and have the same flag.
func macZip(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Flags: 8, CreatorVersion: 3<<8 | 21, ReaderVersion: 20}
		h.Extra = []byte{'U', 'X', 8, 0, 0x80, 0x43, 0x6d, 0x38, 0x80, 0x43, 0x6d, 0x38} // times
		if e.kind == tar.TypeDir {
			h.Method, h.ExternalAttrs = zip.Store, 0o40755<<16
			if _, err := w.CreateRaw(h); err != nil {
				t.Fatal(err)
			}
			continue
		}
		h.ExternalAttrs = 0o100644 << 16
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(e.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAZipOfMacOSIsRead(t *testing.T) {
	got, err := unpackContents(t, macZip(t,
		entry{name: "model/", kind: tar.TypeDir},
		entry{name: "model/model.onnx", content: "network"},
		entry{name: "__MACOSX/", kind: tar.TypeDir},
		entry{name: "__MACOSX/model/", kind: tar.TypeDir},
		entry{name: "__MACOSX/model/._model.onnx", content: "\x00\x05\x16\x07"},
	))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"model/model.onnx"}, got.Files); diff != "" || len(got.Litter) != 3 {
		t.Errorf("litter %q, files (-want +got):\n%s", got.Litter, diff)
	}
}

func TestZerosBehindAGzipFileAreItsEnd(t *testing.T) {
	whole := tarGz(t, entry{name: "model.onnx", content: "network"})
	padded := append(bytes.Clone(whole), make([]byte, 10_240)...)
	if got, err := unpackContents(t, padded); err != nil || len(got.Files) != 1 {
		t.Errorf("padded with zeros: %v, %v", got, err)
	}
	for name, tail := range map[string][]byte{
		"other bytes":              []byte("other"),
		"other bytes behind zeros": append(make([]byte, 512), 'x'),
		"another file behind them": append(make([]byte, 512), whole...),
	} {
		if _, _, err := unpackBytes(t, append(bytes.Clone(whole), tail...), Limits{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestAGzipFileOfSeveralMembersIsRead(t *testing.T) {
	var plain, parts bytes.Buffer
	unzipped, err := gzip.NewReader(bytes.NewReader(tarGz(t, entry{name: "model.onnx", content: "network"})))
	if err == nil {
		_, err = plain.ReadFrom(unzipped)
	}
	if err != nil {
		t.Fatal(err)
	}
	for plain.Len() > 0 {
		w := gzip.NewWriter(&parts)
		w.Write(plain.Next(700))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	parts.Write(make([]byte, 100))
	if got, err := unpackContents(t, parts.Bytes()); err != nil || len(got.Files) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}
