"""Networks and their ONNX form."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from brainseg_training import export, restore, window
from brainseg_training.artifact import build


def lived(name):
    """A network whose batch normalisation has seen something."""
    torch.manual_seed(3)
    network = build(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    # Scores around nothing: each class wins somewhere.
    network.eval()
    with torch.no_grad():
        scores = network(torch.rand(1, 1, 64, 64)).mean(dim=(0, 2, 3))
        pixels = network.final.out_channels // 4
        network.final.bias -= scores.repeat_interleave(pixels)
    return network


def test_enet_stays_within_its_budget_and_unet_has_the_samples_size():
    assert export.parameter_count(build("enet")) <= 400_000
    assert export.parameter_count(build("enet-light")) <= 210_000
    assert 7.7e6 < export.parameter_count(build("unet")) < 7.9e6


def test_an_unknown_network_is_named():
    with pytest.raises(ValueError, match="segnet"):
        build("segnet")


@pytest.mark.parametrize("name", ["enet", "enet-light", "unet"])
@pytest.mark.parametrize("size", [(64, 48), (80, 112)])
def test_the_onnx_graph_gives_the_networks_mask(name, size):
    network = lived(name)
    model = export.to_onnx(network)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, size).astype(np.uint8)
    limits = window.slice_window(image)
    mask = session.run(None, {"image": image[None, None], "window": np.array(limits, np.float32)})[0]
    assert mask.shape == (1, *size) and mask.dtype == np.uint8
    with torch.no_grad():
        x = window.normalise(torch.from_numpy(image)[None], torch.tensor([limits]))
        want = network(x.unsqueeze(1)).argmax(1).numpy()
    assert len(np.unique(want)) > 1
    assert np.mean(mask == want) > 0.999


def test_the_onnx_graph_is_the_same_each_time():
    network = lived("enet")
    first, second = (export.to_onnx(network).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_no_batch_normalisation_and_no_cast_of_the_mask_is_left_in_the_graph():
    kinds = {n.op_type for n in export.to_onnx(build("enet")).graph.node}
    assert not kinds & {"BatchNormalization", "ArgMax", "PRelu", "Concat", "Pad"}


def test_a_layer_without_an_onnx_form_is_named():
    with pytest.raises(ValueError, match="Sigmoid"):
        export.to_onnx(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Sigmoid()))


def test_a_network_restored_from_its_graph_computes_the_same_and_trains_on_from_there(tmp_path):
    network = lived("enet")
    export.save(network, tmp_path / "model.onnx")
    slices = torch.rand(4, 1, 64, 64)
    restored = restore.from_onnx(build("enet"), tmp_path / "model.onnx", slices)
    with torch.no_grad():
        want = network(slices)
        assert torch.allclose(restored.eval()(slices), want, atol=1e-2 * float(want.std()))
        # The slices' own mean and spread are what the normalisation expects.
        assert torch.allclose(restored.train()(slices), want, atol=5e-2 * float(want.std()))


def test_a_network_with_fewer_blocks_takes_the_weights_of_those_it_has(tmp_path):
    network = lived("enet")
    export.save(network, tmp_path / "model.onnx")
    light = restore.from_onnx(build("enet-light"), tmp_path / "model.onnx", torch.rand(4, 1, 64, 64))
    assert torch.equal(light.final.weight, network.final.weight)
    with pytest.raises(ValueError, match="no layer"):
        restore.from_onnx(build("unet"), tmp_path / "model.onnx", torch.rand(1, 1, 64, 64))
