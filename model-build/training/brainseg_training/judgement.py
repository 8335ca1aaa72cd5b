"""Teaches a finished network to judge its own masks.

From what the network has worked out anyway, a few thousand weights tell two
things of a slice: its confidence, how likely the mean Dice of the mask is at least
GOOD, and whether the slice is known, a T1 head at all. They are fitted to slices of
the training set: as they are, augmented, degraded far beyond what the network was
trained for, and to strangers. The mask stays what it was to the bit.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import nn

from . import degradation, frame, outputs, strangers, window
from .augmentation import Augmentation
from .degradation import Degraded, resampled
from .outputs import Judge
from .sampling import Sampler
from .synthesis import Synthesiser
from .volumes import IGNORE, Volume

GOOD = 0.8

# Of slices without any brain the mask is good if it has at most so many pixels.
_MOST_PAINTED = 60

# Slices with fewer pixels of brain than this are no measure of the Dice: they
# teach what is known only.
_LEAST_BRAIN = 300

# Of the slices known as heads, so many may be taken for strangers.
_FALSE_ALARMS = 0.01

# Slices whose grey values differ by less show nothing.
LEAST_CONTRAST = 8

_HIDDEN = 48

# How much the log odds of the confidence count in those of known. Measured on
# strangers that no sample was made like, photographs and scans of other organs: 85 %
# are told at 1 % of false alarms, and 83 % without.
_DOUBT = 0.3


@dataclasses.dataclass
class Sample:
    """What is known of a slice: the features, whether the mask is good (None
    where that cannot be told), whether it is a T1 head, and whether it is as users
    send them: not augmented, nor degraded twice."""

    features: np.ndarray
    good: bool | None
    known: bool
    usual: bool = False


class Collector:
    """Runs slices through a network and keeps what the judge is to learn from."""

    def __init__(self, model: onnx.ModelProto, multiple: int = 8, framed: bool = False):
        """multiple divides the sizes that the network takes; framed networks are
        shown slices in a frame."""
        self.multiple, self.framed = multiple, framed
        probe = onnx.ModelProto()
        probe.CopyFrom(model)
        outputs.add_features(probe)
        probe.graph.output.append(helper.make_tensor_value_info(outputs.FEATURES, TensorProto.FLOAT, [1, "features"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self.session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.mask = model.graph.output[0].name
        self.samples: list[Sample] = []

    def add(self, image: np.ndarray, labels: np.ndarray | None, usual: bool = False) -> None:
        """A slice of 1 mm pixels with its labels, or without: a stranger. One in
        which nothing is to be seen is a stranger, too."""
        if np.ptp(image) < LEAST_CONTRAST:
            labels = None
        low, high = window.slice_window(image, window.LOW, window.HIGH, window.IGNORE_BELOW_OR_EQUAL)
        laid = frame.find(image, high, frame.RULE, self.multiple) if self.framed else frame.whole(image.shape, self.multiple)
        inputs = {"image": laid.show(image)[None, None], "window": np.array([low, high], np.float32)}
        mask, features = self.session.run([self.mask, outputs.FEATURES], inputs)
        good: bool | None = False
        if labels is not None:
            good = is_good(laid.back(mask[0], image.shape), labels)
        self.samples.append(Sample(features[0], good, labels is not None, usual and labels is not None))


def is_good(mask: np.ndarray, labels: np.ndarray) -> bool | None:
    """Whether the mean Dice of a mask is at least GOOD; of a slice without brain,
    whether hardly anything is painted. None where there is too little brain."""
    counted = labels != IGNORE
    brain = int((counted & (labels > 0)).sum())
    if brain == 0:
        return int((mask > 0).sum()) <= _MOST_PAINTED
    return None if brain < _LEAST_BRAIN else mean_dice(mask, labels) >= GOOD


def mean_dice(mask: np.ndarray, labels: np.ndarray) -> float:
    """Mean Dice of one slice, over the tissues that mask or labels have."""
    counted = labels != IGNORE
    dice = []
    for tissue in (1, 2, 3):
        seen, there = (mask == tissue) & counted, (labels == tissue) & counted
        pixels = int(seen.sum() + there.sum())
        if pixels:
            dice.append(2 * int((seen & there).sum()) / pixels)
    return float(np.mean(dice)) if dice else float("nan")


def at_one_mm(cut: Degraded) -> Degraded:
    """A slice whose sender states the size of its pixels, as the component shows
    it to the network."""
    if cut.spacing is None:
        return cut
    factors = (1 / cut.spacing[0], 1 / cut.spacing[1])
    image = np.clip(np.rint(resampled(cut.image, factors)), 0, 255).astype(np.uint8)
    return Degraded(image, degradation.labels_at(cut.labels, factors))


def _spoilt(volume: Volume, name: str, further: bool, rng: np.random.Generator) -> Degraded:
    """A slice degraded as the suite's entry `name`; further, at times by another as
    well, at times with noise of any strength, at times with more air around."""
    plane = volume.planes[int(rng.integers(len(volume.planes)))]
    index = int(rng.integers(volume.count(plane)))
    image, labels = volume.slice(plane, index)
    if name in degradation.THICK:
        cut = Degraded(volume.thick(plane, index, int(rng.integers(2, 9))), labels)
    else:
        cut = degradation.SUITE[name](image, labels)
    if further and cut.spacing is None and rng.random() < 0.5:
        second = list(degradation.SUITE)[int(rng.integers(len(degradation.SUITE)))]
        if not second.startswith("pixels"):
            cut = degradation.SUITE[second](cut.image, cut.labels)
    cut = at_one_mm(cut)
    if not further:
        return cut
    image, labels = cut.image, cut.labels
    if rng.random() < 0.4:
        image = np.clip(image + rng.normal(0, rng.uniform(10, 70), image.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        sides = rng.integers(0, 80, (2, 2))
        image, labels = np.pad(image, sides), np.pad(labels, sides)
    return Degraded(image, labels)


def collect(
    model: onnx.ModelProto,
    kinds: dict[str, list],
    synthesiser: Synthesiser | None,
    slices: int,
    rng: np.random.Generator,
    multiple: int = 8,
    framed: bool = False,
) -> list[Sample]:
    """Samples of about `slices` slices of the training set's volumes by kind."""
    collector = Collector(model, multiple, framed)
    real = [[v for v in kinds.get(kind, []) if isinstance(v, Volume)] for kind in ("whole", "stripped")]
    real = [volumes for volumes in real if volumes]
    sampler, augmentation = Sampler(kinds), Augmentation([160, 208, 256], synthesiser)
    for _ in range(max(slices // 24, 1)):
        for image, labels in zip(*(t.numpy() for t in augmentation(sampler.batch(8, rng), rng))):
            if (labels > 0).any():  # without, it may be noise that augmentation put there
                collector.add(image, labels)
    names = [*degradation.SUITE, *degradation.THICK]
    for i in range(slices // 3 if real else 0):
        volumes = real[int(rng.integers(len(real)))]
        name = names[i % len(names)]
        usual = rng.random() < 0.6
        cut = _spoilt(volumes[int(rng.integers(len(volumes)))], name, not usual, rng)
        # An inverted slice is not one that the network should know.
        collector.add(cut.image, None if name == "inverted" else cut.labels, usual)
    for i in range(slices // 3):
        if i % 5 < 3:
            collector.add(strangers.drawn(rng, int(rng.choice([128, 160, 208, 256]))), None)
            continue
        maps = kinds.get("synthetic", [])
        if synthesiser is not None and maps and (i % 5 == 3 or not real):
            volume = maps[int(rng.integers(len(maps)))]
            codes, labels = _with_brain(volume, rng)
            collector.add(strangers.of_structures(rng, codes, labels, synthesiser), None)
        elif real:
            volumes = real[int(rng.integers(len(real)))]
            image, labels = _with_brain(volumes[int(rng.integers(len(volumes)))], rng)
            contrast = strangers.CONTRASTS[int(rng.integers(len(strangers.CONTRASTS)))]
            collector.add(strangers.in_contrast(rng, image, labels, contrast), None)
    return collector.samples


def _with_brain(volume: Volume, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A slice that has some brain, if the volume has one."""
    plane = volume.planes[int(rng.integers(len(volume.planes)))]
    chosen = volume.slices(plane, 800)
    index = int(rng.choice(chosen)) if len(chosen) else volume.count(plane) // 2
    return volume.slice(plane, index)


def fit(samples: list[Sample], seed: int, steps: int = 3000) -> tuple[Judge, float]:
    """A judge of features, and the least `known` of all but one in a hundred of
    heads as users send them, which were kept apart for that."""
    torch.manual_seed(seed)
    features = outputs.squeeze_features(np.stack([s.features for s in samples]))
    mean, spread = features.mean(0), features.std(0) + 1e-2
    x = torch.from_numpy(np.clip((features - mean) / spread, -outputs.CLIP, outputs.CLIP).astype(np.float32))
    good = torch.tensor([float(s.good) if s.good is not None else 0.0 for s in samples])
    counted = torch.tensor([float(s.good is not None) for s in samples])
    known = torch.tensor([float(s.known) for s in samples])
    network = nn.Sequential(nn.Linear(x.shape[1], _HIDDEN), nn.ReLU(), nn.Dropout(0.2), nn.Linear(_HIDDEN, 2))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, steps)
    held = torch.arange(len(samples)) % 8 == 0
    drawn_from = [torch.nonzero((known == k) & ~held)[:, 0] for k in (1.0, 0.0)]
    loss_of = nn.functional.binary_cross_entropy_with_logits
    for _ in range(steps):
        rows = torch.cat([r[torch.randint(len(r), (64,))] for r in drawn_from if len(r)])
        out = network(x[rows])
        loss = loss_of(out[:, 1], known[rows]) + (loss_of(out[:, 0], good[rows], reduction="none") * counted[rows]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        # A mask that is surely bad speaks against a head, most of all where something
        # is shown that is in none of the samples.
        last = network[3]
        last.weight[1] += _DOUBT * last.weight[0]
        last.bias[1] += _DOUBT * last.bias[0]
        says = torch.sigmoid(network(x)).numpy()
    usual = torch.tensor([s.usual for s in samples])
    heads = says[(held & usual).numpy(), 1]
    least = float(np.quantile(heads, _FALSE_ALARMS)) if len(heads) else 0.5
    others = says[(held & (known == 0)).numpy(), 1]
    logging.info("judge: %d slices, known from %.3f on, %.1f %% of the strangers below", len(samples), least, 100 * (others < least).mean())
    first, second = network[0], network[3]
    layers = [t.detach().numpy() for t in (first.weight, first.bias, second.weight, second.bias)]
    return Judge(mean.astype(np.float32), spread.astype(np.float32), *layers), round(min(max(least, 0.0), 1.0), 3)


def teach(
    model: onnx.ModelProto,
    kinds: dict[str, list],
    synthesiser: Synthesiser | None,
    seed: int = 1,
    slices: int = 12000,
    multiple: int = 8,
    framed: bool = False,
) -> float:
    """Adds scores and a judgement to a model, learnt from so many slices; returns
    the least `known` of heads. multiple divides the sizes that the network takes;
    framed networks are shown slices in a frame."""
    outputs.add_scores(model)
    judge, least = fit(
        collect(model, kinds, synthesiser, slices, np.random.default_rng(seed), multiple, framed), seed, max(slices // 4, 20)
    )
    outputs.add_judgement(model, judge)
    return least
