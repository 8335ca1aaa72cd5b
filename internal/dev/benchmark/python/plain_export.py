"""Makes of model.onnx the plain export of the same network: float32 image in,
float32 class scores out, without the mask in the graph.

    python plain_export.py MODEL.onnx PLAIN.onnx CLASSES

The plain network takes `image` (1 x 1 x h x w, 0..255) and `window` and gives
`scores` (1 x classes x h x w). The weights are the same.
"""

import sys

import onnx
from onnx import TensorProto, helper


def plain(model, classes):
    graph = model.graph
    for value in graph.input:
        if value.name == "image":
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.output[:], graph.value_info[:]
    # The mask's nodes are cut off: the scores go into the only Split with an output
    # for each class. They may still lie in blocks, a channel for each pixel of one.
    splits = [node for node in graph.node if node.op_type == "Split" and len(node.output) == classes]
    if len(splits) != 1:
        sys.exit(f"the network does not split its scores into {classes} classes once")
    scores = splits[0].input[0]

    producers = {o: node for node in graph.node for o in node.output}
    needed, open_names = set(), [scores]
    while open_names:
        node = producers.get(open_names.pop())
        if node is not None and id(node) not in needed:
            needed.add(id(node))
            open_names.extend(node.input)
    nodes = [node for node in graph.node if id(node) in needed]
    used = {name for node in nodes for name in node.input}
    initializers = [i for i in graph.initializer if i.name in used]
    inputs = [i for i in graph.input if i.name in used]
    shuffles = [node for node in graph.node if node.op_type == "DepthToSpace" and id(node) not in needed]
    if shuffles:
        size = helper.get_attribute_value(next(a for a in shuffles[0].attribute if a.name == "blocksize"))
        nodes.append(helper.make_node("DepthToSpace", [scores], ["scores"], blocksize=size, mode="CRD"))
    else:
        nodes.append(helper.make_node("Identity", [scores], ["scores"]))
    result = helper.make_graph(
        nodes,
        "plain",
        inputs,
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes, "h", "w"])],
        initializers,
    )
    out = helper.make_model(result, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(out, full_check=True)
    return out


if __name__ == "__main__":
    source, target, count = sys.argv[1:]
    onnx.save(plain(onnx.load(source), int(count)), target)
