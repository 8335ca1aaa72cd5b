package request

// ScanResult is what became of a whole scan.
type ScanResult struct {
	// Files were written, the label map last.
	Files []ScanFile `json:"files"`
	// Tissues without the background; BrainMillilitres is their sum.
	Tissues          []ScanTissue `json:"tissues,omitempty"`
	BrainMillilitres float64      `json:"brainMl"`
	Quality          ScanQuality  `json:"quality"`
	// Grid is that of scan and label map; absent where it was left out.
	Grid *ScanGrid `json:"grid,omitempty"`
	// Planes that were run, and the number of their slices.
	Planes []string `json:"planes,omitempty"`
	Slices int      `json:"slices"`
	// Warnings name the choices that the reader made, as docs/scans.md lists them.
	Warnings []string `json:"warnings,omitempty"`
}

// ScanFile is a result that was written.
type ScanFile struct {
	Kind Kind `json:"kind"`
	File
}

// ScanTissue is the volume of one class.
type ScanTissue struct {
	Value       uint8   `json:"value"` // in the label map
	Name        string  `json:"name"`
	Colour      string  `json:"colour"` // #rrggbb
	Voxels      int     `json:"voxels"`
	Millilitres float64 `json:"ml"`
	Fraction    float64 `json:"fraction"` // of the brain
}

// ScanQuality says whether the figures can be trusted.
type ScanQuality struct {
	// Score is how likely the labels are good, from 0 to 1; absent where the model has
	// other classes than fluid, grey and white matter.
	Score *float64 `json:"score,omitempty"`
	// Agreement is the share of tissue on which the planes agree; absent where one
	// plane was run.
	Agreement float64 `json:"agreement,omitempty"`
	// Flags are reasons for doubt, as docs/scans.md lists them.
	Flags []string `json:"flags"`
}

// ScanGrid is the size in voxels, their size in mm, and the directions of the axes
// in letters, such as RAS.
type ScanGrid struct {
	Size        [3]int     `json:"size"`
	Spacing     [3]float64 `json:"spacingMm"`
	Orientation string     `json:"orientation"`
}

// shortened leaves out what is in the files too.
func (s *ScanResult) shortened() *ScanResult {
	if s == nil {
		return nil
	}
	short := *s
	short.Tissues, short.Grid, short.Planes, short.Warnings = nil, nil, nil, nil
	return &short
}
