package httpapi

import (
	"bytes"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
)

// client2018 is what the README of 2018 had people run.
const client2018 = `
import sys, requests
answer = requests.post(sys.argv[1], files={"Body": open(sys.argv[2], "rb")})
answer.raise_for_status()
open(sys.argv[3], "wb").write(answer.content)
`

func TestTheClientsOf2018GetTheMaskThatOtherComponentsGet(t *testing.T) {
	s := start(t)
	slice := image.NewGray(image.Rect(0, 0, 40, 30))
	for i := range slice.Pix {
		slice.Pix[i] = uint8(i % 40 * 2) // two classes of the model, in stripes
	}
	folder := t.TempDir()
	from, to := filepath.Join(folder, "slice.png"), filepath.Join(folder, "mask.png")
	if err := os.WriteFile(from, encode(t, slice), 0o600); err != nil {
		t.Fatal(err)
	}
	masks := make(chan []byte, 1)
	s.engine.Submit(t.Context(), job.Requester{Way: job.WayIPC}, request.Request{ID: "ipc", Image: request.Image{Inline: encode(t, slice)}, Output: request.Output{Discard: true}},
		func(o job.Outcome) { masks <- bytes.Clone(o.Mask) })
	want := <-masks

	clients := map[string][]string{"requests": {filepath.Join("..", "..", "..", ".venv", "bin", "python"), "-c", client2018, s.url, from, to}}
	if curl, err := exec.LookPath("curl"); err == nil {
		clients["curl"] = []string{curl, "--silent", "--fail", "-F", "Body=@" + from, s.url, "-o", to}
	}
	for name, command := range clients {
		os.Remove(to)
		if output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, output)
			continue
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, or another mask than over IPC", name, err)
		}
	}
}
