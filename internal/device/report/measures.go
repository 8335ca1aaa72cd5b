package report

import (
	"math"

	"github.com/brainseg/brainseg/internal/volume"
)

// measures are what a segmented scan shows of its own quality. They take only the
// scan, its labels and what the planes agreed on; classes 1, 2 and 3 are fluid,
// grey and white matter.
type measures struct {
	agreement float64 // of the planes; 1 for one plane
	// What the network says of its masks, NaN for nothing.
	confidence, known float64
	brain             float64 // ml of the tissues
	fractions         [4]float64

	// Contrasts of white and grey matter, and of grey matter and fluid: the
	// difference of their means by their spread.
	whiteGrey, greyFluid float64
	// noise is how far a voxel is from its neighbours, inside of one tissue; and
	// edge is how much of the step from grey to white happens between two
	// neighbours. Both are shares of the difference of the tissues' means.
	noise, edge float64
	// surface is the area between grey and white matter, by that of a ball with
	// the volume of the white matter.
	surface float64
	// largest is the share of the tissue that hangs together.
	largest float64
	// mirror is how well the brain falls on itself when left and right are
	// exchanged (Dice).
	mirror float64
	// long and high are the brain's length and height by its width.
	long, high float64
	// lost is an estimate of how much of the brain is missing, by empty slices
	// within it and by plane faces that it ends in.
	lost float64
}

// measure computes the measures of tissues as 1, 2 and 3.
func measure(in Input, counts [256]int) measures {
	m := measures{agreement: in.Agreement, confidence: in.Confidence, known: in.Known}
	if !(in.Confidence > 0 || in.Known > 0) {
		m.confidence, m.known = math.NaN(), math.NaN()
	}
	if len(in.Planes) < 2 {
		m.agreement = 1
	}
	tissue := counts[1] + counts[2] + counts[3]
	m.brain = float64(tissue) * in.Labels.VoxelVolume() / 1000
	if tissue == 0 {
		return m
	}
	for class := 1; class <= 3; class++ {
		m.fractions[class] = float64(counts[class]) / float64(tissue)
	}
	m.contrasts(in)
	m.shape(in.Labels)
	m.largest = float64(largestPart(in.Labels)) / float64(tissue)
	return m
}

// contrasts looks at the grey values within the tissues and between them.
func (m *measures) contrasts(in Input) {
	var n, sum, squares [4]float64
	for i, label := range in.Labels.Values {
		if v := float64(in.Scan.Values[i]); label <= 3 && v-v == 0 {
			n[label]++
			sum[label] += v
			squares[label] += float64(v * v)
		}
	}
	var mean, spread [4]float64
	for c := range mean {
		if n[c] > 0 {
			mean[c] = sum[c] / n[c]
			spread[c] = math.Sqrt(max(squares[c]/n[c]-float64(mean[c]*mean[c]), 0))
		}
	}
	m.whiteGrey = ratio(mean[3]-mean[2], (spread[3]+spread[2])/2)
	m.greyFluid = ratio(mean[2]-mean[1], (spread[2]+spread[1])/2)

	view := in.Labels.View()
	spacing := view.Spacing()
	var faces [3]float64
	for axis := range faces {
		faces[axis] = spacing[(axis+1)%3] * spacing[(axis+2)%3]
	}
	labels, values := in.Labels.Values, in.Scan.Values
	area, step, steps, rough, inner := 0.0, 0.0, 0.0, 0.0, 0.0
	for z := 1; z < view.Size[2]-1; z++ {
		for y := 1; y < view.Size[1]-1; y++ {
			at := view.Index(1, y, z)
			for x := 1; x < view.Size[0]-1; x++ {
				label, value := labels[at], float64(values[at])
				if label == 2 || label == 3 {
					same := true
					around := 0.0
					for axis := range 3 {
						stride := view.Step(axis)
						after, before := labels[at+stride], labels[at-stride]
						same = same && after == label && before == label
						around += float64(values[at+stride]) + float64(values[at-stride])
						if after == 5-label { // 2 beside 3
							area += faces[axis]
							if d := (float64(values[at+stride]) - value) * float64(int(after)-int(label)); d-d == 0 {
								step += d
								steps++
							}
						}
					}
					if d := math.Abs(value - around/6); same && d-d == 0 {
						rough += d
						inner++
					}
				}
				at += view.Step(0)
			}
		}
	}
	m.edge = ratio(ratio(step, steps), mean[3]-mean[2])
	m.noise = ratio(ratio(rough, inner), math.Abs(mean[3]-mean[1]))
	white := n[3] * in.Labels.VoxelVolume()
	m.surface = ratio(area, math.Cbrt(36*math.Pi*white*white))
}

