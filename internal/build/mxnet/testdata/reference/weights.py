"""Weights: trained ones, and random ones that the Go tests can compute too."""

import zlib

import mxnet as mx
import numpy as np

import networks  # noqa: F401  (registers the custom operator)
import phantoms

# The range of random values by the ending of a parameter's name; that of weights
# depends on their size.
RANGES = {
    "_bias": (-0.1, 0.1),
    "_gamma": (0.6, 1.4),
    "_beta": (-0.3, 0.3),
    "_moving_mean": (-0.3, 0.3),
    "_moving_var": (0.5, 1.5),
}
# Slopes beyond 0..1, of which rewriting must take care.
SLOPES = (-0.5, 1.3)


def value_range(name, shape):
    if name.endswith("_prelu_gamma"):
        return SLOPES
    for ending, bounds in RANGES.items():
        if name.endswith(ending):
            return bounds
    bound = float(np.sqrt(3 / np.prod(shape[1:])))
    if name == "initial_conv_weight" or name == "down0_conv1_weight":
        bound /= 64  # images are 0..255
    if name == "full_conv_weight":
        bound /= 64
    if name == "scores_weight":
        bound *= 6
    return (-bound, bound)


def hashed(name, shape):
    """Values from SplitMix64 of the name's CRC-32 and the index, in value_range."""
    low, high = (float(np.float32(v)) for v in value_range(name, shape))
    with np.errstate(over="ignore"):
        x = np.uint64(zlib.crc32(name.encode())) * np.uint64(1 << 32) + np.arange(np.prod(shape), dtype=np.uint64)
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    unit = (x >> np.uint64(40)).astype(np.float64) / (1 << 24)
    return (low + (high - low) * unit).astype(np.float32).reshape(shape)


def shapes_of(symbol, height, width):
    arguments, _, auxiliary = symbol.infer_shape(data=(1, 1, height, width), label=(1, height, width))
    named = {k: v for k, v in zip(symbol.list_arguments(), arguments) if k not in ("data", "label")}
    return named, dict(zip(symbol.list_auxiliary_states(), auxiliary))


def random_weights(symbol, height, width):
    named, auxiliary = shapes_of(symbol, height, width)
    return (
        {k: mx.nd.array(hashed(k, v)) for k, v in named.items()},
        {k: mx.nd.array(hashed(k, v)) for k, v in auxiliary.items()},
    )


def trained_weights(network, divide, steps, rate=3e-3, height=96, width=80, count=8, seed=3):
    """Trains on phantoms; the sizes of training do not bind the weights."""
    mx.random.seed(seed)
    np.random.seed(seed)
    random = np.random.RandomState(seed)
    symbol = network(height, width, divide)
    executor = symbol.simple_bind(
        mx.cpu(),
        data=(count, 1, height, width),
        label=(count, height, width),
        grad_req={k: "null" if k in ("data", "label") else "write" for k in symbol.list_arguments()},
    )
    initialise = mx.init.Xavier(magnitude=2)
    for name, array in executor.arg_dict.items():
        if name not in ("data", "label"):
            initialise(mx.init.InitDesc(name), array)
            if name.endswith("_prelu_gamma"):
                array[:] = 0.25
    executor.arg_dict[{"enet": "initial_conv_weight", "unet": "down0_conv1_weight"}[network.__name__]][:] /= 64
    for name, array in executor.aux_dict.items():
        array[:] = 1 if name.endswith("_var") else 0
    optimiser = mx.optimizer.Adam(learning_rate=rate)
    update = mx.optimizer.get_updater(optimiser)
    for step in range(steps):
        optimiser.lr = rate * (1 - step / steps) + 1e-4
        images, classes = phantoms.batch(random, count, height, width)
        executor.forward(is_train=True, data=mx.nd.array(images), label=mx.nd.array(classes))
        executor.backward()
        for i, name in enumerate(symbol.list_arguments()):
            if executor.grad_dict.get(name) is not None:
                update(i, executor.grad_dict[name], executor.arg_dict[name])
        if step % 20 == 19 or step == steps - 1:
            print(f"{network.__name__} / {divide}: step {step + 1} of {steps}, loss {executor.outputs[1].asscalar():.3f}", flush=True)
    arguments = {k: v for k, v in executor.arg_dict.items() if k not in ("data", "label")}
    return arguments, dict(executor.aux_dict)
