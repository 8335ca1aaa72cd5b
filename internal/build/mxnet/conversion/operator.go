package conversion

import "math"

// Operator is how a node of one kind is converted.
type Operator struct {
	// Min and max number of inputs.
	Min, Max int
	// Convert adds to the ONNX graph what computes the node's outputs, and returns
	// those.
	Convert func(*Call) []Tensor
}

// Unlimited is a number of inputs without a bound.
const Unlimited = math.MaxInt

// NewOperator returns the operator that takes least to most inputs.
func NewOperator(least, most int, convert func(*Call) []Tensor) Operator {
	return Operator{Min: least, Max: most, Convert: convert}
}