// ratio is a/b, 0 where there is none.
func ratio(a, b float64) float64 {
	if r := a / b; r-r == 0 {
		return r
	}
	return 0
}

// shape looks at the brain as a whole.
func (m *measures) shape(labels volume.Labels) {
	view := labels.View()
	var areas [3][]int // voxels of tissue in each slice
	for axis := range 3 {
		areas[axis] = make([]int, view.Size[axis])
	}
	var centre float64
	for z := range view.Size[2] {
		for y := range view.Size[1] {
			at := view.Index(0, y, z)
			for x := range view.Size[0] {
				if labels.Values[at] != 0 {
					areas[0][x]++
					areas[1][y]++
					areas[2][z]++
					centre += float64(x)
				}
				at += view.Step(0)
			}
		}
	}
	total := 0
	for _, n := range areas[0] {
		total += n
	}
	spacing := view.Spacing()
	var extent [3]float64
	kept := 1.0
	for axis, area := range areas {
		from, to, share := span(area, total)
		extent[axis] = float64(to-from) * spacing[axis]
		kept *= share
	}
	m.lost = 1 - kept
	m.long, m.high = ratio(extent[1], extent[0]), ratio(extent[2], extent[0])

	// Twice the centre, in voxels: x and mirrored x add up to it.
	mid := int(math.Round(2 * centre / float64(total)))
	both := 0
	for z := range view.Size[2] {
		for y := range view.Size[1] {
			for x := max(0, mid-view.Size[0]+1); x < min(view.Size[0], mid+1); x++ {
				if labels.Values[view.Index(x, y, z)] != 0 && labels.Values[view.Index(mid-x, y, z)] != 0 {
					both++
				}
			}
		}
	}
	m.mirror = float64(both) / float64(total)
}

// span finds the slices between which the brain is, without the first and the last
// hundredth of it, and the share of it that is there: it has gaps, and where it
// ends at once, a part of a ball is missing.
func span(area []int, total int) (from, to int, share float64) {
	largest := 0
	for _, n := range area {
		largest = max(largest, n)
	}
	seen := 0
	from = -1
	for i, n := range area {
		seen += n
		if from < 0 && seen > total/100 {
			from = i
		}
		if seen <= total-total/100 {
			to = i + 1
		}
	}
	to = max(to, from+1)
	gaps, before := 0.0, float64(area[from])
	for i := from; i < to; i++ {
		if float64(area[i]) < before/4 && i+1 < to { // empty, or nearly so, where there was much
			gaps += before - float64(area[i])
			continue
		}
		before = float64(area[i])
	}
	share = float64(total) / (float64(total) + gaps)
	for _, end := range []struct{ at, out int }{{from, -1}, {to - 1, 1}} {
		// The largest step outwards near the end.
		face := 0
		for i := end.at - 3; i <= end.at+3; i++ {
			if i < 0 || i >= len(area) {
				continue
			}
			outside := 0
			if o := i + end.out; o >= 0 && o < len(area) {
				outside = area[o]
			}
			face = max(face, area[i]-outside)
		}
		share *= 1 - capOf(float64(face)/float64(largest))
	}
	return from, to, share
}

// capOf is the share of a ball beyond a plane that cuts it in a circle with that
// share of its largest one.
func capOf(face float64) float64 {
	height := math.Sqrt(max(0, 1-face)) // of the plane above the centre
	return (1 - height) * (1 - height) * (2 + height) / 4
}

// largestPart is the number of voxels in the largest part of the tissue that hangs
// together by faces.
func largestPart(labels volume.Labels) int {
	seen := make([]bool, len(labels.Values))
	var stack []int32
	largest := 0
	size := labels.Size
	strides := [3]int{1, size[0], size[0] * size[1]}
	for start, label := range labels.Values {
		if label == 0 || seen[start] {
			continue
		}
		seen[start] = true
		stack = append(stack[:0], int32(start))
		n := 0
		for len(stack) > 0 {
			at := int(stack[len(stack)-1])
			stack = stack[:len(stack)-1]
			n++
			for axis, stride := range strides {
				place := at / stride % size[axis]
				if place > 0 && labels.Values[at-stride] != 0 && !seen[at-stride] {
					seen[at-stride] = true
					stack = append(stack, int32(at-stride))
				}
				if place < size[axis]-1 && labels.Values[at+stride] != 0 && !seen[at+stride] {
					seen[at+stride] = true
					stack = append(stack, int32(at+stride))
				}
			}
		}
		largest = max(largest, n)
	}
	return largest
}
