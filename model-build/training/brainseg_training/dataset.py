"""The training set: volumes of a channel's folder by kind, derived ones included.

Derived volumes (transplanted brains, label maps in the training's convention)
take a minute or two to make, and are kept in a cache folder.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from collections.abc import Callable

import numpy as np

from . import pairs
from . import volumes as v
from .synthesis import Synthesiser


def _content(*arrays: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _cached(cache: pathlib.Path | None, key: str, make: Callable[[], v.Volume]) -> v.Volume:
    """make()'s volume, from the cache where it is there. The key says how it is
    made and from what content."""
    if cache is None:
        return make()
    path = cache / (hashlib.sha256(key.encode()).hexdigest()[:24] + ".npz")
    if path.exists():
        with np.load(path) as stored:
            return v.Volume(str(stored["name"]), stored["image"], stored["labels"], bool(stored["whole_head"]), bool(stored["codes"]))
    volume = make()
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, name=volume.name, image=volume.image, labels=volume.labels, whole_head=volume.whole_head, codes=volume.codes)
    return volume


def read_any(folder: pathlib.Path) -> list[v.Volume | pairs.SliceStack]:
    """All subjects of a channel's folder: NIfTI pairs, and pairs of PNG files."""
    return [*v.read_folder(folder), *pairs.read_folder(folder)]


def training_volumes(
    channel: pathlib.Path, label_maps: pathlib.Path | None, cache: pathlib.Path | None, transplants: int = 1
) -> tuple[dict[str, list[v.Volume | pairs.SliceStack]], Synthesiser | None]:
    """Volumes by the kinds of sampling.SHARES, and the synthesiser for label maps.

    Each stripped brain is put into `transplants` of the whole heads in turn."""
    real = v.read_folder(channel)
    heads = [r for r in real if r.whole_head]
    brains = [r for r in real if not r.whole_head]
    kinds: dict[str, list[v.Volume | pairs.SliceStack]] = {
        "whole": [v.without_lateral(h) for h in heads],
        "stripped": [*brains],
        "own-stripped": [v.without_lateral(v.stripped(h, margin)) for h in heads for margin in (0, 2)],
    }
    content = {r.name: _content(r.image, r.labels) for r in real} if cache is not None else {}
    for i, brain in enumerate(brains if heads else []):
        for head in [heads[(i + t) % len(heads)] for t in range(transplants)]:
            key = f"transplant {content.get(brain.name)} {content.get(head.name)}"
            made = _cached(cache, key, functools.partial(v.transplant, brain, head))
            kinds.setdefault("transplanted", []).append(made)
    for stack in pairs.read_folder(channel):
        kinds["whole" if stack.whole_head else "stripped"].append(stack)
    synthesiser = None
    if label_maps is not None:
        codes = json.loads((label_maps / "codes.json").read_text())["codes"]
        synthesiser = Synthesiser(codes)
        table = json.dumps(codes, sort_keys=True)
        for path in sorted(label_maps.glob("*.nii.gz")):
            key = f"label map, disputed {v.DISPUTED} {hashlib.sha256(path.read_bytes()).hexdigest()} {table}"
            made = _cached(cache, key, functools.partial(v.read_label_map, path, codes))
            kinds.setdefault("synthetic", []).append(made)
    return kinds, synthesiser
