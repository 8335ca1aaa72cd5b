"""Writes operators.npz: what MXNet computes for each case of operators.py.

For a case named c the file has c/symbol and c/params (the bytes that MXNet
saves), c/in/NAME and c/out/NUMBER.
"""

import os
import pathlib
import tempfile

import mxnet as mx
import numpy as np

import compatibility  # noqa: F401  (before mxnet)
import operators

HERE = pathlib.Path(__file__).parent


def values(random, name, shape):
    """Random numbers: positive for variances, few decimals so that they pack well."""
    drawn = random.normal(0, 1, shape)
    if name.endswith("_var"):
        drawn = np.abs(drawn) + 0.2
    return (np.round(drawn * 64) / 64).astype(np.float32)


def save(symbol, arguments, auxiliary):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.params")
        mx.nd.save(path, {**{f"arg:{k}": v for k, v in arguments.items()}, **{f"aux:{k}": v for k, v in auxiliary.items()}})
        return symbol.tojson().encode(), pathlib.Path(path).read_bytes()


def run(symbol, inputs, arguments, auxiliary):
    """The outputs that are no losses; labels are zeros."""
    names = symbol.list_outputs()
    kept = [symbol[i] for i, name in enumerate(names) if not name.startswith("loss")]
    group = mx.sym.Group(kept)
    given = {**inputs, **arguments}
    bound = {k: mx.nd.array(given[k]) for k in group.list_arguments() if k in given}
    missing = [k for k in group.list_arguments() if k not in given]
    shapes, _, _ = group.infer_shape(**{k: v.shape for k, v in inputs.items()})
    for name, shape in zip(group.list_arguments(), shapes):
        if name in missing:
            bound[name] = mx.nd.zeros(shape)
    executor = group.bind(mx.cpu(), bound, aux_states=auxiliary, grad_req="null")
    return [out.asnumpy() for out in executor.forward(is_train=False)]


def main():
    random = np.random.RandomState(1)
    arrays = {}
    for name, symbol, shapes in operators.cases():
        assert f"{name}/symbol" not in arrays, name
        print(name)
        names = symbol.list_arguments()
        labels = {k for k in names if k.endswith("label")}
        known = {k: v for k, v in shapes.items()}
        if "label" in labels:
            known["label"] = (shapes["data"][0],) + tuple(shapes["data"][2:])
        argument_shapes, _, auxiliary_shapes = symbol.infer_shape(**known)
        inputs = {k: values(random, k, v) for k, v in shapes.items()}
        arguments = {k: mx.nd.array(values(random, k, v)) for k, v in zip(names, argument_shapes) if k not in shapes and k not in labels}
        auxiliary = {k: mx.nd.array(values(random, k, v)) for k, v in zip(symbol.list_auxiliary_states(), auxiliary_shapes)}
        json, params = save(symbol, arguments, auxiliary)
        arrays[f"{name}/symbol"] = np.frombuffer(json, np.uint8)
        arrays[f"{name}/params"] = np.frombuffer(params, np.uint8)
        for key, value in inputs.items():
            arrays[f"{name}/in/{key}"] = value
        for i, value in enumerate(run(symbol, inputs, arguments, auxiliary)):
            arrays[f"{name}/out/{i}"] = value.astype(np.float32)
    np.savez_compressed(HERE / "operators.npz", **arrays)


if __name__ == "__main__":
    main()
