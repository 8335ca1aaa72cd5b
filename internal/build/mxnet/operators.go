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

// operators by MXNet's names; several names for one are those of its versions.
var operators map[string]operator

func init() {
	operators = map[string]operator{
		"BatchNorm": {5, 5, batchNorm}, "BatchNorm_v1": {5, 5, batchNorm}, "CuDNNBatchNorm": {5, 5, batchNorm},
		"Convolution": {2, 3, convolution}, "Convolution_v1": {2, 3, convolution}, "Deconvolution": {2, 3, deconvolution},
		"FullyConnected": {2, 3, fullyConnected},
		"InstanceNorm":   {3, 3, instanceNorm}, "LayerNorm": {3, 3, layerNorm}, "L2Normalization": {1, 1, l2Normalization}, "LRN": {1, 1, localResponse},
		"Pooling": {1, 1, pooling}, "Pooling_v1": {1, 1, pooling},
		"_contrib_AdaptiveAvgPooling2D": {1, 1, adaptiveAvgPooling2D},
		"UpSampling":                    {1, unlimited, upSampling}, "_contrib_BilinearResize2D": {1, 1, bilinearResize2D},
		"dot": {2, 2, matrixProduct(2)}, "batch_dot": {2, 2, matrixProduct(3)},

		"Activation": {1, 1, activation}, "LeakyReLU": {1, 2, leakyReLU}, "hard_sigmoid": {1, 1, hardSigmoid}, "clip": {1, 1, clip},

		"Softmax": {1, 2, softmaxOutput}, "SoftmaxOutput": {1, 2, softmaxOutput}, "SoftmaxActivation": {1, 1, softmaxActivation},
		"softmax": {1, 1, softmaxAlong("Softmax", false)}, "softmin": {1, 1, softmaxAlong("Softmax", true)},
		"log_softmax":            {1, 1, softmaxAlong("LogSoftmax", false)},
		"LinearRegressionOutput": {1, 2, withoutLabel(identity)}, "MAERegressionOutput": {1, 2, withoutLabel(identity)},
		"SVMOutput": {1, 2, withoutLabel(identity)}, "LogisticRegressionOutput": {1, 2, withoutLabel(unary("Sigmoid"))},

		"BlockGrad": {1, 1, identity}, "stop_gradient": {1, 1, identity}, "MakeLoss": {1, 1, identity}, "make_loss": {1, 1, identity},
		"identity": {1, 1, identity}, "_copy": {1, 1, identity}, "Dropout": {1, 1, dropout}, "Custom": {1, unlimited, custom},
		"Cast": {1, 1, castFloat}, "cast": {1, 1, castFloat}, "amp_cast": {1, 1, castFloat},

		"Reshape": {1, 1, reshape}, "reshape": {1, 1, reshape}, "Flatten": {1, 1, flatten}, "flatten": {1, 1, flatten},
		"transpose": {1, 1, transpose}, "SwapAxis": {1, 1, swapAxis}, "swapaxes": {1, 1, swapAxis},
		"expand_dims": {1, 1, expandDims}, "squeeze": {1, 1, squeeze},
		"depth_to_space": {1, 1, blocks("DepthToSpace")}, "space_to_depth": {1, 1, blocks("SpaceToDepth")},

		"Concat": {1, unlimited, concat}, "concat": {1, unlimited, concat}, "stack": {1, unlimited, stack},
		"SliceChannel": {1, 1, split}, "split": {1, 1, split}, "slice_axis": {1, 1, sliceAxis}, "slice": {1, 1, slice}, "crop": {1, 1, slice},
		"slice_like": {2, 2, sliceLike}, "Crop": {1, 2, crop}, "Pad": {1, 1, pad}, "pad": {1, 1, pad},

		"argmax": {1, 1, argument("ArgMax")}, "argmin": {1, 1, argument("ArgMin")}, "argmax_channel": {1, 1, argmaxChannel},
		"norm": {1, 1, norm},
	}
	several := func(o operator, names ...string) {
		for _, name := range names {
			operators[name] = o
		}
	}
	for operatorName, names := range map[string][]string{
		"Add": {"elemwise_add", "_plus", "_Plus", "_add", "_grad_add", "broadcast_add", "broadcast_plus"},
		"Sub": {"elemwise_sub", "_minus", "_Minus", "_sub", "broadcast_sub", "broadcast_minus"},
		"Mul": {"elemwise_mul", "_mul", "_Mul", "broadcast_mul"},
		"Div": {"elemwise_div", "_div", "_Div", "broadcast_div"},
		"Pow": {"_power", "_Power", "broadcast_power"},
		"Max": {"_maximum", "_Maximum", "broadcast_maximum"},
		"Min": {"_minimum", "_Minimum", "broadcast_minimum"},
	} {
		several(operator{2, 2, elementwise(operatorName)}, names...)
	}
	several(operator{1, unlimited, sumOfAll}, "add_n", "ElementWiseSum", "_sum")
	for operatorName, names := range map[string][]string{
		"Add": {"_plus_scalar", "_PlusScalar"},
		"Sub": {"_minus_scalar", "_MinusScalar"},
		"Mul": {"_mul_scalar", "_MulScalar"},
		"Div": {"_div_scalar", "_DivScalar"},
		"Pow": {"_power_scalar", "_PowerScalar"},
		"Max": {"_maximum_scalar", "_MaximumScalar"},
		"Min": {"_minimum_scalar", "_MinimumScalar"},
	} {
		several(operator{1, 1, withScalar(operatorName)}, names...)
	}
	several(operator{1, 1, scalarWith("Sub")}, "_rminus_scalar", "_RMinusScalar")
	several(operator{1, 1, scalarWith("Div")}, "_rdiv_scalar", "_RDivScalar")
	several(operator{1, 1, scalarWith("Pow")}, "_rpower_scalar", "_RPowerScalar")
	for operatorName, name := range map[string]string{
		"Equal": "equal", "Greater": "greater", "GreaterOrEqual": "greater_equal", "Less": "lesser", "LessOrEqual": "lesser_equal",
	} {
		several(operator{2, 2, comparison(operatorName)}, "_"+name, "broadcast_"+name)
		several(operator{1, 1, compareScalar(operatorName)}, "_"+name+"_scalar")
	}
	several(operator{2, 2, notEqual}, "_not_equal", "broadcast_not_equal")
	several(operator{1, 1, notEqualScalar}, "_not_equal_scalar")
	for operatorName, names := range map[string][]string{
		"ReduceSum": {"sum", "sum_axis"}, "ReduceMean": {"mean"}, "ReduceMax": {"max", "max_axis"}, "ReduceMin": {"min", "min_axis"},
		"ReduceProd": {"prod"},
	} {
		several(operator{1, 1, reduction(operatorName)}, names...)
	}
	for name, operatorName := range map[string]string{
		"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softsign": "Softsign", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
		"abs": "Abs", "negative": "Neg", "_Negative": "Neg", "reciprocal": "Reciprocal", "floor": "Floor", "ceil": "Ceil", "erf": "Erf",
		"sin": "Sin", "cos": "Cos", "sign": "Sign",
	} {
		operators[name] = operator{1, 1, unary(operatorName)}
	}
	operators["square"] = operator{1, 1, square}
	operators["rsqrt"] = operator{1, 1, reciprocalRoot}
}
