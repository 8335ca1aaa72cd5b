"""What a graph gives beside its mask: scores, and a judgement of the mask.

Both are added to a finished graph, whose mask stays what it was to the bit: to
one that `export` has just written, or to that of an earlier model.

ONNX Runtime works out every node of a graph, whichever outputs a run asks for.
So the scores are in a branch that runs take only where they feed the input
`scores_wanted`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SCORES, SWITCH, JUDGEMENT = "scores", "scores_wanted", "judgement"


class _Nodes:
    """Nodes under construction, with their constants."""

    def __init__(self, model: onnx.ModelProto):
        self.graph = model.graph
        self.nodes: list[onnx.NodeProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        if all(i.name != name for i in self.graph.initializer):
            self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], name: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def sum(self, terms: list[str], name: str) -> str:
        """The sum of maps, by pairs: Sum of several is slower."""
        total = terms[0]
        for i, term in enumerate(terms[1:], 1):
            total = self.add("Add", [total, term], name if i == len(terms) - 1 else f"{name}_{i}")
        return total


def _by_output(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def _decision(model: onnx.ModelProto) -> tuple[list[str], str, onnx.NodeProto | None]:
    """The score maps of the classes, the map of chosen classes, and the
    depth-to-space that rearranges it, where there is one."""
    made = _by_output(model)
    split = next((n for n in model.graph.node if n.op_type == "Split" and n.name == "split_scores"), None)
    mask = made.get(model.graph.output[0].name)
    if split is None or mask is None or mask.op_type != "Squeeze":
        raise ValueError("the graph does not decide as export lets it: a model of another making")
    last = made[mask.input[0]]
    shuffle = last if last.op_type == "DepthToSpace" else None
    return list(split.output), shuffle.input[0] if shuffle is not None else mask.input[0], shuffle


def _probabilities(n: _Nodes, model: onnx.ModelProto) -> tuple[list[str], str]:
    """Adds softmax' numerators, and their sum; the largest numerator is 1."""
    parts, _, _ = _decision(model)
    if "scores_total" in _by_output(model):
        return [f"scores_power_{c}" for c in range(len(parts))], "scores_total"
    best = n.add("Max", [f"best_{len(parts) - 2}" if len(parts) > 2 else parts[0], parts[-1]], "scores_best")
    powers = []
    for c, part in enumerate(parts):
        below = n.add("Sub", [part, best], f"scores_below_{c}")
        powers.append(n.add("Exp", [below], f"scores_power_{c}"))
    return powers, n.sum(powers, "scores_total")


def add_scores(model: onnx.ModelProto) -> None:
    """Adds the output `scores`, uint8 1 x classes x height x width: 255 times the
    softmax. It has the shape 1 x 1 x 1 x 1 unless the input `scores_wanted`, bool,
    is true; where that is not fed it is false."""
    graph = model.graph
    if any(o.name == SCORES for o in graph.output):
        return
    parts, _, shuffle = _decision(model)
    n = _Nodes(model)
    powers, total = _probabilities(n, model)
    graph.node.extend(n.nodes)

    n = _Nodes(model)
    factor = n.add("Div", [n.constant("scores_largest", np.array(255, np.float32)), total], "scores_factor")
    half = n.constant("scores_half", np.array(0.5, np.float32))
    bytes_ = []
    for c, power in enumerate(powers):
        scaled = n.add("Mul", [power, factor], f"scores_scaled_{c}")
        rounded = n.add("Add", [scaled, half], f"scores_rounded_{c}")
        bytes_.append(n.add("Cast", [rounded], f"scores_bytes_{c}", to=TensorProto.UINT8))
    given = n.add("Concat", bytes_, "scores_joined", axis=1)
    if shuffle is not None:
        given = n.add("DepthToSpace", [given], "scores_shuffled", blocksize=2, mode="CRD")
    shape = [1, len(parts), "height", "width"]
    wanted = helper.make_graph(n.nodes, "wanted", [], [helper.make_tensor_value_info(given, TensorProto.UINT8, shape)])
    nothing = helper.make_node(
        "Constant", [], ["scores_none"], name="scores_none", value=numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.uint8))
    )
    otherwise = helper.make_graph(
        [nothing], "otherwise", [], [helper.make_tensor_value_info("scores_none", TensorProto.UINT8, [1, 1, 1, 1])]
    )
    graph.node.append(helper.make_node("If", [SWITCH], [SCORES], name=SCORES, then_branch=wanted, else_branch=otherwise))
    # An input with an initializer need not be fed.
    graph.input.append(helper.make_tensor_value_info(SWITCH, TensorProto.BOOL, [1]))
    graph.initializer.append(numpy_helper.from_array(np.array([False]), SWITCH))
    graph.output.append(helper.make_tensor_value_info(SCORES, TensorProto.UINT8, [1, "score_planes", "score_rows", "score_columns"]))
    onnx.checker.check_model(model, full_check=True)


# The features of a slice that a judge looks at, 1 x features: STATISTICS of the
# mask and its scores, then mean and maximum of each channel of the deepest stage.
FEATURES = "judge_features"
STATISTICS = 4

# What a judge sees of a feature is at most so many spreads from the mean.
CLIP = 6.0


