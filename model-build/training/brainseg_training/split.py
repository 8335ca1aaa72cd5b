"""Splits by subject, written down, and checked for leaks.

Slices of one subject are so alike that a split by slice measures memory; so do
two sessions of the same person, and the same scan under two names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping

FILE = "split.json"


class LeakError(ValueError):
    """Something of a test subject is in the training set."""


@dataclasses.dataclass
class Split:
    """Which subjects train and which test."""

    train: list[str]
    test: list[str]
    how: str

    def of(self, subject: str) -> str:
        """The channel of a subject: train or test."""
        return "test" if subject in self.test else "train"

    def write(self, folder: pathlib.Path) -> None:
        """Writes split.json into the folder of the channels."""
        document = {"how": self.how, "train": sorted(self.train), "test": sorted(self.test)}
        (folder / FILE).write_text(json.dumps(document, indent=2) + "\n")


def read(folder: pathlib.Path) -> Split:
    """Reads split.json."""
    document = json.loads((folder / FILE).read_text())
    return Split(document["train"], document["test"], document["how"])


def by_subject(subjects: Iterable[str], test_share: float = 0.2, seed: int = 1) -> Split:
    """Splits subjects by the hash of seed and name: a subject stays where it is
    when others come or go. Both parts get at least one."""
    names = sorted(set(subjects))
    if len(names) < 2:
        raise ValueError(f"{len(names)} subjects cannot be split into training and test")
    order = sorted(names, key=lambda n: hashlib.sha256(f"{seed} {n}".encode()).digest())
    # A threshold on the hash, not a count, keeps subjects in place.
    test = [n for n in names if hashlib.sha256(f"{seed} {n}".encode()).digest()[0] < 256 * test_share]
    if not test:
        test = order[:1]
    if len(test) == len(names):
        test = order[:-1]
    return Split([n for n in names if n not in test], test, f"by hash of the subject's name, seed {seed}, test share {test_share}")


def by_names(subjects: Iterable[str], test: Iterable[str]) -> Split:
    """Splits by a list of test subjects."""
    names, wanted = sorted(set(subjects)), sorted(set(test))
    missing = [n for n in wanted if n not in names]
    if missing:
        raise ValueError(f"test subjects that are not in the data: {', '.join(missing)}")
    if not wanted or len(wanted) == len(names):
        raise ValueError("both training and test need subjects")
    return Split([n for n in names if n not in wanted], wanted, "by a list of test subjects")


def check(split: Split, contents: Mapping[str, str]) -> None:
    """Raises LeakError where a subject is on both sides, or the same content
    (contents: hash of each subject's image) stands under names of both."""
    both = sorted(set(split.train) & set(split.test))
    if both:
        raise LeakError(f"subjects in training and in test: {', '.join(both)}")
    seen = {contents[n]: n for n in split.train if n in contents}
    for name in split.test:
        twin = seen.get(contents.get(name, ""))
        if twin is not None:
            raise LeakError(f"test subject {name} has the same image as training subject {twin}")
