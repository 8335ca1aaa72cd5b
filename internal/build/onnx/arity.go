package onnx

import "math"

// arity is how many inputs and outputs an operator takes, over all versions from
// MinOpset on.
type arity struct{ minInputs, maxInputs, maxOutputs int }

var (
	unary    = arity{1, 1, 1}
	binary2  = arity{2, 2, 1}
	variadic = arity{1, math.MaxInt, 1}
	reduce   = arity{1, 2, 1}
)

// arities lists the operators that this project writes or rewrites; see
// https://onnx.ai/onnx/operators.
var arities = map[string]arity{
	"Abs": unary, "Cast": unary, "Ceil": unary, "Cos": unary, "DepthToSpace": unary, "Elu": unary, "Erf": unary, "Exp": unary,
	"Flatten": unary, "Floor": unary, "GlobalAveragePool": unary, "GlobalMaxPool": unary, "HardSigmoid": unary, "Identity": unary,
	"LRN": unary, "LeakyRelu": unary, "Log": unary, "LogSoftmax": unary, "LpPool": unary, "AveragePool": unary, "Neg": unary, "Not": unary,
	"Reciprocal": unary, "Relu": unary, "Selu": unary, "Shape": unary, "Sigmoid": unary, "Sign": unary, "Sin": unary, "Softmax": unary,
	"Softplus": unary, "Softsign": unary, "SpaceToDepth": unary, "Sqrt": unary, "Tanh": unary, "Transpose": unary, "ArgMax": unary, "ArgMin": unary,

	"Add": binary2, "Div": binary2, "Equal": binary2, "Gather": binary2, "Greater": binary2, "GreaterOrEqual": binary2, "Less": binary2,
	"LessOrEqual": binary2, "MatMul": binary2, "Mul": binary2, "PRelu": binary2, "Pow": binary2, "Reshape": binary2, "Sub": binary2,
	"Expand": binary2, "And": binary2, "Or": binary2, "Tile": binary2,

	"Concat": variadic, "Max": variadic, "Min": variadic, "Sum": variadic, "Mean": variadic,

	"ReduceL1": reduce, "ReduceL2": reduce, "ReduceMax": reduce, "ReduceMean": reduce, "ReduceMin": reduce, "ReduceProd": reduce,
	"ReduceSum": reduce, "ReduceSumSquare": reduce, "Squeeze": reduce, "Unsqueeze": reduce,

	"BatchNormalization":    {5, 5, 5},
	"Clip":                  {1, 3, 1},
	"Conv":                  {2, 3, 1},
	"ConvTranspose":         {2, 3, 1},
	"Dropout":               {1, 3, 2},
	"Gemm":                  {2, 3, 1},
	"InstanceNormalization": {3, 3, 1},
	"LayerNormalization":    {2, 3, 3},
	"MaxPool":               {1, 1, 2},
	"Pad":                   {1, 4, 1},
	"Resize":                {1, 4, 1},
	"Slice":                 {1, 5, 1},
	"Split":                 {1, 2, math.MaxInt},
	"Upsample":              {1, 2, 1},
	"Where":                 {3, 3, 1},
}
