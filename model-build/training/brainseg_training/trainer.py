"""The training loop: optimiser, averaged weights, checkpoints, several hosts."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import pathlib
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from . import frame
from .augmentation import Augmentation
from .losses import disagreement, pixel_weights, segmentation_loss
from .sampling import Sampler
from .volumes import IGNORE
from .window import batch_windows, normalise

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"

# Pixels that the second look at a slice is moved, at the most, in each direction.
FARTHEST = 32


@dataclasses.dataclass
class Options:
    """How to train."""

    steps: int
    # Stop after so many of the steps, where that is not 0: a training that goes
    # on from there begins at the rate that this one would have had.
    stop_at: int = 0
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: int = 200
    # The averaged weights are what is shipped; the average reaches back about
    # 1 / (1 - ema) steps.
    ema: float = 0.999
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    outside_weight: float = 1.0
    # Weight of the difference between the probabilities of a slice as it is, and
    # of the same moved or mirrored; 0 leaves the second look out,
    # and halves the time.
    air_weight: float = 0.0
    # Slices are laid as the component lays them for a model with a frame.
    framed: bool = False
    seed: int = 1
    # bfloat16 arithmetic in the convolutions, where the processor has it.
    bfloat16: bool = False
    # torch.compile: 2-3 times faster on a CPU after a minute; needs a compiler.
    compile: bool = False
    checkpoint_seconds: float = 180


class Trainer:
    """Trains one network; run() goes on from the checkpoint where there is one."""

    def __init__(
        self, network: nn.Module, sampler: Sampler, augmentation: Augmentation, options: Options, checkpoints: pathlib.Path | None = None
    ):
        self.network = network
        self.options = options
        self.sampler, self.augmentation = sampler, augmentation
        self.checkpoints = checkpoints
        self.average = copy.deepcopy(network).eval()
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}], lr=options.learning_rate
        )
        self.class_weights = torch.tensor(options.class_weights)
        self.step, self.samples, self.seconds = 0, 0, 0.0
        self.history: list[dict[str, float]] = []
        self.ranks = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0

    def progress(self) -> float:
        """How much of the training is done, 0 to 1."""
        return min(self.step / (self.options.stop_at or self.options.steps), 1.0)

    def _rate(self) -> float:
        warm = min((self.step + 1) / max(self.options.warm_up, 1), 1.0)
        return (
            self.options.learning_rate * warm * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * min(self.step / self.options.steps, 1.0))))
        )

    def _loss_function(self) -> Callable[[torch.Tensor, torch.Tensor, np.random.Generator], torch.Tensor]:
        options, network, class_weights = self.options, self.network, self.class_weights

        def forward(x: torch.Tensor) -> torch.Tensor:
            if options.compile or options.bfloat16:
                x = x.to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
                return network(x)

        if options.compile:
            forward = torch.compile(forward, dynamic=False)

        def loss(images: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
            weights = pixel_weights(labels, images, outside=options.outside_weight)
            windows = batch_windows(images)
            scores = forward(normalise(images, windows).unsqueeze(1))
            value = segmentation_loss(scores, labels, weights, class_weights)
            if not options.air_weight:
                return value
            # The same slices moved by some pixels, and every other time mirrored.
            down, across = rng.integers(-FARTHEST, FARTHEST + 1, 2).tolist()
            there = F.pad(images, (across, -across, down, -down))
            mirror = rng.random() < 0.5
            again = forward(normalise(there.flip(-1) if mirror else there, windows).unsqueeze(1))
            again = F.pad(again.flip(-1) if mirror else again, (-across, across, -down, down))
            # What left the slice on the way was not looked at.
            seen = F.pad(torch.ones_like(labels, dtype=torch.bool), (across, -across, down, -down))
            labels = torch.where(F.pad(seen, (-across, across, -down, down)), labels, torch.full_like(labels, IGNORE))
            weights = pixel_weights(labels, images, outside=options.outside_weight)
            value = 0.5 * (value + segmentation_loss(again, labels, weights, class_weights))
            return value + options.air_weight * disagreement(scores, again, labels)

        return loss

    def run(self) -> nn.Module:
        """Trains to the end and returns the averaged network."""
        self._resume()
        if self.options.compile or self.options.bfloat16:
            self.network.to(memory_format=torch.channels_last)
        loss_function = self._loss_function()
        self.network.train()
        last_save = last = time.monotonic()
        running: list[float] = []
        while self.progress() < 1:
            # Each step has numbers of its own: a resumed training draws the
            # samples that an unbroken one would have drawn.
            rng = np.random.default_rng([self.options.seed, self.rank, self.step])
            images, labels = self.augmentation(self.sampler.batch(self.options.batch_size, rng), rng)
            if self.options.framed:
                images, labels = frame.lay(images, labels, batch_windows(images)[:, 1])
            rate = self._rate()
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = loss_function(images, labels, rng)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._share_gradients()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimiser.step()
            self._update_average()
            self.step += 1
            self.samples += self.options.batch_size * self.ranks
            running.append(float(loss.detach()))
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if self.step % 100 == 0:
                entry = {
                    "step": self.step,
                    "samples": self.samples,
                    "seconds": round(self.seconds, 1),
                    "loss": round(float(np.mean(running)), 4),
                    "rate": rate,
                }
                self.history.append(entry)
                running.clear()
                log.info("step %(step)d, %(samples)d samples, %(seconds).0f s, loss %(loss).4f, rate %(rate).2e", entry)
            if now - last_save > self.options.checkpoint_seconds:
                self.save()
                last_save = time.monotonic()
        self.save()
        return self.average

    def _share_gradients(self) -> None:
        if self.ranks == 1:
            return
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.ranks
        offset = 0
        for g in gradients:
            g.copy_(flat[offset : offset + g.numel()].view_as(g))
            offset += g.numel()

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values()):
            if mean.dtype.is_floating_point:
                mean.mul_(decay).add_(value, alpha=1 - decay)
            else:
                mean.copy_(value)

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        if self.checkpoints is None or self.rank != 0:
            return
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        path = self.checkpoints / CHECKPOINT
        partial = path.with_suffix(".partial")
        torch.save(self._state(), partial)
        partial.replace(path)

    def _resume(self) -> None:
        """Takes over the first host's state, whatever the others find or began with:
        hosts whose optimisers differ would train networks that drift apart."""
        path = None if self.checkpoints is None else self.checkpoints / CHECKPOINT
        if self.rank == 0 and path is not None and path.exists():
            self._restore(torch.load(path, map_location="cpu"))
            log.info("resumed at step %d", self.step)
        if self.ranks > 1:
            states = [self._state() if self.rank == 0 else None]
            dist.broadcast_object_list(states, 0)
            self._restore(states[0])

    def _state(self) -> dict:
        """All that a training has to remember."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "samples": self.samples,
            "seconds": self.seconds,
            "history": self.history,
        }

    def _restore(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.samples, self.seconds = state["step"], state["samples"], state["seconds"]
        self.history = state["history"]
