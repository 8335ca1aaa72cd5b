package pixels

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
)

// JPEG 2000 is undone by GDCM's program where it is installed (Debian:
// libgdcm-tools).
const (
	decoderProgram = "gdcmconv"
	decoderPackage = "libgdcm-tools"
	decoderTime    = time.Minute
	// decoderMemory bounds the program's address space, in KiB.
	decoderMemory = 1 << 20
)

// byProgram has the whole object decompressed by another program, into a file
// that only this user can read, and reads that.
func (d *Decoder) byProgram(ctx context.Context, file *files.File, o *Format, use func(index int, samples []int32) error) error {
	program, err := exec.LookPath(decoderProgram)
	if err != nil {
		return o.Syntax.Unsupported(fmt.Sprintf("install the program %s (Debian's %s), or export the series as Explicit VR Little Endian", decoderProgram, decoderPackage))
	}
	dir, err := os.MkdirTemp("", "brainseg-")
	if err != nil {
		return fmt.Errorf("make a folder for decompressing: %w", err)
	}
	defer os.RemoveAll(dir)
	compressed, plain := filepath.Join(dir, "in.dcm"), filepath.Join(dir, "out.dcm")
	if err := copyTo(ctx, file, compressed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, decoderTime)
	defer cancel()
	// Blocks of 512 bytes for the file, KiB for the memory.
	limit := fmt.Sprintf("ulimit -f %d && ulimit -v %d && exec \"$0\" --raw \"$1\" \"$2\"", (o.NativeBytes()+(1<<20))/512+1, decoderMemory)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", limit, program, compressed, plain)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() == context.Canceled {
			return ctx.Err()
		}
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data (%v) could not be decompressed by %s", o.Syntax, decoderProgram), "copy or export the file again")
	}
	in, err := files.OnDisk(plain).Open(ctx)
	if err != nil {
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data (%v) could not be decompressed by %s", o.Syntax, decoderProgram), "copy or export the file again")
	}
	defer in.Close()
	decoded, s, err := d.Parse(in)
	if err != nil {
		return files.Explain(err)
	}
	if decoded.Syntax.Codec != dataset.CodecNative || decoded.Length == dataset.UndefinedLength || decoded.Check() != nil ||
		decoded.Rows != o.Rows || decoded.Columns != o.Columns || decoded.FrameCount != o.FrameCount {
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("%s returned another picture than the header describes", decoderProgram), "export the series as Explicit VR Little Endian")
	}
	o.Note("decompressed-by-program", "the pixels were decompressed by "+decoderProgram)
	return d.native(decoded, s, use)
}

// copyTo writes a file to path, readable for this user only.
func copyTo(ctx context.Context, file *files.File, path string) error {
	in, err := file.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write a file for decompressing: %w", err)
	}
	defer out.Close()
	if _, err := io.Copy(out, io.LimitReader(in, maxCompressed)); err != nil {
		return fmt.Errorf("write a file for decompressing: %w", err)
	}
	return out.Close()
}
