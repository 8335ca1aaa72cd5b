"""Writes a trained network as the ONNX graph that the component runs.

The graph holds everything from grey values to classes: `image`, uint8
1 x 1 x height x width, and `window`, float32 low and high, go in; `mask`, uint8
1 x height x width, comes out, and scores where they are asked for (`outputs`).
Height and width are free, multiples of the network's size_multiple. Batch normalisation is folded into the convolutions.

The graph is written node by node from the network's trace instead of by
PyTorch's exporter: it is the same with every PyTorch, and has only operators
that ONNX Runtime runs in its blocked layout.
"""

from __future__ import annotations

import copy
import operator
import pathlib

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from . import outputs
from .window import CLIP_HIGH, CLIP_LOW

OPSET = 13
IR_VERSION = 8


class _Graph:
    """Nodes and initializers of a graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], name: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def fuse(network: nn.Module) -> fx.GraphModule:
    """Traces a network, and folds each batch normalisation into the convolution
    before it."""
    traced = fx.symbolic_trace(copy.deepcopy(network).cpu().float().eval())
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        if not isinstance(modules.get(source.target), nn.Conv2d) or len(source.users) > 1:
            raise ValueError(f"batch normalisation {node.target} does not follow a convolution of its own")
        parent, _, name = source.target.rpartition(".")
        fused = fuse_conv_bn_eval(modules[source.target], modules[node.target])
        setattr(modules[parent], name, fused)
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
    traced.recompile()
    return traced


def _convolution(graph: _Graph, module: nn.Conv2d | nn.ConvTranspose2d, name: str, source: str) -> str:
    inputs = [source, graph.constant(f"{name}.weight", module.weight.detach().numpy())]
    if module.bias is not None:
        inputs.append(graph.constant(f"{name}.bias", module.bias.detach().numpy()))
    kind = "ConvTranspose" if isinstance(module, nn.ConvTranspose2d) else "Conv"
    return graph.add(
        kind,
        inputs,
        name,
        kernel_shape=list(module.kernel_size),
        strides=list(module.stride),
        pads=list(module.padding) * 2,
        dilations=list(module.dilation),
        group=module.groups,
    )


def _module(graph: _Graph, module: nn.Module, name: str, source: str) -> str:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return _convolution(graph, module, name, source)
    if isinstance(module, nn.ReLU):
        return graph.add("Relu", [source], name)
    if isinstance(module, nn.MaxPool2d):
        return graph.add("MaxPool", [source], name, kernel_shape=[module.kernel_size] * 2, strides=[module.stride] * 2)
    if isinstance(module, (nn.Dropout, nn.Dropout2d)):
        return source
    raise ValueError(f"layer {name} ({type(module).__name__}) has no ONNX form here")


def _scores(graph: _Graph, network: nn.Module, source: str) -> str:
    """Adds the network's nodes; returns the name of its scores."""
    traced = fuse(network)
    modules = dict(traced.named_modules())
    names: dict[fx.Node, str] = {}
    for node in traced.graph.nodes:
        inputs = [names[n] for n in node.all_input_nodes]
        if node.op == "placeholder":
            names[node] = source
        elif node.op == "call_module":
            names[node] = _module(graph, modules[node.target], node.name, inputs[0])
        elif node.op == "output":
            return inputs[0]
        elif node.target in (operator.add, torch.add):
            names[node] = graph.add("Add", inputs, node.name)
        elif node.target is torch.cat:
            names[node] = graph.add("Concat", inputs, node.name, axis=1)
        elif node.target is F.interpolate:
            factor = float(node.kwargs["scale_factor"])
            scales = graph.constant("scales", np.array([1, 1, factor, factor], np.float32))
            names[node] = graph.add(
                "Resize",
                [inputs[0], "", scales],
                node.name,
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        elif node.target is F.pixel_shuffle:
            names[node] = graph.add("DepthToSpace", inputs, node.name, blocksize=node.args[1], mode="CRD")
        else:
            raise ValueError(f"operation {node.target} has no ONNX form here")
    raise ValueError("the network has no output")


def _normalise(graph: _Graph) -> str:
    """clip((image - low) / (high - low)), as window.normalise computes it."""
    image = graph.add("Cast", ["image"], "image_float", to=TensorProto.FLOAT)
    axes = graph.constant("axis_0", np.array([0], np.int64))
    one = graph.constant("one", np.array([1], np.int64))
    two = graph.constant("two", np.array([2], np.int64))
    low = graph.add("Slice", ["window", axes, one], "window_low")
    high = graph.add("Slice", ["window", one, two], "window_high")
    width = graph.add("Sub", [high, low], "window_width")
    shifted = graph.add("Sub", [image, low], "image_shifted")
    scaled = graph.add("Div", [shifted, width], "image_scaled")
    limits = [graph.constant("clip_low", np.array(CLIP_LOW, np.float32)), graph.constant("clip_high", np.array(CLIP_HIGH, np.float32))]
    return graph.add("Clip", [scaled, *limits], "image_normalised")


def _decide(graph: _Graph, scores: str, classes: int) -> str:
    """The class with the largest score, of equal ones the first: a chain of
    comparisons, which costs a tenth of ArgMax. Where the scores end in a
    depth-to-space, it is the mask that is rearranged instead, a quarter of the
    bytes."""
    shuffle = graph.nodes[-1] if graph.nodes[-1].op_type == "DepthToSpace" else None
    if shuffle is not None:
        graph.nodes.pop()
        scores = shuffle.input[0]
    parts = [f"score_{c}" for c in range(classes)]
    graph.nodes.append(helper.make_node("Split", [scores], parts, name="split_scores", axis=1))
    best, chosen = parts[0], ""
    for c in range(1, classes):
        better = graph.add("Greater", [parts[c], best], f"better_{c}")
        if c == 1:
            chosen = graph.add("Cast", [better], "chosen_1", to=TensorProto.UINT8)
        else:
            chosen = graph.add("Where", [better, graph.constant(f"class_{c}", np.array(c, np.uint8)), chosen], f"chosen_{c}")
        if c < classes - 1:
            best = graph.add("Max", [best, parts[c]], f"best_{c}")
    if shuffle is not None:
        chosen = graph.add("DepthToSpace", [chosen], "mask_shuffled", blocksize=2, mode="CRD")
    return graph.add("Squeeze", [chosen, graph.constant("one", np.array([1], np.int64))], "mask")


def to_onnx(network: nn.Module, classes: int = 4) -> onnx.ModelProto:
    """Returns the checked ONNX model of a network."""
    graph = _Graph()
    _decide(graph, _scores(graph, network, _normalise(graph)), classes)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "brainseg",
            [
                helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, "height", "width"]),
                helper.make_tensor_value_info("window", TensorProto.FLOAT, [2]),
            ],
            [helper.make_tensor_value_info("mask", TensorProto.UINT8, [1, "height", "width"])],
            list(graph.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="brainseg-training",
    )
    onnx.checker.check_model(model, full_check=True)
    outputs.add_scores(model)
    return model


def parameter_count(network: nn.Module) -> int:
    """Number of trained weights, batch normalisation's included."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def save_graph(model: onnx.ModelProto, path: pathlib.Path) -> None:
    """Writes a graph to path, the same bytes each time."""
    path.write_bytes(model.SerializeToString(deterministic=True))


def save(network: nn.Module, path: pathlib.Path, classes: int = 4) -> None:
    """Writes a network's ONNX model to path."""
    save_graph(to_onnx(network, classes), path)
