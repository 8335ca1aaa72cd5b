"""How masks hold out against what users send: degraded slices, slices moved or
mirrored, slices without any brain."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy import stats

from . import degradation, judgement, metrics, strangers
from .inference import Model
from .pairs import SliceStack
from .volumes import Volume


class Segmenter(Protocol):
    """What has slices segmented: inference.Model, served.Served."""

    def segment(self, image: np.ndarray, spacing: tuple[float, float] | None = None) -> np.ndarray:
        """The mask of a uint8 slice whose pixels are of that size, mm, down and across."""
        ...


Subjects = list[Volume | SliceStack]

KINDS = {True: "whole-head", False: "stripped"}


def degraded(model: Segmenter, subjects: Subjects, every: int) -> dict[str, dict[str, float]]:
    """For each entry of the degradation suite, on each `every`th slice, and for
    slices as they are ("none"): mean Dice over classes, planes and subjects, of
    whole heads and of stripped ones, their mean, what of it was lost, and the
    shares of white matter called grey and of grey called white."""
    out: dict[str, dict[str, float]] = {}
    for name in ("none", *degradation.SUITE, *degradation.THICK):
        kinds: dict[str, list[float]] = {}
        confused = []
        for subject in subjects:
            scores = []
            for cuts in degradation.slices(subject, every, name).values():
                counts = np.zeros((4, 4), np.int64)
                for cut in cuts:
                    counts += metrics.confusion(model.segment(cut.image, cut.spacing), cut.labels)
                if counts.any():
                    scores.append(float(np.nanmean(metrics.dice(counts)[1:])))
                    confused.append([metrics.called(counts, 3, 2), metrics.called(counts, 2, 3)])
            if scores:
                kinds.setdefault(KINDS[subject.whole_head], []).append(float(np.mean(scores)))
        if not kinds:
            continue
        figures = {k: float(np.mean(v)) for k, v in kinds.items()}
        figures["mean"] = float(np.mean(list(figures.values())))
        figures["lost"] = out["none"]["mean"] - figures["mean"] if out else 0.0
        figures["whiteCalledGrey"], figures["greyCalledWhite"] = np.nanmean(confused, axis=0).tolist()
        out[name] = {k: round(v, 4) for k, v in figures.items()}
    return out


Move = Callable[[np.ndarray], np.ndarray]


def _moves() -> dict[str, tuple[Move, Move]]:
    """Changes that a mask must follow, each with its way back."""
    moves: dict[str, tuple[Move, Move]] = {}
    for n in range(1, 9):
        moves[f"shift-{n}"] = (lambda image, n=n: np.pad(image, ((n, 0), (n, 0))), lambda mask, n=n: mask[n:, n:])
    moves["padded-37"] = (lambda image: np.pad(image, 37), lambda mask: mask[37:-37, 37:-37])
    moves["mirrored"] = (lambda image: image[:, ::-1], lambda mask: mask[:, ::-1])
    return moves


def agreement(model: Segmenter, subjects: Subjects, every: int) -> dict[str, float]:
    """Mean Dice, over the tissues, of the masks of moved slices with those of the
    same slices as they are."""
    out = {}
    slices = [cut.image for s in subjects for cuts in degradation.slices(s, every, "none").values() for cut in cuts]
    masks = [model.segment(image) for image in slices]
    for name, (there, back) in _moves().items():
        counts = np.zeros((4, 4), np.int64)
        for image, mask in zip(slices, masks):
            counts += metrics.confusion(back(model.segment(np.ascontiguousarray(there(image)))), mask)
        out[name] = round(float(np.nanmean(metrics.dice(counts)[1:])), 4)
    return out


def empty(model: Segmenter, subjects: Subjects) -> dict[str, float]:
    """Pixels of tissue painted on the slices of whole heads that hold no brain:
    their mean, the most in one slice, and how many such slices there are."""
    painted = []
    for subject in subjects:
        if not subject.whole_head:
            continue
        for plane in subject.planes:
            without = set(range(subject.count(plane))) - set(subject.slices(plane).tolist())
            painted += [int((model.segment(subject.slice(plane, index)[0]) > 0).sum()) for index in sorted(without)]
    return {"slices": len(painted), "mean": round(float(np.mean(painted)), 1), "most": max(painted)} if painted else {"slices": 0}


def auc(values: np.ndarray, good: np.ndarray) -> float:
    """How often a good slice has a larger value than a bad one: 0.5 by chance."""
    ranks = stats.rankdata(values)
    n, bad = int(good.sum()), int((~good).sum())
    return float((ranks[good].sum() - n * (n + 1) / 2) / (n * bad)) if n and bad else math.nan


def judged(model: Model, subjects: Subjects, every: int) -> dict[str, float | int | dict[str, float]]:
    """How well the model judges its masks of the degradation suite's slices: the
    area under the curve of its confidence for a mean Dice of at least GOOD; how
    many heads it takes for something else, and of what else it is told so."""
    confidence, good, heads = [], [], []
    for name in ("none", *degradation.SUITE, *degradation.THICK):
        for subject in subjects:
            for cut in (c for cuts in degradation.slices(subject, every, name).values() for c in cuts):
                shown = judgement.at_one_mm(cut)
                mask, sure, known = model.judge(shown.image)
                if name != "inverted" and np.ptp(shown.image) >= judgement.LEAST_CONTRAST:
                    heads.append(known)
                verdict = judgement.is_good(mask, shown.labels)
                if verdict is not None:
                    confidence.append(sure)
                    good.append(verdict)
    least = model.manifest["judgement"].get("leastKnown", 0.0)
    rng = np.random.default_rng(1)
    told: dict[str, list[bool]] = {}
    for subject in subjects:
        for cut in (c for cuts in degradation.slices(subject, every, "none").values() for c in cuts):
            told.setdefault("drawn", []).append(model.judge(strangers.drawn(rng, int(rng.choice([128, 160, 208, 256]))))[2] < least)
            if (cut.labels > 0).sum() < 800:
                continue
            for contrast in strangers.CONTRASTS:
                image = strangers.in_contrast(rng, cut.image, cut.labels, contrast)
                told.setdefault(contrast, []).append(model.judge(image)[2] < least)
    return {
        "slices": len(confidence),
        "bad": int((~np.array(good)).sum()),
        "areaUnderCurve": round(auc(np.array(confidence), np.array(good)), 4),
        "falseAlarms": round(float((np.array(heads) < least).mean()), 4),
        "strangersTold": {name: round(float(np.mean(values)), 4) for name, values in told.items()},
    }
