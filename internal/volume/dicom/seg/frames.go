package seg

import "github.com/brainseg/brainseg/internal/volume/dicom/derived"

// frames writes the functional groups: what frames share, and each one's own.
func (o *object) frames(e *derived.Encoder) {
	affine := o.labels.Affine
	across, down := affine.Column(0), affine.Column(1)
	width, height := across.Length(), down.Length()
	// The distance of slices is along their normal, whatever their shear.
	distance := o.labels.VoxelVolume() / (width * height)
	e.One(0x52009229, func() { // SharedFunctionalGroupsSequence
		e.One(0x00209116, func() { // PlaneOrientationSequence
			// From right, front to left, back: the first two signs turn.
			row, column := across.Times(1/width), down.Times(1/height)
			e.Decimals(0x00200037, -row[0], -row[1], row[2], -column[0], -column[1], column[2])
		})
		e.One(0x00289110, func() { // PixelMeasuresSequence
			e.Decimals(0x00180050, distance) // SliceThickness
			e.Decimals(0x00180088, distance) // SpacingBetweenSlices
			e.Decimals(0x00280030, height, width)
		})
	})
	slices := len(o.Origin.Slices)
	e.Sequence(0x52009230, len(o.segments)*slices, func(i int) { o.frame(e, i/slices, i%slices) })
}

// frame writes the groups of one frame.
func (o *object) frame(e *derived.Encoder, segment, slice int) {
	source := o.Origin.Slices[slice]
	e.One(0x00089124, func() { // DerivationImageSequence
		e.One(0x00082112, func() { // SourceImageSequence
			e.Text(0x00081150, "UI", source.ClassUID)
			e.Text(0x00081155, "UI", source.InstanceUID)
			if source.Frame > 0 {
				e.Whole(0x00081160, source.Frame) // ReferencedFrameNumber
			}
			e.Text(0x0028135a, "CS", "YES") // SpatialLocationsPreserved
			derived.Coded(e, 0x0040a170, sourceImage)
		})
		derived.Coded(e, 0x00089215, segmentation)
	})
	e.One(0x00209111, func() { e.UL(0x00209157, uint32(segment+1), uint32(slice+1)) }) // FrameContentSequence
	e.One(tagPlanePosition, func() { e.Decimals(tagImagePosition, source.Position[:]...) })
	e.One(tagSegmentIdentification, func() { e.US(tagReferencedSegment, uint16(segment+1)) })
}

// pixelBytes is the length of the pixels, without padding.
func (o *object) pixelBytes() int64 {
	return (int64(len(o.labels.Values))*int64(len(o.segments)) + 7) / 8
}

// pixels writes one bit a voxel, the lowest first. Frames follow each other
// without a gap, in the middle of a byte too.
func (o *object) pixels(e *derived.Encoder) {
	length := o.pixelBytes()
	e.Head(0x7fe00010, "OB", uint32(length+length%2))
	var packed [4096]byte
	n, bit := 0, byte(1)
	for _, s := range o.segments {
		for _, v := range o.labels.Values {
			if v == s.value {
				packed[n] |= bit
			}
			if bit <<= 1; bit != 0 {
				continue
			}
			bit = 1
			if n++; n == len(packed) {
				e.Write(packed[:])
				clear(packed[:])
				n = 0
			}
		}
	}
	if bit != 1 {
		n++
	}
	e.Write(packed[:n])
	if length%2 == 1 {
		e.Write([]byte{0})
	}
}
