// Package scanfolder says where the results of scans go that are segmented into a
// folder: what they are called, so that none replaces a scan or the result of
// another, and how those of a BIDS data set are laid out, as one of its own.
//
// It segments nothing and prints nothing; the command volume calls it.
package scanfolder

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/device/bids"
	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume/scan"
)

// TableName is the table with a line for each scan.
const TableName = "volumes.csv"

const (
	sidecarSuffix = "_dseg.json"
	folderMode    = 0o750
)

// Plan is what goes where.
type Plan struct {
	// Items are the scans in their order.
	Items []Item

	out        string
	derivative *bids.Derivative // nil where no data set is among the scans
}

// Item is one scan.
type Item struct {
	// Path of the scan, and the beginning of the paths of its results.
	Path, Stem string

	out    string
	member *bids.Scan // of a data set; nil for others
}

// Make plans for the scans at paths, of which one may be a BIDS data set, and the
// folder out. It refuses scans of which two would share their results, or one
// would be replaced by a result of another: BIDS and others name files as results
// are named. Nothing is written yet.
func Make(out string, paths []string) (Plan, error) {
	p := Plan{out: out}
	for _, path := range paths {
		if !bids.Is(path) {
			p.Items = append(p.Items, Item{Path: path, Stem: filepath.Join(out, scan.Name(path)), out: out})
			continue
		}
		if p.derivative != nil {
			return Plan{}, fmt.Errorf("%s and %s are BIDS data sets; give each a folder of its own", p.derivative.Source, path)
		}
		p.derivative = &bids.Derivative{Folder: out, Source: path, Ignored: ignored()}
		if err := p.derivative.Check(); err != nil {
			return Plan{}, err
		}
		members, err := bids.Scans(path)
		if err != nil {
			return Plan{}, fmt.Errorf("%s: %w", path, err)
		}
		for _, m := range members {
			p.Items = append(p.Items, Item{Path: m.Path, Stem: filepath.Join(out, m.Folder, m.Name), out: out, member: &m})
		}
	}
	return p, p.check()
}

// ignored are patterns of the results that BIDS has no names for.
func ignored() []string {
	list := []string{TableName}
	for _, suffix := range scans.Suffixes(request.Kinds) {
		if filepath.Ext(suffix) != ".gz" && filepath.Ext(suffix) != ".tsv" {
			list = append(list, "*"+suffix)
		}
	}
	return list
}

// check looks for results that meet.
func (p Plan) check() error {
	stems := make(map[string]string)
	var given []fs.FileInfo
	var givenPaths []string
	for _, item := range p.Items {
		if other, taken := stems[item.Stem]; taken {
			return fmt.Errorf("%s and %s would both be written to %s; use two folders", other, item.Path, item.Stem+scans.LabelsSuffix)
		}
		stems[item.Stem] = item.Path
		if info, err := os.Stat(item.Path); err == nil { // of others the reader tells
			given, givenPaths = append(given, info), append(givenPaths, item.Path)
		}
	}
	for _, item := range p.Items {
		for _, suffix := range append(scans.Suffixes(request.Kinds), sidecarSuffix) {
			result, err := os.Stat(item.Stem + suffix)
			if err != nil {
				continue
			}
			for i, info := range given {
				if os.SameFile(info, result) {
					return fmt.Errorf("%s would be overwritten by a result of %s; choose another folder", givenPaths[i], item.Path)
				}
			}
		}
	}
	return nil
}

// Begin makes the folder, and of a BIDS data set what every one has.
func (p Plan) Begin(manifest *model.Manifest, version string) error {
	if err := os.MkdirAll(p.out, folderMode); err != nil {
		return fmt.Errorf("make the folder for results: %w", err)
	}
	if p.derivative == nil {
		return nil
	}
	d := *p.derivative
	d.ProgramVersion, d.Model, d.ModelVersion = version, manifest.Name, manifest.Version
	if err := d.Write(report.WriteFile); err != nil {
		return fmt.Errorf("begin the data set of results: %w", err)
	}
	return nil
}

// Write writes the results of the scan, the label map last, and then its line of
// the table.
func (i Item) Write(result *scans.Result) error {
	folder, name := filepath.Split(i.Stem)
	if err := os.MkdirAll(filepath.Clean(folder), folderMode); err != nil {
		return fmt.Errorf("make the folder for results: %w", err)
	}
	if i.member != nil {
		if err := report.WriteFile(i.Stem+sidecarSuffix, func(w io.Writer) error { return i.member.Sidecar(w) }); err != nil {
			return err
		}
	}
	if err := result.WriteFolder(folder, name); err != nil {
		return err
	}
	return result.Report.AppendCSV(filepath.Join(i.out, TableName), name)
}
