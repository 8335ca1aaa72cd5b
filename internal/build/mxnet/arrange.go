package mxnet

// arrangeOperators are those that move elements and compute nothing, by MXNet's
// names; several names for one are those of its versions.
var arrangeOperators = map[string]operator{
	"Reshape": {1, 1, reshape}, "reshape": {1, 1, reshape}, "Flatten": {1, 1, flatten}, "flatten": {1, 1, flatten},
	"transpose": {1, 1, transpose}, "SwapAxis": {1, 1, swapAxis}, "swapaxes": {1, 1, swapAxis},
	"expand_dims": {1, 1, expandDims}, "squeeze": {1, 1, squeeze},
	"depth_to_space": {1, 1, blocks("DepthToSpace")}, "space_to_depth": {1, 1, blocks("SpaceToDepth")},

	"Concat": {1, unlimited, concat}, "concat": {1, unlimited, concat}, "stack": {1, unlimited, stack},
	"SliceChannel": {1, 1, split}, "split": {1, 1, split}, "slice_axis": {1, 1, sliceAxis}, "slice": {1, 1, slice}, "crop": {1, 1, slice},
	"slice_like": {2, 2, sliceLike}, "Crop": {1, 2, crop}, "Pad": {1, 1, pad}, "pad": {1, 1, pad},
}
