// Package compute converts the operators of MXNet that compute: convolutions,
// normalisations, activations, arithmetic and the like.
//
// What only moves elements is in package arrange. Package toonnx finds the
// conversions in Operators.
package compute

import "github.com/brainseg/brainseg/internal/build/mxnet/conversion"

// Operators are those that compute, by MXNet's names; several names for one
// are those of its versions.
var Operators map[string]conversion.Operator

func init() {
	Operators = map[string]conversion.Operator{
		"BatchNorm": conversion.NewOperator(5, 5, batchNorm), "BatchNorm_v1": conversion.NewOperator(5, 5, batchNorm), "CuDNNBatchNorm": conversion.NewOperator(5, 5, batchNorm),
		"Convolution": conversion.NewOperator(2, 3, convolution), "Convolution_v1": conversion.NewOperator(2, 3, convolution), "Deconvolution": conversion.NewOperator(2, 3, deconvolution),
		"FullyConnected": conversion.NewOperator(2, 3, fullyConnected),
		"InstanceNorm":   conversion.NewOperator(3, 3, instanceNorm), "LayerNorm": conversion.NewOperator(3, 3, layerNorm), "L2Normalization": conversion.NewOperator(1, 1, l2Normalization), "LRN": conversion.NewOperator(1, 1, localResponse),
		"Pooling": conversion.NewOperator(1, 1, pooling), "Pooling_v1": conversion.NewOperator(1, 1, pooling),
		"_contrib_AdaptiveAvgPooling2D": conversion.NewOperator(1, 1, adaptiveAvgPooling2D),
		"UpSampling":                    conversion.NewOperator(1, conversion.Unlimited, upSampling), "_contrib_BilinearResize2D": conversion.NewOperator(1, 1, bilinearResize2D),
		"dot": conversion.NewOperator(2, 2, matrixProduct(2)), "batch_dot": conversion.NewOperator(2, 2, matrixProduct(3)),

		"Activation": conversion.NewOperator(1, 1, activation), "LeakyReLU": conversion.NewOperator(1, 2, leakyReLU), "hard_sigmoid": conversion.NewOperator(1, 1, hardSigmoid), "clip": conversion.NewOperator(1, 1, clip),

		"Softmax": conversion.NewOperator(1, 2, softmaxOutput), "SoftmaxOutput": conversion.NewOperator(1, 2, softmaxOutput), "SoftmaxActivation": conversion.NewOperator(1, 1, softmaxActivation),
		"softmax": conversion.NewOperator(1, 1, softmaxAlong("Softmax", false)), "softmin": conversion.NewOperator(1, 1, softmaxAlong("Softmax", true)),
		"log_softmax":            conversion.NewOperator(1, 1, softmaxAlong("LogSoftmax", false)),
		"LinearRegressionOutput": conversion.NewOperator(1, 2, withoutLabel(identity)), "MAERegressionOutput": conversion.NewOperator(1, 2, withoutLabel(identity)),
		"SVMOutput": conversion.NewOperator(1, 2, withoutLabel(identity)), "LogisticRegressionOutput": conversion.NewOperator(1, 2, withoutLabel(unary("Sigmoid"))),

		"BlockGrad": conversion.NewOperator(1, 1, identity), "stop_gradient": conversion.NewOperator(1, 1, identity), "MakeLoss": conversion.NewOperator(1, 1, identity), "make_loss": conversion.NewOperator(1, 1, identity),
		"identity": conversion.NewOperator(1, 1, identity), "_copy": conversion.NewOperator(1, 1, identity), "Dropout": conversion.NewOperator(1, 1, dropout), "Custom": conversion.NewOperator(1, conversion.Unlimited, custom),
		"Cast": conversion.NewOperator(1, 1, castFloat), "cast": conversion.NewOperator(1, 1, castFloat), "amp_cast": conversion.NewOperator(1, 1, castFloat),

		"argmax": conversion.NewOperator(1, 1, argument("ArgMax")), "argmin": conversion.NewOperator(1, 1, argument("ArgMin")), "argmax_channel": conversion.NewOperator(1, 1, argmaxChannel),
		"norm": conversion.NewOperator(1, 1, norm),
	}
	several := func(o conversion.Operator, names ...string) {
		for _, name := range names {
			Operators[name] = o
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
		several(conversion.NewOperator(2, 2, elementwise(operatorName)), names...)
	}
	several(conversion.NewOperator(1, conversion.Unlimited, sumOfAll), "add_n", "ElementWiseSum", "_sum")
	for operatorName, names := range map[string][]string{
		"Add": {"_plus_scalar", "_PlusScalar"},
		"Sub": {"_minus_scalar", "_MinusScalar"},
		"Mul": {"_mul_scalar", "_MulScalar"},
		"Div": {"_div_scalar", "_DivScalar"},
		"Pow": {"_power_scalar", "_PowerScalar"},
		"Max": {"_maximum_scalar", "_MaximumScalar"},
		"Min": {"_minimum_scalar", "_MinimumScalar"},
	} {
		several(conversion.NewOperator(1, 1, withScalar(operatorName)), names...)
	}
	several(conversion.NewOperator(1, 1, scalarWith("Sub")), "_rminus_scalar", "_RMinusScalar")
	several(conversion.NewOperator(1, 1, scalarWith("Div")), "_rdiv_scalar", "_RDivScalar")
	several(conversion.NewOperator(1, 1, scalarWith("Pow")), "_rpower_scalar", "_RPowerScalar")
	for operatorName, name := range map[string]string{
		"Equal": "equal", "Greater": "greater", "GreaterOrEqual": "greater_equal", "Less": "lesser", "LessOrEqual": "lesser_equal",
	} {
		several(conversion.NewOperator(2, 2, comparison(operatorName)), "_"+name, "broadcast_"+name)
		several(conversion.NewOperator(1, 1, compareScalar(operatorName)), "_"+name+"_scalar")
	}
	several(conversion.NewOperator(2, 2, notEqual), "_not_equal", "broadcast_not_equal")
	several(conversion.NewOperator(1, 1, notEqualScalar), "_not_equal_scalar")
	for operatorName, names := range map[string][]string{
		"ReduceSum": {"sum", "sum_axis"}, "ReduceMean": {"mean"}, "ReduceMax": {"max", "max_axis"}, "ReduceMin": {"min", "min_axis"},
		"ReduceProd": {"prod"},
	} {
		several(conversion.NewOperator(1, 1, reduction(operatorName)), names...)
	}
	for name, operatorName := range map[string]string{
		"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softsign": "Softsign", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
		"abs": "Abs", "negative": "Neg", "_Negative": "Neg", "reciprocal": "Reciprocal", "floor": "Floor", "ceil": "Ceil", "erf": "Erf",
		"sin": "Sin", "cos": "Cos", "sign": "Sign",
	} {
		Operators[name] = conversion.NewOperator(1, 1, unary(operatorName))
	}
	Operators["square"] = conversion.NewOperator(1, 1, square)
	Operators["rsqrt"] = conversion.NewOperator(1, 1, reciprocalRoot)
}
