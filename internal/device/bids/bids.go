// Package bids knows how BIDS lays out data sets of scans: it finds the T1 scans
// of one, and makes another, a derivative, for their results. The standard is at
// https://bids-specification.readthedocs.io.
//
// It reads no scan and checks no data set; the command volume calls it.
package bids

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Version is the version of the standard that is written.
const Version = "1.10.0"

const (
	descriptionName = "dataset_description.json"
	readmeName      = "README"
	ignoreName      = ".bidsignore"
	suffix          = "_T1w"
	// generator is this program, as data sets name it.
	generator = "brainseg"
	// maxDescription is the largest description that is read, in bytes.
	maxDescription = 1 << 20
)

// Scan is a T1 scan in a data set.
type Scan struct {
	// Path of the file.
	Path string
	// Source is that path below the data set, with slashes.
	Source string
	// Folder below the derivative is where its results go, and Name what their
	// names begin with.
	Folder, Name string
}

// Is reports whether the folder at path is a BIDS data set.
func Is(path string) bool {
	info, err := os.Stat(filepath.Join(path, descriptionName))
	return err == nil && info.Mode().IsRegular()
}

// Scans lists the T1 scans of a data set, by name. Those of its derivatives and
// of its source data are not among them.
func Scans(dataset string) ([]Scan, error) {
	var found []Scan
	for _, pattern := range []string{"sub-*/anat/*", "sub-*/ses-*/anat/*"} {
		paths, err := fs.Glob(os.DirFS(dataset), pattern)
		if err != nil {
			return nil, fmt.Errorf("list the scans of the data set: %w", err)
		}
		for _, source := range paths {
			folder, file := filepath.Split(source)
			name, ok := strings.CutSuffix(strings.TrimSuffix(file, ".gz"), ".nii")
			if name, is := strings.CutSuffix(name, suffix); ok && is {
				found = append(found, Scan{
					Path: filepath.Join(dataset, filepath.FromSlash(source)), Source: source,
					Folder: filepath.Clean(folder), Name: name,
				})
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the data set has no T1 scan: nothing is called sub-*%s.nii.gz in the folders anat of sub-* and ses-*", suffix)
	}
	slices.SortFunc(found, func(a, b Scan) int { return strings.Compare(a.Source, b.Source) })
	return found, nil
}

// description is dataset_description.json.
type description struct {
	Name         string
	BIDSVersion  string
	DatasetType  string            `json:",omitempty"`
	License      string            `json:",omitempty"`
	GeneratedBy  []program         `json:",omitempty"`
	DatasetLinks map[string]string `json:",omitempty"`
}

type program struct {
	Name        string
	Version     string `json:",omitempty"`
	Description string `json:",omitempty"`
}

// Derivative is the data set of the results of another one.
type Derivative struct {
	// Folder of the data set, and of the one that it is derived from.
	Folder, Source string
	// ProgramVersion, Model and ModelVersion say what made it.
	ProgramVersion, Model, ModelVersion string
	// Ignored are patterns of files that are no part of the standard.
	Ignored []string
}

// Check refuses a folder that is another data set already.
func (d Derivative) Check() error {
	content, err := readDescription(d.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", descriptionName, err)
	}
	var there description
	if json.Unmarshal(content, &there) == nil && slices.ContainsFunc(there.GeneratedBy, func(p program) bool { return p.Name == generator }) {
		return nil
	}
	return fmt.Errorf("%s holds another data set; name a folder of its own for the results, such as derivatives/%s", d.Folder, generator)
}

func readDescription(folder string) ([]byte, error) {
	file, err := os.Open(filepath.Join(folder, descriptionName))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxDescription))
}

// Write makes the data set's own files, with write, which puts a file into place.
func (d Derivative) Write(write func(path string, content func(io.Writer) error) error) error {
	about := description{
		Name: "Brain tissue in T1 scans", BIDSVersion: Version, DatasetType: "derivative",
		GeneratedBy:  []program{{Name: generator, Version: d.ProgramVersion, Description: fmt.Sprintf("Model %s %s", d.Model, d.ModelVersion)}},
		DatasetLinks: map[string]string{"raw": d.link()},
	}
	if content, err := readDescription(d.Source); err == nil {
		var source description
		if json.Unmarshal(content, &source) == nil { // if not, it says less
			about.License = source.License
			if source.Name != "" {
				about.Name += ": " + source.Name
			}
		}
	}
	if err := write(filepath.Join(d.Folder, descriptionName), asJSON(about)); err != nil {
		return err
	}
	const readme = "Tissues of the brain in T1 scans, one label map a scan on its own grid (*_dseg.nii.gz), with what the labels mean beside it, a page to\n" +
		"look at (*_report.html), and millilitres with reasons for doubt (*_volumes.json, volumes.csv). Made by brainseg. Not a medical device.\n"
	if err := write(filepath.Join(d.Folder, readmeName), func(w io.Writer) error {
		_, err := io.WriteString(w, readme)
		return err
	}); err != nil {
		return err
	}
	return write(filepath.Join(d.Folder, ignoreName), func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(d.Ignored, "\n")+"\n")
		return err
	})
}

// link leads from the derivative to its source.
func (d Derivative) link() string {
	from, err := filepath.Abs(d.Folder)
	to, err2 := filepath.Abs(d.Source)
	if err == nil && err2 == nil {
		if relative, err := filepath.Rel(from, to); err == nil {
			return filepath.ToSlash(relative)
		}
	}
	return d.Source
}

// Sidecar writes what belongs to the labels of a scan: where they come from.
func (s Scan) Sidecar(w io.Writer) error {
	return asJSON(struct {
		Description string
		Sources     []string
		// SpatialReference is what the labels lie on.
		SpatialReference string
		Manual           bool
	}{"Tissues on the scan's own grid", []string{"bids:raw:" + s.Source}, "bids:raw:" + s.Source, false})(w)
}

func asJSON(v any) func(io.Writer) error {
	return func(w io.Writer) error {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(v); err != nil {
			return err
		}
		_, err := w.Write(b.Bytes())
		return err
	}
}
