"""Evaluates a model folder on labelled subjects.

Every slice of every plane is segmented through ONNX Runtime. Dice and the other
measures are those of a subject in a plane (all its slices together), then
averaged over planes, then over subjects; nothing is averaged over slices, where
a slice with ten pixels of brain would count as much as one with ten thousand.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib

import numpy as np

from . import metrics, robustness
from .inference import Model
from .pairs import SliceStack
from .served import Served
from .volumes import IGNORE, Volume

# Where the atlas' probability of deep grey (0..255) is above this, grey is the
# one right answer.
SURELY_DEEP = 229


@dataclasses.dataclass
class Slice:
    """A slice and how well it was segmented, for the report of the worst."""

    subject: str
    plane: str
    index: int
    mean_dice: float
    image: np.ndarray
    labels: np.ndarray
    mask: np.ndarray


@dataclasses.dataclass
class Group:
    """One subject in one plane."""

    subject: str
    plane: str
    whole_head: bool
    counts: np.ndarray
    distances: list[list[np.ndarray]]
    far: int = 0
    # What the pixels that are surely deep grey are called: counts of the classes.
    deep: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(4, np.int64))

    @property
    def data_set(self) -> str:
        """What stands before the first underscore of the subject's name."""
        return self.subject.split("_")[0]

    def figures(self) -> dict:
        """All measures of the group, classes CSF, grey, white."""
        brain = max(int(self.counts[1:].sum()), 1)
        return {
            "dice": metrics.dice(self.counts)[1:],
            "meanIoU": np.nanmean(metrics.intersection_over_union(self.counts)),
            "hausdorff95": np.array([metrics.hausdorff95(np.concatenate(d)) if d else math.nan for d in self.distances]),
            "volumeError": metrics.volume_error(self.counts)[1:],
            "outsideBrain": metrics.outside_brain(self.counts),
            "farOutsideBrain": self.far / brain,
            "deepGreyRecall": self.deep[2] / self.deep.sum() if self.deep.any() else math.nan,
            "whiteCalledGrey": metrics.called(self.counts, 3, 2),
            "greyCalledWhite": metrics.called(self.counts, 2, 3),
        }


@dataclasses.dataclass
class Result:
    """All groups of an evaluation, the worst slices, and what else was measured."""

    groups: list[Group]
    worst: list[Slice]
    calibration: metrics.Calibration
    robustness: dict[str, dict]
    every: int

    def by_subject(self, groups: list[Group]) -> dict[str, dict]:
        """The measures of each subject, mean over its planes."""
        subjects: dict[str, list[dict]] = {}
        for g in groups:
            subjects.setdefault(g.subject, []).append(g.figures())
        return {s: {k: _mean([p[k] for p in planes]) for k in planes[0]} for s, planes in subjects.items()}

    def describe(self, groups: list[Group]) -> dict:
        """Mean, standard deviation and worst over the subjects of some groups."""
        subjects = self.by_subject(groups)
        out: dict = {"subjects": len(subjects)}
        for key in next(iter(subjects.values())):
            values = np.array([s[key] for s in subjects.values()])
            if np.isnan(values).all():
                continue
            worst = np.nanmin(values, 0) if key in ("dice", "meanIoU", "deepGreyRecall") else _largest(values)
            out[key] = {"mean": _plain(np.nanmean(values, 0)), "sd": _plain(np.nanstd(values, 0)), "worst": _plain(worst)}
        return out

    def sections(self) -> dict[str, list[Group]]:
        """The groups by kind of head, then by data set and by plane."""
        out: dict[str, list[Group]] = {}
        for whole, kind in ((True, "whole-head"), (False, "stripped")):
            chosen = [g for g in self.groups if g.whole_head == whole]
            if not chosen:
                continue
            out[kind] = chosen
            for key in sorted({g.data_set for g in chosen}):
                out[f"{kind}/{key}"] = [g for g in chosen if g.data_set == key]
            for key in sorted({g.plane for g in chosen}):
                out[f"{kind}/{key}"] = [g for g in chosen if g.plane == key]
        return out

    def headline(self) -> dict[str, list[float]]:
        """Mean Dice (CSF, grey, white) of whole heads and of stripped ones."""
        return {k: self.describe(g)["dice"]["mean"] for k, g in self.sections().items() if "/" not in k}

    def summary(self) -> dict:
        """Everything, as plain JSON."""
        return {
            "classes": list(metrics.CLASSES[1:]),
            "everySlice": self.every,
            "sections": {k: self.describe(g) for k, g in self.sections().items()},
            "subjects": {s: {k: _plain(v) for k, v in f.items() if not np.isnan(v).all()} for s, f in self.by_subject(self.groups).items()},
            "confusion": {k: np.sum([g.counts for g in gs], axis=0).tolist() for k, gs in self.sections().items() if "/" not in k},
            "calibration": {"expectedError": round(self.calibration.expected_error(), 4), "curve": self.calibration.curve()},
            **self.robustness,
        }


