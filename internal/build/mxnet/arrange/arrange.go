// Package arrange converts the operators of MXNet that compute nothing: they
// reshape, join, cut and pad.
//
// The others are in package compute. Package toonnx finds the conversions in
// Operators.
package arrange

import "github.com/brainseg/brainseg/internal/build/mxnet/conversion"

// Operators are those that move elements and compute nothing, by MXNet's
// names; several names for one are those of its versions.
var Operators = map[string]conversion.Operator{
	"Reshape": conversion.NewOperator(1, 1, reshape), "reshape": conversion.NewOperator(1, 1, reshape), "Flatten": conversion.NewOperator(1, 1, flatten), "flatten": conversion.NewOperator(1, 1, flatten),
	"transpose": conversion.NewOperator(1, 1, transpose), "SwapAxis": conversion.NewOperator(1, 1, swapAxis), "swapaxes": conversion.NewOperator(1, 1, swapAxis),
	"expand_dims": conversion.NewOperator(1, 1, expandDims), "squeeze": conversion.NewOperator(1, 1, squeeze),
	"depth_to_space": conversion.NewOperator(1, 1, blocks("DepthToSpace")), "space_to_depth": conversion.NewOperator(1, 1, blocks("SpaceToDepth")),

	"Concat": conversion.NewOperator(1, conversion.Unlimited, concat), "concat": conversion.NewOperator(1, conversion.Unlimited, concat), "stack": conversion.NewOperator(1, conversion.Unlimited, stack),
	"SliceChannel": conversion.NewOperator(1, 1, split), "split": conversion.NewOperator(1, 1, split), "slice_axis": conversion.NewOperator(1, 1, sliceAxis), "slice": conversion.NewOperator(1, 1, slice), "crop": conversion.NewOperator(1, 1, slice),
	"slice_like": conversion.NewOperator(2, 2, sliceLike), "Crop": conversion.NewOperator(1, 2, crop), "Pad": conversion.NewOperator(1, 1, pad), "pad": conversion.NewOperator(1, 1, pad),
}
