package mxnet

import "math"

// operator is how a node of one kind is converted.
type operator struct {
	// min and max number of inputs.
	min, max int
	// convert adds to the ONNX graph what computes the node's outputs, and returns
	// those.
	convert func(*call) []tensor
}

// unlimited is a number of inputs without a bound.
const unlimited = math.MaxInt