def _mean(values: list) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    stacked = np.array(values, float)
    known = (~np.isnan(stacked)).sum(0)
    return np.where(known > 0, np.nansum(stacked, 0) / np.maximum(known, 1), math.nan)


def _plain(value: np.ndarray) -> float | list[float]:
    return np.round(np.asarray(value, float), 4).tolist()


def _largest(values: np.ndarray) -> np.ndarray:
    """Of each column the value that is farthest from 0, with its sign."""
    return np.take_along_axis(values, np.nan_to_num(np.abs(values)).argmax(0, keepdims=True), 0)[0]


def evaluate(
    folder: pathlib.Path,
    subjects: list[Volume | SliceStack],
    every: int = 1,
    worst: int = 12,
    degraded_every: int = 0,
    threads: int = 1,
    through: str | None = None,
) -> Result:
    """Evaluates the model folder on each `every`th slice of the subjects; how it
    holds out against what users send on each `degraded_every`th, where that is
    not 0. Those are segmented by the component that serves the same model at the URL
    `through`, where that is given."""
    model = Model(folder, threads, scores=True)
    groups, slices, calibration = [], [], metrics.Calibration()
    for subject in subjects:
        for plane in subject.planes:
            group = Group(subject.name, plane, subject.whole_head, np.zeros((4, 4), np.int64), [[], [], []])
            for index in range(every // 2, subject.count(plane), every):
                image, labels = subject.slice(plane, index)
                mask, probabilities = model.probabilities(image)
                counts = metrics.confusion(mask, labels)
                group.counts += counts
                group.far += metrics.far_outside_brain(mask, labels)
                deep = subject.deep_slice(plane, index) if isinstance(subject, Volume) else None
                if deep is not None:
                    group.deep += np.bincount(mask[deep > SURELY_DEEP], minlength=4)
                for c in (1, 2, 3):
                    group.distances[c - 1].append(metrics.surface_distances(mask, labels, c))
                calibration.add(probabilities, labels, ((labels > 0) | (mask > 0)) & (labels != IGNORE))
                if counts[1:].sum() > 1500:
                    score = float(np.nanmean(metrics.dice(counts)[1:]))
                    slices.append(Slice(subject.name, plane, index, score, image.copy(), labels.copy(), mask))
            groups.append(group)
        slices = sorted(slices, key=lambda s: s.mean_dice)[:worst]
    suites = {}
    if degraded_every:
        sent = model if through is None else Served(through)
        suites = {
            "degradation": robustness.degraded(sent, subjects, degraded_every),
            "agreement": robustness.agreement(sent, subjects, degraded_every),
            "emptySlices": robustness.empty(sent, subjects),
        }
        if "judgement" in model.manifest:
            suites["judgement"] = robustness.judged(model, subjects, degraded_every)
    return Result(groups, slices, calibration, suites, every)
