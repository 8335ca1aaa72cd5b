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
// Package scan calls it. The standard is at https://dicom.nema.org.
package dicom

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brainseg/brainseg/internal/volume"
)

// Bounds on what is read.
const (
	maxFiles      = 50000
	maxDepth      = 24       // of folders
	maxValue      = 64 << 10 // bytes of an element that is kept
	maxFrames     = 1 << 16
	maxNesting    = 1 << 15   // of sequences that are skipped
	maxInflated   = 2 << 30   // bytes of a deflated object or of all a zip's entries
	maxCompressed = 256 << 20 // bytes of one object's compressed pixels
)

// Read reads the volume in the folder, zip or file at path, and tells where it
// comes from. What is wrong with it is told by a *volume.Refusal.
func Read(ctx context.Context, path string, options volume.Options) (*volume.Scan, *Origin, error) {
	source, err := openSource(path)
	if err != nil {
		return nil, nil, err
	}
	defer source.close()
	return read(ctx, source, options)
}

func read(ctx context.Context, source *source, options volume.Options) (*volume.Scan, *Origin, error) {
	catalogue := &catalogue{source: source}
	if err := catalogue.fill(ctx); err != nil {
		return nil, nil, catalogue.named(err)
	}
	scan, origin, err := catalogue.read(ctx, options)
	if err != nil {
		return nil, nil, catalogue.named(err)
	}
	return scan, origin, nil
}

// catalogue is what a source holds.
type catalogue struct {
	source  *source
	objects []*object // images, whole or damaged
	left    leftOut
	names   patientWords
}

// fill reads what each file is.
func (c *catalogue) fill(ctx context.Context) error {
	for i := range c.source.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := &c.source.files[i]
		if f.reason != "" {
			c.left.add(f.reason, f.name)
			continue
		}
		o, err := c.examine(ctx, f)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		c.objects = append(c.objects, o)
	}
	return nil
}

// examine reads one file's header. It returns nil for what is no image.
func (c *catalogue) examine(ctx context.Context, f *sourceFile) (*object, error) {
	in, err := f.open(ctx)
	if err != nil {
		return nil, inFile(err, f.name)
	}
	defer in.Close()
	o, _, err := parse(in)
	if errors.Is(err, errNotDICOM) {
		c.left.add(o.foreign, f.name)
		return nil, nil
	}
	if err == nil && f.entry != nil {
		// To the end, where a zip checks its checksum.
		_, err = io.Copy(io.Discard, in.rest())
	}
	c.names.add(o.patient)
	var refusal *volume.Refusal
	if err = asRefusal(err); err != nil && !errors.As(err, &refusal) {
		return nil, fmt.Errorf("read %s: %w", c.names.file(f.name), err)
	}
	o.origin = nil // of the chosen series it is read again
	if o.file = f; refusal != nil {
		o.err = refusal
	}
	if reason := o.notAnImage(); reason != "" {
		c.left.add(reason, f.name)
		return nil, nil
	}
	return o, nil
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
	scan.LeftOut = c.left.list(&c.names)
	for i, w := range scan.Warnings {
		scan.Warnings[i].Text = c.names.hide(w.Text)
	}
	warnings, err := scan.CheckSignal()
	scan.Warnings = append(scan.Warnings, warnings...)
	return scan, origin, err
}

// named hides the patient's name in the file name of a refusal.
func (c *catalogue) named(err error) error {
	var r *volume.Refusal
	if errors.As(err, &r) {
		hidden := *r
		hidden.File, hidden.Reason = c.names.file(r.File), c.names.hide(r.Reason)
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
