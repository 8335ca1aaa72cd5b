package modelcheck

import (
	"bytes"
	"context"
	"fmt"
	"image"

	"github.com/brainseg/brainseg/internal/model"
)

// mostUneven is how much the scores of a pixel may miss 255 in sum, a class: each is
// rounded for itself.
const mostUneven = 1

// scoresAgree checks, of a model that gives scores, that the mask stays the same
// where they are asked for, and that they belong together.
func (c *checker) scoresAgree(ctx context.Context, slice *image.Gray, mask []uint8) error {
	if c.opened.Manifest().Scores == nil {
		return nil
	}
	again, scores := make([]uint8, len(mask)), make([]uint8, len(c.classes())*len(mask))
	if _, err := c.opened.SegmentDetailed(ctx, slice, again, scores); err != nil {
		return err
	}
	if !bytes.Equal(mask, again) {
		return fmt.Errorf("%w: the mask is another where scores are asked for", model.ErrNetwork)
	}
	return checkScores(mask, scores)
}

// checkScores checks that the class of each pixel has its largest score, and that
// the scores of a pixel sum up to 255; scores has as many of each class as mask has
// pixels.
func checkScores(mask, scores []uint8) error {
	n := len(mask)
	classes := len(scores) / n
	for i, class := range mask {
		sum := 0
		for k := range classes {
			score := scores[k*n+i]
			sum += int(score)
			if score > scores[int(class)*n+i] {
				return fmt.Errorf("%w: a pixel has class %d, and class %d has a larger score", model.ErrNetwork, class, k)
			}
		}
		if sum < 255-mostUneven*classes || sum > 255+mostUneven*classes {
			return fmt.Errorf("%w: the scores of a pixel sum up to %d instead of 255", model.ErrNetwork, sum)
		}
	}
	return nil
}
