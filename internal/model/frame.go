package model

import "fmt"

// Frame says how an image is laid on the canvas that the network is shown: what is
// brighter than air in the middle, no more around it than there must be, the darker
// half to the left. Package segmentation has the rule. A model without a frame is
// shown images as they are.
type Frame struct {
	// Least is the shortest side of a canvas, in pixels.
	Least int `json:"least"`
	// Margin is what a canvas has around the content, in pixels.
	Margin int `json:"margin"`
	// Bright is the share of the window's high end above which a pixel is content;
	// of a model without a window, that of 255.
	Bright float64 `json:"bright"`
	// BrightPixels is how many such pixels a row or column of content has.
	BrightPixels int `json:"brightPixels"`
}

// FeatureFrame stands in Requires where there is a Frame: without it the masks are
// others.
const FeatureFrame = "frame"

// Bounds of a frame, in pixels: they keep the canvas of a small image small.
const (
	maxLeast  = 512
	maxMargin = 128
)

func (f Frame) check() error {
	switch {
	case f.Least < 0 || f.Least > maxLeast:
		return fmt.Errorf("frame.least is %d and must be 0 to %d", f.Least, maxLeast)
	case f.Margin < 0 || f.Margin > maxMargin:
		return fmt.Errorf("frame.margin is %d and must be 0 to %d", f.Margin, maxMargin)
	case !(f.Bright >= 0 && f.Bright < 1):
		return fmt.Errorf("frame.bright is %v and must be 0 to below 1", f.Bright)
	case f.BrightPixels < 1 || f.BrightPixels > maxLeast:
		return fmt.Errorf("frame.brightPixels is %d and must be 1 to %d", f.BrightPixels, maxLeast)
	}
	return nil
}
