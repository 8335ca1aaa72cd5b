"""The constants that balance the classes of a network."""

import numpy as np
import torch
from conftest import phantom
from test_networks import lived
from torch import nn

from brainseg_training import artifact, balance, volumes
from brainseg_training.inference import Model


class ByBrightness(nn.Module):
    """Knows tissues by the brightness of each pixel alone, and not surely."""

    size_multiple = 8

    def __init__(self):
        super().__init__()
        self.final = nn.Conv2d(1, 4, 1)
        means = torch.tensor([0.0, 0.25, 0.65, 1.0])
        with torch.no_grad():
            self.final.weight[:, 0, 0, 0] = 12 * means
            self.final.bias[:] = -6 * means**2

    def forward(self, x):
        return self.final(x)


def heads():
    rng = np.random.default_rng(7)
    made = []
    for seed in (1, 2):
        image, labels = phantom(seed, False)
        image = np.where(labels > 0, np.clip(image + rng.normal(0, 40, image.shape), 1, 255), 0).astype(np.uint8)
        made.append(volumes.Volume(f"made_sub-{seed:02d}", image, labels, False))
    return {"stripped": made}


def test_a_class_that_is_painted_too_little_is_given_back():
    network, kinds = ByBrightness().eval(), heads()
    right = balance.fit(network, kinds, 60, 1, framed=False)
    balance.apply(network, np.array([0, -0.3, 0, 0.2]))
    assert np.abs(balance.fit(network, kinds, 60, 1, framed=False) - right - [0, 0.3, 0, -0.2]).max() <= 0.1


def test_the_constants_are_added_to_the_scores_of_all_pixels():
    for name in ("enet-light", "unet"):
        network = lived(name)
        x = torch.rand(1, 1, 64, 48)
        with torch.no_grad():
            before = network(x)
            balance.apply(network, np.array([0, 0.25, 0, -0.5]))
            change = (network(x) - before).mean(dim=(0, 2, 3)).numpy()
            assert np.allclose((network(x) - before).amax(dim=(0, 2, 3)), change, atol=1e-5)
        assert np.allclose(change, [0, 0.25, 0, -0.5], atol=1e-5)


def test_the_scores_are_those_that_the_component_decides_by(tmp_path):
    network = lived("enet-light")
    artifact.write(tmp_path, network, "enet-light", "0.0.1", {}, framed=True)
    image = phantom(3, True)[0][:, :, 20]
    mask, probabilities = Model(tmp_path, scores=True).probabilities(image)
    scores = balance._scores(network, image, framed=True)
    assert (scores.argmax(0) == mask).mean() > 0.999
    powers = np.exp(scores - scores.max(0))
    assert np.abs(powers / powers.sum(0) - probabilities).max() < 1e-3


def test_without_real_slices_nothing_is_changed():
    assert not balance.fit(lived("enet-light"), {"synthetic": []}, 8, 1, framed=True).any()
