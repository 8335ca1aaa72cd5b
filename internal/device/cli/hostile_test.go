package cli_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// hostilePNG writes a PNG whose rows are n bytes of one value.
func hostilePNG(width, height, depth, colourType, interlace, n int, before ...[]byte) []byte {
	out := bytes.NewBufferString("\x89PNG\r\n\x1a\n")
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	out.Write(pngChunk("IHDR", append(header, byte(depth), byte(colourType), 0, 0, byte(interlace))))
	for _, chunk := range before {
		out.Write(chunk)
	}
	out.Write(pngChunk("IDAT", deflated(n)))
	out.Write(pngChunk("IEND", nil))
	return out.Bytes()
}

func pngChunk(kind string, content []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	out = append(append(out, kind...), content...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// deflated is n zeros as zlib writes them. All but the first 64 KiB of a long run
// look alike: they are written once.
func deflated(n int) []byte {
	const piece = 1 << 16
	var out bytes.Buffer
	w, _ := zlib.NewWriterLevel(&out, zlib.BestSpeed)
	part := func(n int) []byte {
		before := out.Len()
		_, _ = w.Write(make([]byte, n))
		_ = w.Flush() // to the next byte
		return bytes.Clone(out.Bytes()[before:])
	}
	head := part(n % piece)
	if n < piece {
		_ = w.Close()
		return out.Bytes()
	}
	first, next := part(piece), part(piece)
	sum := uint32(n%65521)<<16 | 1 // Adler-32
	return slices.Concat(head, first, bytes.Repeat(next, n/piece-1), []byte{1, 0, 0, 0xff, 0xff}, binary.BigEndian.AppendUint32(nil, sum))
}

// hostileJPEG is a progressive JPEG of 2048 x 2048 pixels. Each scan brings the
// first coefficient of all planes, a zero of one bit for every block.
func hostileJPEG(planes, scans int) []byte {
	segment := func(marker byte, content ...byte) []byte {
		return append([]byte{0xff, marker, byte((len(content) + 2) >> 8), byte(len(content) + 2)}, content...)
	}
	frame := []byte{8, 8, 0, 8, 0, byte(planes)}
	scan := []byte{byte(planes)}
	for id := range planes {
		frame = append(frame, byte(id+1), 0x11, 0)
		scan = append(scan, byte(id+1), 0)
	}
	quantisation := append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)
	code := append([]byte{0, 1}, make([]byte, 16)...) // one code, of one bit, for zero
	adobe := append([]byte("Adobe"), 0, 100, 0, 0, 0, 0, 0)
	out := slices.Concat([]byte{0xff, 0xd8}, segment(0xee, adobe...), segment(0xdb, quantisation...), segment(0xc2, frame...), segment(0xc4, code...))
	for range scans {
		out = slices.Concat(out, segment(0xda, append(scan, 0, 0, 0)...), make([]byte, planes*256*256/8))
	}
	return append(out, 0xff, 0xd9)
}

// hostileImage is a file that asks for much, or is none.
type hostileImage struct {
	file []byte
	says string // the refusal, "" where there is to be a mask
}

func hostileImages(t *testing.T) map[string]hostileImage {
	t.Helper()
	var baseline bytes.Buffer
	if err := jpeg.Encode(&baseline, image.NewGray(image.Rect(0, 0, 300, 300)), nil); err != nil {
		t.Fatal(err)
	}
	wide := 2048 * 8
	return map[string]hostileImage{
		"rgba16-interlaced.png":  {hostilePNG(2048, 2048, 16, 6, 1, 2048*wide+3840+7), ""},
		"cmyk-progressive.jpg":   {hostileJPEG(4, 1), ""},
		"long.png":               {hostilePNG(16384, 64, 8, 0, 0, 16385*64), ""},
		"text-bomb.png":          {hostilePNG(16, 16, 8, 0, 0, 17*16, pngChunk("zTXt", append([]byte("k\x00\x00"), deflated(256<<20)...))), ""},
		"profile-bomb.png":       {hostilePNG(16, 16, 8, 0, 0, 17*16, pngChunk("iCCP", append([]byte("k\x00\x00"), deflated(256<<20)...))), ""},
		"pixel-bomb.png":         {hostilePNG(16, 16, 8, 0, 0, 256<<20), ""},
		"many-chunks.png":        {hostilePNG(16, 16, 8, 0, 0, 17*16, bytes.Repeat(pngChunk("tEXt", nil), 1<<20)), ""},
		"claims-much.png":        {hostilePNG(1<<30, 1<<30, 16, 6, 0, 100), "too many pixels"},
		"just-too-much.png":      {hostilePNG(2049, 2048, 16, 6, 0, 100), "too many pixels"},
		"no-pixels.png":          {hostilePNG(2048, 2048, 16, 6, 0, 100), "less pixel data"},
		"no-pixels-interlaced.p": {hostilePNG(2048, 2048, 16, 6, 1, 100), "less pixel data"},
		"many-scans.jpg":         {hostileJPEG(4, 40), "too much work"},
		"cut.jpg":                {baseline.Bytes()[:baseline.Len()-9], "corrupt or cut short"},
		"zeros.png":              {make([]byte, 15<<20), "neither PNG nor JPEG"},
		"too-long.png":           {make([]byte, 17<<20), "too large"},
	}
}

// A device of 512 MB has some 350 for the component. What it may take at the same time:
// 90 MB that stay, 125 for a large slice in tiles, 105 for one that is decoded.
func TestHostileImagesNeitherKillTheProgramNorFillASmallDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	corpus := hostileImages(t)
	in, out := t.TempDir(), t.TempDir()
	args := []string{"segment", "--workers", "2", "--out", out,
		"--model", filepath.Join(root, "artifacts", "model"),
		"--library", filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")}
	masks := 0
	for name, c := range corpus {
		path := filepath.Join(in, name)
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
		if c.says == "" {
			masks++
		}
	}
	var stdout, stderr bytes.Buffer
	program := exec.CommandContext(t.Context(), shippedProgram(t), args...)
	program.Stdout, program.Stderr = &stdout, io.MultiWriter(&stderr, t.Output())
	program.Env = append(os.Environ(), "GOMEMLIMIT=225MiB") // as the program sets it where there are 340
	var exit *exec.ExitError
	if err := program.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("the program ended with %v, and 1 is for images that were refused:\n%s", err, stderr.String())
	}
	for name, c := range corpus {
		stem := strings.TrimSuffix(name, filepath.Ext(name))
		if c.says == "" {
			if !strings.Contains(stdout.String(), stem+".png ") {
				t.Errorf("%s has no mask", name)
			}
			continue
		}
		refused := false
		for line := range strings.Lines(stderr.String()) {
			refused = refused || strings.Contains(line, name) && strings.Contains(line, c.says)
		}
		if !refused {
			t.Errorf("%s is not refused as %q", name, c.says)
		}
	}
	if n := strings.Count(stdout.String(), "\n"); n != masks {
		t.Errorf("%d masks, want %d:\n%s", n, masks, stdout.String())
	}
	usage := program.ProcessState.SysUsage().(*syscall.Rusage)
	peak := usage.Maxrss / 1024
	t.Logf("peak %d MB, %v of processor time", peak, program.ProcessState.UserTime()+program.ProcessState.SystemTime())
	if limit := int64(340); peak > limit {
		t.Errorf("the program took %d MB, and may take %d", peak, limit)
	}
}

// shippedProgram is the program as `make dist` builds it; where that was not run,
// it is built here. What a race detector takes says nothing of a device.
func shippedProgram(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("..", "..", "..", "bin", "linux-"+runtime.GOARCH, "brainseg"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err == nil {
		return program
	}
	program = filepath.Join(t.TempDir(), "brainseg")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./component")
	build.Dir = filepath.Join("..", "..", "..")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, output)
	}
	return program
}
