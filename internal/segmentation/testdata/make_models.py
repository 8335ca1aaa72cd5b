"""Writes the small networks that the tests run, with their manifests.

    python3 make_models.py      (needs: pip install onnx==1.23.2 numpy)

Each is a folder as segmentation.Open takes it:

threshold   mask 1 where the pixel is above the window's low end, 2 where it is
            above the high end, otherwise 0; takes only multiples of 8
scores      the form of the 2018 system: float32 in, float32 scores out; class k
            has the score -(x - 80 k)^2
values      mask = pixel / 32: from 96 on a value that is none of the 3 classes
framed      mask 1 where the pixel's block of 8 x 8, weighed by place and side, is
            bright: another one where the image is moved or mirrored, but for the frame
endless     mask 1 where the pixel is above 128; an image of which any pixel is 253
            keeps the network busy for hours, in one operator, which nothing ends
judged      mask 1 where the pixel is 128 and more; its scores are 255 - pixel and
            pixel, its confidence the mean pixel / 255, and known the largest
"""

import hashlib
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
COLOURS = ["#000000", "#3b7dd8", "#7f7f7f", "#f2f2f2"]
WINDOW = {"kind": "percentile-window", "input": "window", "low": 0.01, "high": 0.99, "ignoreBelowOrEqual": 0}


def constant(name, values, dtype):
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def write(name, nodes, constants, inputs, outputs, manifest):
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="")
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    folder = HERE / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    document = {
        "schemaVersion": 1,
        "name": name,
        "version": "1.0.0",
        "file": "model.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        **manifest,
    }
    document["classes"] = [{"value": v, "name": n, "colour": COLOURS[v]} for v, n in enumerate(document["classes"])]
    (folder / "manifest.json").write_text(json.dumps(document, indent=2) + "\n")


def image(kind, multiple):
    return {"name": "image", "type": kind, "layout": "NCHW", "channels": 1, "sizeMultiple": multiple}


