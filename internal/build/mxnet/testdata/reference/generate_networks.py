"""Writes networks/NAME: models as a SageMaker job of 2018 leaves them, and what MXNet makes of some slices.

    generate_networks.py [--full FOLDER]

With --full, networks too large to commit are written to FOLDER instead: the
U-Net of 7.8 million parameters, trained, and slices of the whole size.

A folder has model-symbol.json and model-shapes.json; model-0000.params where the
weights are trained, weights.json with the ranges of weights.hashed where they are
random; and reference.npz with image/N (uint8) and softmax/N.
"""

import argparse
import json
import pathlib

import mxnet as mx
import numpy as np

import networks
import phantoms
import weights

HERE = pathlib.Path(__file__).parent
HEIGHT, WIDTH = 176, 208  # of training


def run(network, divide, image, arguments, auxiliary):
    height, width = image.shape
    softmax = network(height, width, divide)[0]
    data = mx.nd.array(image[None, None].astype(np.float32))
    bound = {k: v for k, v in {**arguments, "data": data}.items() if k in softmax.list_arguments()}
    executor = softmax.bind(mx.cpu(), bound, aux_states=auxiliary, grad_req="null")
    return executor.forward(is_train=False)[0].asnumpy()


def write(folder, network, divide, steps, sizes, **training):
    """One network, trained where steps > 0."""
    folder.mkdir(parents=True, exist_ok=True)
    symbol = network(HEIGHT, WIDTH, divide)
    if steps:
        arguments, auxiliary = weights.trained_weights(network, divide, steps, **training)
        mx.model.save_checkpoint(str(folder / "model"), 0, symbol, arguments, auxiliary)
    else:
        arguments, auxiliary = weights.random_weights(symbol, HEIGHT, WIDTH)
        symbol.save(str(folder / "model-symbol.json"))
        ranges = [
            {"name": k, "shape": list(v.shape), "range": weights.value_range(k, v.shape)} for k, v in {**arguments, **auxiliary}.items()
        ]
        lines = ",\n".join(json.dumps(r) for r in ranges)
        (folder / "weights.json").write_text(f"[\n{lines}\n]\n")
    (folder / "model-shapes.json").write_text(json.dumps([{"name": "data", "shape": [32, 1, HEIGHT, WIDTH]}]) + "\n")
    random = np.random.RandomState(7)
    arrays = {}
    for i, (height, width) in enumerate(sizes):
        image, classes = phantoms.phantom(random, height, width)
        softmax = run(network, divide, image, arguments, auxiliary)
        mask = softmax.argmax(1)[0]
        shares = np.bincount(mask.ravel(), minlength=networks.CLASSES) / mask.size
        print(f"{folder.name}: {height} x {width}, shares {shares.round(3)}, right {np.mean(mask == classes):.3f}", flush=True)
        assert (shares > 0.002).sum() >= 3, "the classes are too lopsided to test anything"
        arrays[f"image/{i}"] = image.astype(np.uint8)
        arrays[f"softmax/{i}"] = softmax
    np.savez_compressed(folder / "reference.npz", **arrays)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", type=pathlib.Path)
    full = parser.parse_args().full
    if full:
        write(full / "unet-trained-full", networks.unet, 1, 30, [(176, 208), (208, 176), (256, 256)], count=4)
        write(full / "enet-random-full", networks.enet, 1, 0, [(176, 208), (256, 256)])
        return
    folder = HERE / "networks"
    write(folder / "enet-random", networks.enet, 1, 0, [(96, 80), (64, 112)])
    write(folder / "unet-random", networks.unet, 1, 0, [(96, 80), (64, 112)])
    write(folder / "unet-trained", networks.unet, 8, 600, [(96, 80), (80, 112)], rate=1e-2)
    write(folder / "enet-trained", networks.enet, 1, 250, [(96, 80), (80, 112), (176, 208)])


if __name__ == "__main__":
    main()
