"""Brings the weights of a shipped model back into a network, to train on from it.

In the graph that `export` wrote, each batch normalisation is folded into the
convolution before it. Here the convolution gets the graph's weights, and the
batch normalisation is set, from slices that are run through the network once,
so that the network computes what the graph does: a training then goes on from
there, as if it had the checkpoint. Layers are found by name, so that a network
with fewer blocks takes the weights of those it has.
"""

from __future__ import annotations

import pathlib

import onnx
import torch
from onnx import numpy_helper
from torch import fx, nn


def _pairs(network: nn.Module) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """The convolutions, each with its name in the graph and, where there is
    one, the batch normalisation that follows it."""
    traced = fx.symbolic_trace(network)
    modules = dict(network.named_modules())
    found = []
    for node in traced.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.Conv2d):
            continue
        after = [modules[u.target] for u in node.users if u.op == "call_module" and isinstance(modules[u.target], nn.BatchNorm2d)]
        found.append((node.name, modules[node.target], after[0] if after else None))
    return found


@torch.no_grad()
def from_onnx(network: nn.Module, path: pathlib.Path, slices: torch.Tensor) -> nn.Module:
    """Gives `network` the weights of the graph at path, and returns it.

    slices are normalised slices, N x 1 x H x W, of the kind that the training
    will see: each batch normalisation gets their mean and spread, and scales so
    that its output is the graph's. Raises ValueError where a layer of the
    network is not in the graph or has another shape there."""
    stored = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in onnx.load(path).graph.initializer}
    layers = _pairs(network)
    for name, convolution, normalisation in layers:
        weight, bias = stored.get(f"{name}.weight"), stored.get(f"{name}.bias")
        if weight is None or bias is None or weight.shape != convolution.weight.shape:
            raise ValueError(f"{path.name} has no layer {name} with weights of shape {tuple(convolution.weight.shape)}")
        convolution.weight.copy_(weight)
        if normalisation is None:
            convolution.bias.copy_(bias)
            continue
        # One that changes nothing but adds the bias.
        normalisation.running_mean.zero_()
        normalisation.running_var.fill_(1 - normalisation.eps)
        normalisation.weight.fill_(1)
        normalisation.bias.copy_(bias)
    _settle(network, [(c, n) for _, c, n in layers if n is not None], slices)
    return network


def _settle(network: nn.Module, layers: list[tuple[nn.Conv2d, nn.BatchNorm2d]], slices: torch.Tensor) -> None:
    """Sets each batch normalisation to the mean and variance of what comes in,
    without a change of what comes out. Weights are scaled to a variance of 1, as
    they have it when a training begins."""
    moments: dict[nn.BatchNorm2d, tuple[torch.Tensor, torch.Tensor]] = {}

    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0]
        moments[module] = values.mean(dim=(0, 2, 3)), values.var(dim=(0, 2, 3))

    hooks = [n.register_forward_pre_hook(look) for _, n in layers]
    was_training = network.training
    network.eval()(slices)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    for convolution, normalisation in layers:
        mean, variance = moments[normalisation]
        spread = variance.clamp(min=1e-6).sqrt()
        convolution.weight.div_(spread.reshape(-1, 1, 1, 1))
        normalisation.running_mean.copy_(mean / spread)
        normalisation.running_var.copy_(variance / spread**2)
        normalisation.bias.add_(mean)
        normalisation.weight.copy_((normalisation.running_var + normalisation.eps).sqrt() * spread)
