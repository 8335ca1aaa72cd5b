package model

// Verification is what package modelcheck found.
type Verification struct {
	// Golden has an entry for each golden slice, by path.
	Golden []GoldenMask `json:"golden,omitempty"`
	// Accuracy is nil without labels.
	Accuracy *Accuracy `json:"accuracy,omitempty"`
	// Measured is what modelcheck.Measure found on the machine that checked, nil where nobody
	// asked; the rest is the same on any.
	Measured *Measured `json:"measured,omitempty"`
}

// GoldenMask is what the model makes of a golden slice.
type GoldenMask struct {
	// Slice is the path relative to the golden folder, with slashes.
	Slice  string `json:"slice"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	// Pixels of each class, by its name.
	Pixels map[string]int `json:"pixels"`
	// Agreement is the share of pixels that are as in the golden mask; absent
	// without one.
	Agreement *float64 `json:"agreement,omitempty"`
}

// Accuracy is the agreement with labels. No name of an image is in it, because
// it goes with the model to every device.
type Accuracy struct {
	Images int `json:"images"`
	Slices int `json:"slices"`
	// Planes has the figures by plane; "picture" for PNG.
	Planes map[string]PlaneAccuracy `json:"planes"`
	// Dice of each class but the background, the mean over the planes.
	Dice map[string]float64 `json:"dice"`
	// MeanDice is the mean of Dice.
	MeanDice float64 `json:"meanDice"`
	// WorstImage is the mean Dice of the image where it is the lowest.
	WorstImage float64 `json:"worstImage"`
}

// PlaneAccuracy is the agreement of all pixels of a plane's slices.
type PlaneAccuracy struct {
	Dice     map[string]float64 `json:"dice"`
	MeanDice float64            `json:"meanDice"`
	// Confusion counts pixels: a row for each label, a column for each class of
	// the mask.
	Confusion [][]int64 `json:"confusion"`
}

// Measured is what a model costs on one machine.
type Measured struct {
	// Processor, System ("linux/amd64") and ONNXRuntime's version.
	Processor   string `json:"processor"`
	System      string `json:"system"`
	ONNXRuntime string `json:"onnxRuntime"`
	// P50 and P90 are milliseconds for a slice of Width x Height in one thread.
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Runs   int     `json:"runs"`
	P50    float64 `json:"p50Milliseconds"`
	P90    float64 `json:"p90Milliseconds"`
	// CPU is the mean processor time of a slice in milliseconds: other programs on
	// the machine hardly change it.
	CPU float64 `json:"cpuMilliseconds"`
	// PeakMemory is the largest resident memory of the process while it opened
	// and ran the model, in megabytes (10^6 bytes); 0 where the system does not
	// tell.
	PeakMemory float64 `json:"peakMemoryMegabytes,omitempty"`
}
