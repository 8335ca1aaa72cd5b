package threeplane

import "github.com/brainseg/brainseg/internal/resample"

// ownVotes is how much a voxel's own votes count beside one of its neighbours'.
// Measured on scans with labels: fewer smooth thin sulci away, more leave labels
// that change from slice to slice and back.
const ownVotes = 4

// fuse gives each voxel a class that a plane voted for: where the planes differ,
// the one with most votes, those of the six neighbours included. It also returns
// the share of voxels on which the planes agree, of those where any sees tissue.
func fuse(votes [][]uint8, size [3]int, classes int) (fused []uint8, agreement float64) {
	if len(votes) == 1 {
		return votes[0], 1
	}
	fused = make([]uint8, len(votes[0]))
	tally := make([]int, classes)
	tissue, agreed := 0, 0
	for i := range fused {
		first, same := votes[0][i], true
		any := first
		for _, plane := range votes[1:] {
			same = same && plane[i] == first
			any |= plane[i]
		}
		if any != 0 {
			tissue++
		}
		if same {
			fused[i] = first
			if any != 0 {
				agreed++
			}
			continue
		}
		clear(tally)
		for _, plane := range votes {
			tally[plane[i]]++
		}
		for k := range tally {
			tally[k] *= ownVotes
		}
		neighbours(i, size, func(n int) {
			for _, plane := range votes {
				tally[plane[n]]++
			}
		})
		fused[i] = bestOf(tally, votes, i)
	}
	if tissue == 0 {
		return fused, 1
	}
	return fused, float64(agreed) / float64(tissue)
}

// bestOf returns the class with most votes among those that a plane gave the
// voxel; of equal ones that of the last plane, which is the axial one.
func bestOf(tally []int, votes [][]uint8, i int) uint8 {
	best := votes[len(votes)-1][i]
	for _, plane := range votes {
		if k := plane[i]; tally[k] > tally[best] {
			best = k
		}
	}
	return best
}

// neighbours calls f for the voxels that share a face with voxel i.
func neighbours(i int, size [3]int, f func(int)) {
	stride := 1
	for _, n := range size {
		at := i / stride % n
		if at > 0 {
			f(i - stride)
		}
		if at < n-1 {
			f(i + stride)
		}
		stride *= n
	}
}

// toScan brings the result to the scan's grid. Where an axis was scaled, the
// planes' votes are interpolated class by class, and each voxel of the scan gets
// the class with the most; taking the nearest label would leave steps.
func (w *work) toScan(fused []uint8, votes [][]uint8, classes int) []uint8 {
	labels := make([]uint8, w.view.Voxels())
	scaled := w.zoom != [3]float64{1, 1, 1}
	var along [3][]resample.Between
	for axis := range 3 {
		along[axis] = resample.Betweens(w.view.Size[axis], w.size[axis], w.zoom[axis])
	}
	strideY, strideZ := int32(w.size[0]), int32(w.size[0]*w.size[1])
	weights := make([]float32, classes)
	for z, bz := range along[2] {
		for y, by := range along[1] {
			at := w.view.Index(0, y, z)
			rows := [4]int32{bz.A*strideZ + by.A*strideY, bz.A*strideZ + by.B*strideY, bz.B*strideZ + by.A*strideY, bz.B*strideZ + by.B*strideY}
			shares := [4]float32{(1 - bz.Part) * (1 - by.Part), (1 - bz.Part) * by.Part, bz.Part * (1 - by.Part), bz.Part * by.Part}
			for _, bx := range along[0] {
				if !scaled {
					labels[at] = fused[rows[0]+bx.A]
				} else {
					labels[at] = interpolated(fused, votes, rows, shares, bx, weights)
				}
				at += w.view.Step(0)
			}
		}
	}
	return labels
}

// interpolated is the class with most votes between eight voxels. weights is a
// buffer of one element a class.
func interpolated(fused []uint8, votes [][]uint8, rows [4]int32, shares [4]float32, bx resample.Between, weights []float32) uint8 {
	first, same := fused[rows[0]+bx.A], true
	for _, row := range rows {
		same = same && fused[row+bx.A] == first && fused[row+bx.B] == first
	}
	if same {
		return first
	}
	clear(weights)
	for corner, row := range rows {
		left, right := shares[corner]*(1-bx.Part), shares[corner]*bx.Part
		// What was fused decides between equal votes.
		weights[fused[row+bx.A]] += left / 2
		weights[fused[row+bx.B]] += right / 2
		for _, plane := range votes {
			weights[plane[row+bx.A]] += left
			weights[plane[row+bx.B]] += right
		}
	}
	best := 0
	for k, v := range weights {
		if v > weights[best] {
			best = k
		}
	}
	return uint8(best)
}
