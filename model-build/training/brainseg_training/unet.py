"""U-Net of the size of the 2018 sample's (7.8 million parameters), to compare with.

Ronneberger et al. 2015 (arXiv:1505.04597) with batch normalisation and half the
channels: 32 to 512, 2x2 transposed convolutions, skip connections by
concatenation.
"""

from __future__ import annotations

import torch
from torch import nn


def _double(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in (inputs, outputs):
        layers += [nn.Conv2d(i, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Takes normalised slices, N x 1 x H x W (H and W multiples of
    `size_multiple`), and gives scores, N x classes x H x W."""

    size_multiple = 16

    def __init__(self, classes: int = 4, width: int = 32):
        super().__init__()
        channels = [width * 2**i for i in range(5)]
        self.encoder = nn.ModuleList(_double(i, o) for i, o in zip([1] + channels[:-1], channels))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, c // 2, 2, stride=2) for c in reversed(channels[1:]))
        self.decoder = nn.ModuleList(_double(c, c // 2) for c in reversed(channels[1:]))
        self.final = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stages = []
        for i, block in enumerate(self.encoder):
            x = block(x if i == 0 else self.pool(x))
            stages.append(x)
        for up, block, stage in zip(self.up, self.decoder, reversed(stages[:-1])):
            x = block(torch.cat([up(x), stage], dim=1))
        return self.final(x)
