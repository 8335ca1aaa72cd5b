// Package dicom reads one volume from DICOM images: a folder, a zip or a single
// file, classic or enhanced multi-frame.
//
// Geometry comes from ImageOrientationPatient and ImagePositionPatient alone,
// never from instance numbers or file names. Of several series the T1-like one
// is taken by the rules in choose.go, and told. What makes no regular grid
// (gaps, doubles, several orientations, mosaics, colour) is refused with the
// reason. docs/scans.md lists choices and refusals.
//
// Objects are read twice: once for what they are, once for the pixels of the
// chosen series, so that no more than the volume and one object's compressed
// pixels are in memory. No text of a header gets into a result or an error, and
// file names only where they hold no word of the patient's name.
//
// Package dataset below it reads elements, files what they come in, images what
// each object is, and pixels its numbers; here is what is about the whole. Package
// scan calls it. The standard is at https://dicom.nema.org.
package dicom

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
	"github.com/brainseg/brainseg/internal/volume/dicom/pixels"
)

// Read reads the volume in the folder, zip or file at path, and tells where it
// comes from. What is wrong with it is told by a *volume.Refusal.
func Read(ctx context.Context, path string, options volume.Options) (*volume.Scan, *Origin, error) {
	source, err := files.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer source.Close()
	return read(ctx, source, options)
}

// Recognised tells whether head, the first 132 bytes of a file, may be those of a
// DICOM file or of a zip.
func Recognised(head []byte) bool { return files.Recognised(head) }

func read(ctx context.Context, source *files.Source, options volume.Options) (*volume.Scan, *Origin, error) {
	catalogue := &catalogue{source: source}
	catalogue.decoder.Parse = images.ParseFormat
	if err := catalogue.fill(ctx); err != nil {
		return nil, nil, catalogue.named(err)
	}
	scan, origin, err := catalogue.read(ctx, options)
	if err != nil {
		return nil, nil, catalogue.named(err)
	}
	return scan, origin, nil
}

// maxFrames bounds the pictures of all objects together: of each its place is kept
// until the series is chosen, and a few bytes of a file can state one.
const maxFrames = 1 << 18

// catalogue is what a source holds.
type catalogue struct {
	source  *files.Source
	objects []*images.Object // images, whole or damaged
	left    files.LeftOut
	foreign int64 // bytes read of files in a zip that are not DICOM
	names   files.PatientWords
	decoder pixels.Decoder
}

// fill reads what each file is.
func (c *catalogue) fill(ctx context.Context) error {
	frames := 0
	for i := range c.source.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := &c.source.Files[i]
		if f.Reason != "" {
			c.left.Add(f.Reason, f.Name)
			continue
		}
		o, err := c.examine(ctx, f)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		if frames += len(o.Frames); frames > maxFrames {
			return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("the images have more than %d frames in all", maxFrames), "give the folder with the series")
		}
		c.objects = append(c.objects, o)
	}
	return nil
}

// examine reads one file's header. It returns nil for what is no image.
func (c *catalogue) examine(ctx context.Context, f *files.File) (*images.Object, error) {
	in, err := f.Open(ctx)
	if err != nil {
		return nil, inFile(err, f.Name)
	}
	defer in.Close()
	o, _, err := images.Parse(in)
	if errors.Is(err, dataset.ErrNotDICOM) {
		c.left.Add(o.Foreign, f.Name)
		return nil, c.checksum(f, in)
	}
	if err == nil && f.Packed() {
		// To the end, where a zip checks its checksum.
		_, err = io.Copy(io.Discard, in.Buffered())
	}
	c.names.Add(o.Patient)
	var refusal *volume.Refusal
	if err = files.Explain(err); err != nil && !errors.As(err, &refusal) {
		return nil, fmt.Errorf("read %s: %w", c.names.File(f.Name), err)
	}
	o.Texts = nil // of the chosen series they are read again
	if o.File = f; refusal != nil {
		o.Err = refusal
	}
	if reason := o.NotAnImage(); reason != "" {
		c.left.Add(reason, f.Name)
		return nil, nil
	}
	return o, nil
}

// checksum reads what a zip holds beside DICOM files, up to a bound, to see that it
// is not a DICOM file whose beginning is damaged.
func (c *catalogue) checksum(f *files.File, in *files.Input) error {
	if !f.Packed() || c.foreign >= files.Harmless {
		return nil
	}
	n, err := io.CopyN(io.Discard, in.Buffered(), files.Harmless-c.foreign)
	c.foreign += n
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return inFile(files.Explain(err), f.Name)
}

// read builds the volume.
func (c *catalogue) read(ctx context.Context, options volume.Options) (*volume.Scan, *Origin, error) {
	scan := &volume.Scan{Format: "dicom", Unit: "mm"}
	series, err := c.choose(scan, options)
	if err != nil {
		return nil, nil, err
	}
	if err := series.check(); err != nil {
		return nil, nil, err
	}
	slices, err := c.slices(ctx, scan, series, options)
	if err != nil {
		return nil, nil, err
	}
	scan.Series, scan.Size, scan.Affine = series.uid, slices.size, slices.affine
	if n := scan.Size[0] * scan.Size[1]; n > options.Limit() || n*scan.Size[2] > options.Limit() {
		return nil, nil, volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("the series has %d x %d x %d voxels, and at most %d are read", scan.Size[0], scan.Size[1], scan.Size[2], options.Limit()), "resample the scan")
	}
	if err := c.pixels(ctx, scan, slices); err != nil {
		return nil, nil, err
	}
	origin, err := c.origin(ctx, slices)
	if err != nil {
		return nil, nil, err
	}
	scan.LeftOut = c.left.List(&c.names)
	for i, w := range scan.Warnings {
		scan.Warnings[i].Text = c.names.Hide(w.Text)
	}
	return scan, origin, nil
}

// named hides the patient's name in the file name of a refusal.
func (c *catalogue) named(err error) error {
	var r *volume.Refusal
	if errors.As(err, &r) {
		hidden := *r
		hidden.File, hidden.Reason = c.names.File(r.File), c.names.Hide(r.Reason)
		return &hidden
	}
	return err
}

// inFile names the file that a refusal is about.
func inFile(err error, name string) error {
	var r *volume.Refusal
	if errors.As(err, &r) {
		return r.In(name)
	}
	return err
}
