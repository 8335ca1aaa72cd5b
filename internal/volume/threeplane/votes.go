package threeplane

// ownVotes is how much a voxel's own votes count beside one of its neighbours'.
// Measured on scans with labels: fewer smooth thin sulci away, more leave labels
// that change from slice to slice and back.
const ownVotes = 4

// votes fuses classes, of networks that give no scores: the class with most votes.
type votes struct {
	planes  [][]uint8 // the class of each voxel
	size    [3]int
	classes int
}

func newVotes(planes int, size [3]int, classes int) *votes {
	v := &votes{planes: make([][]uint8, planes), size: size, classes: classes}
	for i := range v.planes {
		v.planes[i] = make([]uint8, size[0]*size[1]*size[2])
	}
	return v
}

func (v *votes) put(n, start, step int, mask []uint8, _ [][]uint8) {
	plane, at := v.planes[n], start
	for _, class := range mask {
		plane[at] = class
		at += step
	}
}

// fuse gives each voxel a class that a plane voted for: where the planes differ,
// the one with most votes, those of the six neighbours included.
func (v *votes) fuse() (fused []uint8, agreement float64) {
	if len(v.planes) == 1 {
		return v.planes[0], 1
	}
	fused = make([]uint8, len(v.planes[0]))
	tally := make([]int, v.classes)
	tissue, same := 0, 0
	for i := range fused {
		first, all := v.planes[0][i], true
		any := first
		for _, plane := range v.planes[1:] {
			all = all && plane[i] == first
			any |= plane[i]
		}
		if any != 0 {
			tissue++
		}
		if all {
			fused[i] = first
			if any != 0 {
				same++
			}
			continue
		}
		clear(tally)
		for _, plane := range v.planes {
			tally[plane[i]]++
		}
		for k := range tally {
			tally[k] *= ownVotes
		}
		neighbours(i, v.size, func(n int) {
			for _, plane := range v.planes {
				tally[plane[n]]++
			}
		})
		fused[i] = v.bestOf(tally, i)
	}
	return fused, agreed(same, tissue)
}

// bestOf returns the class with most votes among those that a plane gave the
// voxel; of equal ones that of the last plane, which is the axial one.
func (v *votes) bestOf(tally []int, i int) uint8 {
	best := v.planes[len(v.planes)-1][i]
	for _, plane := range v.planes {
		if k := plane[i]; tally[k] > tally[best] {
			best = k
		}
	}
	return best
}

// weigh counts each plane, and what was fused half: it decides between equal votes.
func (v *votes) weigh(fused []uint8, voxel int32, share float32, weights []float32) {
	weights[fused[voxel]] += share / 2
	for _, plane := range v.planes {
		weights[plane[voxel]] += share
	}
}
