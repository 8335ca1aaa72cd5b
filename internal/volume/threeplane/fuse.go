package threeplane

import "github.com/brainseg/brainseg/internal/resample"

// fuser gathers what the planes say of each voxel, and makes one label of it. The
// planes come one after the other; rows of one plane may be put concurrently.
type fuser interface {
	// put takes a row of plane number n: voxel start, and each step further. scores
	// are rows too, one a class, and nil for a fuser of votes.
	put(n, start, step int, mask []uint8, scores [][]uint8)
	// fuse returns each voxel's class, and the share of voxels on which the planes
	// agree, of those where any sees tissue. It is called once, after all rows.
	fuse() (fused []uint8, agreement float64)
	// weigh adds what is said of a voxel, times share, to the weights of the
	// classes. fused is what fuse has returned.
	weigh(fused []uint8, voxel int32, share float32, weights []float32)
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

// agreed is the share of agreement, 1 where there is no tissue.
func agreed(same, tissue int) float64 {
	if tissue == 0 {
		return 1
	}
	return float64(same) / float64(tissue)
}

// toScan brings the result to the scan's grid. Where an axis was scaled, what the
// planes say is interpolated class by class, and each voxel of the scan gets the
// class with the most; taking the nearest label would leave steps.
func (w *work) toScan(fused []uint8, planes fuser, classes int) []uint8 {
	labels := make([]uint8, w.view.Voxels())
	scaled := w.zoom != [3]float64{1, 1, 1}
	weights := make([]float32, classes)
	w.each(func(at int, c corners) {
		if !scaled {
			labels[at] = fused[c.rows[0]+c.x.A]
		} else {
			labels[at] = interpolated(fused, planes, c, weights)
		}
	})
	return labels
}

// probability is the mean score of a class, interpolated to the scan's grid.
func (w *work) probability(s *sums, class int) []uint8 {
	values := make([]uint8, w.view.Voxels())
	weights := make([]float32, s.classes)
	w.each(func(at int, c corners) {
		clear(weights)
		c.weigh(nil, s, weights)
		values[at] = uint8(min(max(weights[class]+0.5, 0), 255))
	})
	return values
}

// corners are the eight voxels of a work around one of the scan's, and their shares
// in it.
type corners struct {
	rows   [4]int32
	shares [4]float32
	x      resample.Between
}

// weigh adds what is said of each corner to the weights of the classes.
func (c *corners) weigh(fused []uint8, planes fuser, weights []float32) {
	for i, row := range c.rows {
		if left := c.shares[i] * (1 - c.x.Part); left != 0 {
			planes.weigh(fused, row+c.x.A, left, weights)
		}
		if right := c.shares[i] * c.x.Part; right != 0 {
			planes.weigh(fused, row+c.x.B, right, weights)
		}
	}
}

// each calls f for every voxel of the scan, by its index there.
func (w *work) each(f func(at int, c corners)) {
	var along [3][]resample.Between
	for axis := range 3 {
		along[axis] = resample.Betweens(w.view.Size[axis], w.size[axis], w.zoom[axis])
	}
	strideY, strideZ := int32(w.size[0]), int32(w.size[0]*w.size[1])
	for z, bz := range along[2] {
		for y, by := range along[1] {
			at := w.view.Index(0, y, z)
			c := corners{
				rows:   [4]int32{bz.A*strideZ + by.A*strideY, bz.A*strideZ + by.B*strideY, bz.B*strideZ + by.A*strideY, bz.B*strideZ + by.B*strideY},
				shares: [4]float32{(1 - bz.Part) * (1 - by.Part), (1 - bz.Part) * by.Part, bz.Part * (1 - by.Part), bz.Part * by.Part},
			}
			for _, c.x = range along[0] {
				f(at, c)
				at += w.view.Step(0)
			}
		}
	}
}

// interpolated is the class with most weight between eight voxels. weights is a
// buffer of one element a class.
func interpolated(fused []uint8, planes fuser, c corners, weights []float32) uint8 {
	first, same := fused[c.rows[0]+c.x.A], true
	for _, row := range c.rows {
		same = same && fused[row+c.x.A] == first && fused[row+c.x.B] == first
	}
	if same {
		return first
	}
	clear(weights)
	c.weigh(fused, planes, weights)
	best := 0
	for k, v := range weights {
		if v > weights[best] {
			best = k
		}
	}
	return uint8(best)
}
