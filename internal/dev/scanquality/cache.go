package main

import (
	"compress/gzip"
	"encoding/gob"
	"io"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/threeplane"
)

// kept is what is kept of a segmented scan.
type kept struct {
	Size              [3]int
	Labels            []uint8
	Planes            []volume.Plane
	Slices            int
	Thick             bool
	Agreement         float64
	Confidence, Known float64
}

// load takes a result from the cache; one of another grid counts as none.
func (b *bench) load(key string, v *volume.Volume) (*threeplane.Result, bool) {
	if b.cache == "" {
		return nil, false
	}
	file, err := os.Open(filepath.Join(b.cache, key+".gob.gz"))
	if err != nil {
		return nil, false
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		return nil, false
	}
	var k kept
	if gob.NewDecoder(plain).Decode(&k) != nil || k.Size != v.Size {
		return nil, false
	}
	return &threeplane.Result{Labels: volume.Labels{Grid: v.Grid, Values: k.Labels}, Planes: k.Planes, Slices: k.Slices, Thick: k.Thick, Agreement: k.Agreement, Confidence: k.Confidence, Known: k.Known}, true
}

func (b *bench) store(key string, r *threeplane.Result) error {
	if b.cache == "" {
		return nil
	}
	return report.WriteFile(filepath.Join(b.cache, key+".gob.gz"), func(w io.Writer) error {
		packed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err := gob.NewEncoder(packed).Encode(kept{r.Labels.Size, r.Labels.Values, r.Planes, r.Slices, r.Thick, r.Agreement, r.Confidence, r.Known}); err != nil {
			return err
		}
		return packed.Close()
	})
}