def tensor(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


MASK = {"name": "mask", "type": "uint8", "layout": "NHW"}
UINT8, FLOAT = TensorProto.UINT8, TensorProto.FLOAT

write(
    "threshold",
    [
        helper.make_node("Cast", ["image"], ["x"], to=FLOAT),
        helper.make_node("SpaceToDepth", ["x"], ["blocks"], blocksize=8),
        helper.make_node("DepthToSpace", ["blocks"], ["same"], blocksize=8),
        helper.make_node("Gather", ["window", "zero"], ["low"]),
        helper.make_node("Gather", ["window", "one"], ["high"]),
        helper.make_node("Greater", ["same", "low"], ["above_low"]),
        helper.make_node("Greater", ["same", "high"], ["above_high"]),
        helper.make_node("Cast", ["above_low"], ["a"], to=UINT8),
        helper.make_node("Cast", ["above_high"], ["b"], to=UINT8),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Squeeze", ["sum", "axes"], ["mask"]),
    ],
    [constant("zero", 0, np.int64), constant("one", 1, np.int64), constant("axes", [1], np.int64)],
    [tensor("image", UINT8, [1, 1, "h", "w"]), tensor("window", FLOAT, [2])],
    [tensor("mask", UINT8, [1, "h", "w"])],
    {
        "input": image("uint8", 8),
        "normalisation": WINDOW,
        "output": MASK,
        "classes": ["below", "inside", "above"],
        "parameters": 0,
        "provenance": {"madeBy": "make_models.py"},
        "licence": "that of this repository",
    },
)

write(
    "scores",
    [
        helper.make_node("Sub", ["image", "centres"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["square"]),
        helper.make_node("Neg", ["square"], ["scores"]),
    ],
    [constant("centres", np.array([0, 80, 160, 240]).reshape(1, 4, 1, 1), np.float32)],
    [tensor("image", FLOAT, [1, 1, "h", "w"])],
    [tensor("scores", FLOAT, [1, 4, "h", "w"])],
    {
        "input": image("float32", 4),
        "normalisation": {"kind": "none"},
        "output": {"name": "scores", "type": "float32", "layout": "NCHW"},
        "classes": ["background", "a", "b", "c"],
    },
)

write(
    "values",
    [
        helper.make_node("Div", ["image", "step"], ["quotient"]),
        helper.make_node("Squeeze", ["quotient", "axes"], ["mask"]),
    ],
    [constant("step", 32, np.uint8), constant("axes", [1], np.int64)],
    [tensor("image", UINT8, [1, 1, "h", "w"])],
    [tensor("mask", UINT8, [1, "h", "w"])],
    {"input": image("uint8", 1), "normalisation": {"kind": "none"}, "output": MASK, "classes": ["background", "a", "b"]},
)

weights = np.random.default_rng(3).uniform(-1, 1, (1, 1, 8, 8))
write(
    "framed",
    [
        helper.make_node("Cast", ["image"], ["x"], to=FLOAT),
        helper.make_node("Conv", ["x", "weights"], ["blocks"], strides=[8, 8]),
        helper.make_node("Resize", ["blocks", "", "scales"], ["large"], mode="nearest", coordinate_transformation_mode="asymmetric"),
        helper.make_node("Greater", ["large", "nought"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["classes"], to=UINT8),
        helper.make_node("Squeeze", ["classes", "axes"], ["mask"]),
    ],
    [
        constant("weights", weights, np.float32),
        constant("scales", [1, 1, 8, 8], np.float32),
        constant("nought", 0, np.float32),
        constant("axes", [1], np.int64),
    ],
    [tensor("image", UINT8, [1, 1, "h", "w"])],
    tensor("mask", UINT8, [1, "h", "w"]),
    {
        "schemaVersion": 2,
        "requires": ["frame"],
        "frame": {"least": 40, "margin": 8, "bright": 0.1, "brightPixels": 4},
        "input": image("uint8", 8),
        "normalisation": {"kind": "none"},
        "output": MASK,
        "classes": ["dark", "bright"],
    },
)

# The maximum over 4,194,304 values, 4,194,305 times.
LONG = 1 << 23
busy = helper.make_graph(
    [
        helper.make_node("Expand", ["start", "length"], ["long"]),
        helper.make_node("MaxPool", ["long"], ["pooled"], kernel_shape=[LONG // 2]),
        helper.make_node("ReduceMin", ["pooled"], ["least"], keepdims=0),
        helper.make_node("Less", ["least", "nought"], ["never"]),
        helper.make_node("Cast", ["never"], ["late"], to=UINT8),
    ],
    "busy",
    [],
    [tensor("late", UINT8, [])],
)
idle = helper.make_graph([helper.make_node("Identity", ["nothing"], ["none"])], "idle", [], [tensor("none", UINT8, [])])
write(
    "endless",
    [
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        helper.make_node("Equal", ["brightest", "mark"], ["marked"]),
        helper.make_node("Cast", ["brightest"], ["number"], to=FLOAT),
        helper.make_node("Reshape", ["number", "shape"], ["start"]),
        helper.make_node("If", ["marked"], ["offset"], then_branch=busy, else_branch=idle),
        helper.make_node("Div", ["image", "step"], ["quotient"]),
        helper.make_node("Squeeze", ["quotient", "axes"], ["flat"]),
        helper.make_node("Add", ["flat", "offset"], ["mask"]),
    ],
    [
        constant("mark", 253, np.uint8),
        constant("step", 129, np.uint8),
        constant("nothing", 0, np.uint8),
        constant("nought", 0, np.float32),
        constant("axes", [1], np.int64),
        constant("shape", [1, 1, 1], np.int64),
        constant("length", [1, 1, LONG], np.int64),
    ],
    [tensor("image", UINT8, [1, 1, "h", "w"])],
    [tensor("mask", UINT8, [1, "h", "w"])],
    {"input": image("uint8", 1), "normalisation": {"kind": "none"}, "output": MASK, "classes": ["below", "above"]},
)

branches = [
    helper.make_graph(
        [
            helper.make_node("Sub", ["largest", "image"], ["rest"]),
            helper.make_node("Concat", ["rest", "image"], ["given"], axis=1),
        ],
        "wanted",
        [],
        [tensor("given", UINT8, [1, 2, "h", "w"])],
    ),
    helper.make_graph(
        [helper.make_node("Constant", [], ["none"], value=constant("", np.zeros((1, 1, 1, 1)), np.uint8))],
        "otherwise",
        [],
        [tensor("none", UINT8, [1, 1, 1, 1])],
    ),
]
write(
    "judged",
    [
        helper.make_node("Div", ["image", "half"], ["bright"]),
        helper.make_node("Squeeze", ["bright", "axes"], ["mask"]),
        helper.make_node("If", ["scores_wanted"], ["scores"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Cast", ["image"], ["x"], to=FLOAT),
        helper.make_node("Div", ["x", "white"], ["share"]),
        helper.make_node("ReduceMean", ["share"], ["mean"], keepdims=0),
        helper.make_node("ReduceMax", ["share"], ["most"], keepdims=0),
        helper.make_node("Reshape", ["mean", "flat"], ["confidence"]),
        helper.make_node("Reshape", ["most", "flat"], ["known"]),
        helper.make_node("Concat", ["confidence", "known"], ["judgement"], axis=0),
    ],
    [
        constant("half", 128, np.uint8),
        constant("axes", [1], np.int64),
        constant("largest", 255, np.uint8),
        constant("white", 255, np.float32),
        constant("flat", [-1], np.int64),
        constant("scores_wanted", [False], np.bool_),
    ],
    [tensor("image", UINT8, [1, 1, "h", "w"]), tensor("scores_wanted", TensorProto.BOOL, [1])],
    [tensor("mask", UINT8, [1, "h", "w"]), tensor("scores", UINT8, [1, "k", "sh", "sw"]), tensor("judgement", FLOAT, [2])],
    {
        "schemaVersion": 2,
        "requires": ["scores"],
        "input": image("uint8", 1),
        "normalisation": {"kind": "none"},
        "output": MASK,
        "scores": {"name": "scores", "type": "uint8", "layout": "NCHW", "switch": "scores_wanted"},
        "judgement": {"name": "judgement", "leastKnown": 0.5, "madeFrom": "nothing that a reader must know"},
        "classes": ["dark", "bright"],
    },
)
