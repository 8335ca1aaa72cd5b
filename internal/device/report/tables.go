package report

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// WriteBIDS writes what the labels mean as BIDS has it for *_dseg.tsv: index,
// name, abbreviation and colour, tab-separated.
func WriteBIDS(w io.Writer, classes []Class) error {
	lines := []string{"index\tname\tabbreviation\tcolor"}
	for _, c := range classes {
		lines = append(lines, fmt.Sprintf("%d\t%s\t%s\t%s", c.Value, c.Name, abbreviation(c.Name), c.Colour))
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// abbreviation is that of BIDS' common labels, or the name.
func abbreviation(name string) string {
	switch name {
	case "background":
		return "BG"
	case "csf":
		return "CSF"
	case "grey-matter":
		return "GM"
	case "white-matter":
		return "WM"
	}
	return name
}

// WriteITKSnap writes what the labels mean as a label description file of
// ITK-SNAP: index, red, green, blue, opacity, visibility, mesh visibility, name.
func WriteITKSnap(w io.Writer, classes []Class) error {
	var b strings.Builder
	b.WriteString("# ITK-SnAP Label Description File\n")
	for _, c := range classes {
		rgb, _ := strconv.ParseUint(strings.TrimPrefix(c.Colour, "#"), 16, 32)
		visible := 1
		if c.Value == 0 {
			visible = 0
		}
		fmt.Fprintf(&b, "%5d %5d %4d %4d %8d %2d %2d    %q\n", c.Value, rgb>>16&0xff, rgb>>8&0xff, rgb&0xff, visible, visible, visible, c.Name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// CSVHeader is the first line of a table of scans; CSVRow the line of one.
func (r Report) CSVHeader() []string {
	row := []string{"scan"}
	for _, t := range r.Tissues {
		row = append(row, t.Name+"_ml")
	}
	return append(row, "brain_ml", "score", "agreement", "flags", "model", "model_version")
}

// CSVRow is the scan's line under CSVHeader. name is what the caller calls the scan.
func (r Report) CSVRow(name string) []string {
	row := []string{name}
	for _, t := range r.Tissues {
		row = append(row, strconv.FormatFloat(t.Millilitres, 'f', 2, 64))
	}
	var flags []string
	score := ""
	if r.Quality.Score != nil {
		score = strconv.FormatFloat(*r.Quality.Score, 'f', 4, 64)
	}
	for _, f := range r.Quality.Flags {
		flags = append(flags, f.Name)
	}
	return append(row, strconv.FormatFloat(r.BrainMillilitres, 'f', 2, 64), score,
		strconv.FormatFloat(r.Quality.Agreement, 'f', 4, 64), strings.Join(flags, " "), r.Model.Name, r.Model.Version)
}

// WriteCSV writes rows as RFC 4180 has it, with line feeds only.
func WriteCSV(w io.Writer, rows ...[]string) error {
	c := csv.NewWriter(w)
	if err := c.WriteAll(rows); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// AppendCSV adds the line of the scan with that name to the table at path, and the
// heading where the table is new. A table with other columns, as of a model with
// other classes, is left as it is.
func (r Report) AppendCSV(path, name string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o640)
	if err != nil {
		return fmt.Errorf("add to the table: %w", err)
	}
	defer file.Close()
	rows := [][]string{r.CSVRow(name)}
	switch heading, err := csv.NewReader(file).Read(); {
	case errors.Is(err, io.EOF):
		rows = append([][]string{r.CSVHeader()}, rows...)
	case err != nil:
		return fmt.Errorf("add to the table: look at the heading of %s: %w", path, err)
	case !slices.Equal(heading, r.CSVHeader()):
		return fmt.Errorf("add to the table: %s has other columns; move it away, or name another folder", path)
	}
	if err := WriteCSV(file, rows...); err != nil {
		return fmt.Errorf("add to %s: %w", path, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("add to %s: %w", path, err)
	}
	return file.Close()
}

// WriteJSON writes the report for programs, and for people who look.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text is what a person wants to know first: volumes, flags and warnings.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%15s %9s %8s\n", "tissue", "ml", "share")
	for _, t := range r.Tissues {
		fmt.Fprintf(&b, "%15s %9.1f %6.1f %%\n", t.Name, t.Millilitres, 100*t.Fraction)
	}
	fmt.Fprintf(&b, "%15s %9.1f\n\n", "brain", r.BrainMillilitres)
	if r.Quality.Score != nil {
		fmt.Fprintf(&b, "quality   %.2f, from 0 to 1\n", *r.Quality.Score)
	}
	for _, flag := range r.Quality.Flags {
		fmt.Fprintf(&b, "look      %s: %s\n", flag.Name, flag.Text)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "note      %s\n", warning)
	}
	return b.String()
}
