package volume

// Scan is a volume with what the reader has to tell about it.
type Scan struct {
	Volume
	// Format is "nifti-1", "nifti-2" or "dicom".
	Format string
	// Series is the SeriesInstanceUID of a DICOM series; "" for NIfTI.
	Series string
	// TransferSyntax is how the DICOM images are stored, by name; "" for NIfTI.
	TransferSyntax string
	// Unit is the unit of length in which the file states its grid: "mm", "m",
	// "um", or "unknown". The grid of Scan is always in mm.
	Unit string
	// DataType is the type of the stored voxels, such as "int16".
	DataType string
	// Scaling is how values follow from stored numbers; nil where they are the
	// same.
	Scaling *Scaling
	// Warnings tell each choice that was made.
	Warnings []Warning
	// LeftOut are the files of a folder or zip that are not part of the volume.
	LeftOut []LeftOut
}

// Warn adds a warning.
func (s *Scan) Warn(name, format string, a ...any) {
	s.Warnings = append(s.Warnings, Warn(name, format, a...))
}

// Scaling is value = Slope * stored + Intercept, or its range over the slices.
type Scaling struct {
	Slope     float64 `json:"slope"`
	Intercept float64 `json:"intercept"`
	// Varies tells that the slices have scalings of their own; Slope and
	// Intercept are then those of the first.
	Varies bool `json:"varies,omitempty"`
}

// LeftOut is files with one reason why they are not part of the volume.
type LeftOut struct {
	Reason string `json:"reason"`
	// Files are named below the folder or in the zip; at most a few, Count tells
	// how many there are.
	Files []string `json:"files"`
	Count int      `json:"count"`
}

// Options are what the caller decides where a file leaves a choice. The zero
// value decides nothing.
type Options struct {
	// Assume is the orientation to take where the file records none: "" (refuse)
	// or "RAS", the only one: the axes as they are stored run to the right, to
	// the front and upwards.
	Assume string
	// Series is the SeriesInstanceUID to read; "" lets the rules choose.
	Series string
	// Volume is which volume of several to read, from 1; 0 is the first of a
	// NIfTI file, which is told, and refuses a series with several.
	Volume int
	// MaxVoxels bounds what is read; 0 is the constant MaxVoxels.
	MaxVoxels int
}

// Limit is the number of voxels allowed.
func (o Options) Limit() int {
	if o.MaxVoxels > 0 {
		return o.MaxVoxels
	}
	return MaxVoxels
}
