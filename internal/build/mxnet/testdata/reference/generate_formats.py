"""Writes formats.npz: params and symbol files in the spellings of MXNet's versions.

MXNet 1.9.1 writes only the newest. The older ones are made here byte by byte, and
MXNet 1.9.1, which still reads them, must find in them what went in.

params/VERSION has a file's bytes, array/NAME/values and array/NAME/shape what is
in it. symbol/SPELLING has the graph of one network in each spelling, with
symbol/params, symbol/in and symbol/out.
"""

import json
import os
import pathlib
import struct
import tempfile

import mxnet as mx
import numpy as np

import compatibility  # noqa: F401  (before mxnet)

HERE = pathlib.Path(__file__).parent
TYPES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}


def save(values):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.params")
        mx.nd.save(path, values)
        return pathlib.Path(path).read_bytes()


def load(content):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.params")
        pathlib.Path(path).write_bytes(content)
        return mx.nd.load(path)


def by_hand(arrays, head):
    """The list format around arrays, each of which begins as head gives it."""
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        out += head(array.shape) + struct.pack("<iii", 1, 0, TYPES[array.dtype.name]) + array.tobytes()
    out += struct.pack("<Q", len(arrays))
    for name in arrays:
        out += struct.pack("<Q", len(name)) + name.encode()
    return out


def legacy(shape):
    return struct.pack(f"<{1 + len(shape)}I", len(shape), *shape)


def first(shape):
    return struct.pack(f"<II{len(shape)}q", 0xF993FAC8, len(shape), *shape)


def params(out):
    random = np.random.RandomState(5)
    arrays = {f"arg:{t}": (random.normal(0, 50, (2, 3)) if "u" not in t else random.uniform(0, 255, (2, 3))).astype(t) for t in TYPES}
    arrays["aux:tiny"] = np.array([6e-8, -3e-5, 65504, np.inf], np.float16)
    arrays["plain"] = random.normal(0, 1, (2, 1, 3, 1, 2)).astype(np.float32)
    held = {k: mx.nd.array(v, dtype=v.dtype) for k, v in arrays.items()}
    files = {"v2": save(held), "v1": by_hand(arrays, first), "legacy": by_hand(arrays, legacy)}
    with mx.util.np_shape(True):
        files["v3"] = save({**held, "arg:scalar": mx.nd.ones(()) * 3})
    assert files["v2"][24:28] == struct.pack("<I", 0xF993FAC9) and files["v3"][24:28] == struct.pack("<I", 0xF993FACA)
    for version, content in files.items():
        out[f"params/{version}"] = np.frombuffer(content, np.uint8)
        if version == "v3":
            continue
        for name, array in load(content).items():
            assert array.dtype == arrays[name].dtype and np.array_equal(array.asnumpy(), arrays[name]), (version, name)
    for name, array in arrays.items():
        plain = name.split(":")[-1]
        out[f"array/{plain}/values"] = array.astype(np.float32).ravel()
        out[f"array/{plain}/shape"] = np.array(array.shape, np.float32)


def network():
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), pad=(1, 1), num_filter=4, name="conv")
    x = mx.sym.BatchNorm(x, fix_gamma=False, eps=0.01, name="bn")
    x = mx.sym.LeakyReLU(x, act_type="prelu", name="prelu")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=3, name="fc"), name="softmax")


def spell(symbol, key, without_statistics=False, edges=3, long_numbers=False):
    """The graph as other versions wrote it."""
    graph = json.loads(symbol.tojson())
    if without_statistics:  # before 0.9 graphs did not list moving means and variances
        kept = [i for i, n in enumerate(graph["nodes"]) if "moving_" not in n["name"]]
        place = {old: new for new, old in enumerate(kept)}
        graph["nodes"] = [graph["nodes"][i] for i in kept]
        for node in graph["nodes"]:
            node["inputs"] = [[place[e[0]]] + e[1:] for e in node["inputs"] if e[0] in place]
        graph["heads"] = [[place[e[0]]] + e[1:] for e in graph["heads"]]
        graph["arg_nodes"] = [place[i] for i in graph["arg_nodes"] if i in place]
        graph.pop("node_row_ptr")
    for node in graph["nodes"]:
        attributes = node.pop("attrs", {})
        if long_numbers:
            attributes = {k: v.replace("(3, 3)", "(3L, 3L)") for k, v in attributes.items()}
        if key == "param":
            node["param"] = {} if node["op"] == "null" else attributes
            node["attr"] = {"lr_mult": "0.5", "ctx_group": "dev1"} if node["name"] == "conv" else {}
            node["backward_source_id"] = -1
        elif attributes:
            node[key] = attributes
        node["inputs"] = [e[:edges] for e in node["inputs"]]
    graph["heads"] = [e[:edges] for e in graph["heads"]]
    if key != "attrs":
        version = graph.pop("attrs")["mxnet_version"]
        if key == "attr":
            graph["attrs"] = {"mxnet_version": [version[0], 1100]}
    return json.dumps(graph)


def symbols(out):
    random = np.random.RandomState(6)
    symbol = network()
    shapes, _, statistics = symbol.infer_shape(data=(2, 1, 6, 5))
    draw = lambda shape: mx.nd.array(random.uniform(0.1, 1, shape))  # noqa: E731
    arguments = {k: draw(s) for k, s in zip(symbol.list_arguments(), shapes) if k not in ("data", "softmax_label")}
    auxiliary = {k: draw(s) for k, s in zip(symbol.list_auxiliary_states(), statistics)}
    data = draw((2, 1, 6, 5))
    spellings = {
        "attrs": symbol.tojson(),
        "attr": spell(symbol, "attr"),
        "long": spell(symbol, "attr", long_numbers=True),
        "param": spell(symbol, "param", edges=2),
        "bare": spell(symbol, "param", edges=2, without_statistics=True),
    }
    results = []
    for spelling, text in spellings.items():
        loaded = mx.sym.load_json(text)
        bound = {**arguments, "data": data, "softmax_label": mx.nd.zeros((2,))}
        executor = loaded.bind(mx.cpu(), bound, aux_states=auxiliary, grad_req="null")
        results.append(executor.forward(is_train=False)[0].asnumpy())
        assert np.array_equal(results[0], results[-1]), spelling
        out[f"symbol/{spelling}"] = np.frombuffer(text.encode(), np.uint8)
    out["symbol/params"] = np.frombuffer(
        save({**{f"arg:{k}": v for k, v in arguments.items()}, **{f"aux:{k}": v for k, v in auxiliary.items()}}), np.uint8
    )
    out["symbol/in"], out["symbol/out"] = data.asnumpy(), results[0]


def main():
    out = {}
    params(out)
    symbols(out)
    np.savez_compressed(HERE / "formats.npz", **out)


if __name__ == "__main__":
    main()
