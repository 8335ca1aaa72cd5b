package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestADockerfileIsCarriedOutOrRefused(t *testing.T) {
	const good = `# comment
FROM base:tag
ARG TARGETARCH
LABEL a="b c" \
      # between
      d="e"
COPY made/${TARGETARCH}/ one.txt /opt/x/
ENV A=1 B=:2
EXPOSE 8080
WORKDIR /tmp
USER 7:7
ENTRYPOINT ["/opt/x/run"]
CMD ["serve"]
`
	context := t.TempDir()
	path := filepath.Join(context, "Dockerfile")
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(context, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(context, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("Dockerfile", good, 0o640)
	write("made/amd64/run", "", 0o755)
	write("made/amd64/model/m", "", 0o600)
	write("made/arm64/other", "", 0o600)
	write("one.txt", "", 0o644)
	image, err := Read(path, map[string]string{"TARGETARCH": "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := &Image{
		Base: "base:tag", Labels: map[string]string{"a": "b c", "d": "e"}, Env: []string{"A=1", "B=:2"}, Port: 8080, Workdir: "/tmp", User: 7,
		Copies: []Copy{{[]string{"made/amd64/", "one.txt"}, "/opt/x/"}}, Entrypoint: []string{"/opt/x/run"}, Command: []string{"serve"},
	}
	if diff := cmp.Diff(want, image); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	root := t.TempDir()
	if err := image.CopyTo(root, context); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	err = filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			got[strings.TrimPrefix(path, root)] = info.Mode().String()
		}
		return err
	})
	if diff := cmp.Diff(map[string]string{"/opt/x/run": "-rwxr-xr-x", "/opt/x/model/m": "-rw-------", "/opt/x/one.txt": "-rw-r--r--"}, got); diff != "" || err != nil {
		t.Errorf("copied (-want +got), error %v:\n%s", err, diff)
	}

	for line, want := range map[string]string{
		"RUN true": "not known", "COPY --chmod=0755 a b": "no flags", "FROM other": "one stage", "ARG MISSING": "no argument MISSING", "USER root": "one number",
	} {
		write("Dockerfile", good+line+"\n", 0o640)
		if _, err := Read(path, map[string]string{"TARGETARCH": "amd64"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", line, err, want)
		}
	}
	outside := &Image{Copies: []Copy{{[]string{"../x"}, "/"}}}
	if err := outside.CopyTo(root, context); err == nil {
		t.Error("a file outside the context was copied")
	}
}