@dataclasses.dataclass
class Judge:
    """Weights of the judgement: features (see squeeze_features) less mean, by
    spread, then two layers with ReLU between; the two results are log odds."""

    mean: np.ndarray
    spread: np.ndarray
    first_weight: np.ndarray
    first_bias: np.ndarray
    second_weight: np.ndarray
    second_bias: np.ndarray


def squeeze_features(features: np.ndarray) -> np.ndarray:
    """Features as a judge takes them: none is negative, and some are large."""
    return np.log1p(features)


def _deepest(model: onnx.ModelProto) -> str:
    """The last activation before the graph begins to enlarge."""
    deepest = ""
    for node in model.graph.node:
        if node.op_type in ("Resize", "ConvTranspose") and deepest:
            return deepest
        if node.op_type == "Relu":
            deepest = node.output[0]
    raise ValueError("the graph has no stage that is enlarged again")


def add_features(model: onnx.ModelProto) -> None:
    """Adds the value FEATURES. The statistics: the share of tissue among the pixels,
    the mean over tissue of the largest probability and of its entropy, and the
    entropy outside of tissue by the pixels of tissue."""
    if FEATURES in _by_output(model):
        return
    parts, chosen, _ = _decision(model)
    n = _Nodes(model)
    powers, total = _probabilities(n, model)
    one = n.constant("judge_one", np.array(1, np.float32))
    tissue = n.add("Cast", [n.add("Cast", [chosen], "judge_is_tissue", to=TensorProto.BOOL)], "judge_tissue", to=TensorProto.FLOAT)
    largest = n.add("Div", [one, total], "judge_largest")
    # Entropy: log of the sum less the mean of the logarithms, which are differences of scores.
    terms = [n.add("Mul", [power, f"scores_below_{c}"], f"judge_term_{c}") for c, power in enumerate(powers)]
    mean = n.add("Mul", [n.sum(terms, "judge_terms"), largest], "judge_mean_logarithm")
    entropy = n.add("Sub", [n.add("Log", [total], "judge_logarithm"), mean], "judge_entropy")

    def reduced(kind: str, value: str, name: str) -> str:
        return n.add(kind, [value], name, keepdims=0)

    pixels = n.add("Add", [reduced("ReduceSum", tissue, "judge_pixels"), one], "judge_pixels_and_one")
    share = reduced("ReduceMean", tissue, "judge_share")
    sums = []
    for name, value in (("largest", largest), ("entropy", entropy)):
        inside = n.add("Mul", [value, tissue], f"judge_{name}_inside")
        sums.append(reduced("ReduceSum", inside, f"judge_{name}_sum"))
    outside = n.add("Sub", [reduced("ReduceSum", entropy, "judge_entropy_all"), sums[1]], "judge_entropy_outside")
    few = n.add("Add", [pixels, n.constant("judge_hundred", np.array(100, np.float32))], "judge_pixels_and_hundred")
    values = [share, *(n.add("Div", [s, pixels], f"{s}_mean") for s in sums), n.add("Div", [outside, few], "judge_unsure_outside")]
    shape = n.constant("judge_row", np.array([1, -1], np.int64))
    row = [n.add("Reshape", [v, shape], f"{v}_row") for v in values]
    deepest = _deepest(model)
    for kind in ("GlobalAveragePool", "GlobalMaxPool"):
        row.append(n.add("Reshape", [n.add(kind, [deepest], f"judge_{kind}"), shape], f"judge_{kind}_row"))
    joined = n.add("Concat", row, "judge_joined", axis=1)
    n.add("Relu", [joined], FEATURES)  # the entropy of a sure pixel may be -1e-8
    model.graph.node.extend(n.nodes)


def add_judgement(model: onnx.ModelProto, judge: Judge) -> None:
    """Adds the output `judgement`, float32 of shape [2]: confidence, and how likely
    the slice is known; both 0 to 1."""
    if any(o.name == JUDGEMENT for o in model.graph.output):
        raise ValueError("the graph has a judgement already")
    add_features(model)
    n = _Nodes(model)
    logarithm = n.add(
        "Log", [n.add("Add", [FEATURES, n.constant("judge_one", np.array(1, np.float32))], "judge_above")], "judge_logarithms"
    )
    centred = n.add("Sub", [logarithm, n.constant("judge_mean", judge.mean)], "judge_centred")
    scaled = n.add("Div", [centred, n.constant("judge_spread", judge.spread)], "judge_scaled")
    limits = [n.constant("judge_low", np.array(-CLIP, np.float32)), n.constant("judge_high", np.array(CLIP, np.float32))]
    value = n.add("Clip", [scaled, *limits], "judge_clipped")
    for i, (weight, bias) in enumerate(((judge.first_weight, judge.first_bias), (judge.second_weight, judge.second_bias)), 1):
        inputs = [value, n.constant(f"judge_weight_{i}", weight), n.constant(f"judge_bias_{i}", bias)]
        value = n.add("Gemm", inputs, f"judge_layer_{i}", transB=1)
        if i == 1:
            value = n.add("Relu", [value], "judge_activation")
    odds = n.add("Reshape", [value, n.constant("judge_flat", np.array([-1], np.int64))], "judge_odds")
    n.add("Sigmoid", [odds], JUDGEMENT)
    model.graph.node.extend(n.nodes)
    model.graph.output.append(helper.make_tensor_value_info(JUDGEMENT, TensorProto.FLOAT, [2]))
    onnx.checker.check_model(model, full_check=True)
