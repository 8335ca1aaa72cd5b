"""Plots of a training and an HTML page of an evaluation.

The page stands alone: its pictures are inside.
"""

from __future__ import annotations

import base64
import html
import io
import pathlib

import matplotlib
import numpy as np
from PIL import Image

from . import manifest
from .evaluation import Result, Slice

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend must be chosen first)

NAMES = ("CSF", "grey", "white")


def training_curve(history: list[dict[str, float]], path: pathlib.Path) -> None:
    """Loss against samples."""
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    axes.plot([h["samples"] for h in history], [h["loss"] for h in history])
    axes.set(xlabel="samples", ylabel="loss", yscale="log", title="Training")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def confusion_plot(result: Result, path: pathlib.Path) -> None:
    """Confusion matrices, rows of the labels adding up to 1."""
    confusions = result.summary()["confusion"]
    figure, axes = pyplot.subplots(1, len(confusions), figsize=(4.2 * len(confusions), 4), squeeze=False)
    for axis, (kind, counts) in zip(axes[0], confusions.items()):
        shares = np.array(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
        axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for i, j in np.ndindex(shares.shape):
            axis.text(j, i, f"{shares[i, j]:.3f}", ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
        ticks = ["none", *NAMES]
        axis.set(title=kind, xlabel="mask", ylabel="labels", xticks=range(4), yticks=range(4), xticklabels=ticks, yticklabels=ticks)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def overlay(image: np.ndarray, mask: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """The slice with the mask's colours over it, H x W x 3."""
    colours = np.zeros((256, 3))
    for entry in manifest.CLASSES:
        colours[entry["value"]] = [int(entry["colour"][i : i + 2], 16) for i in (1, 3, 5)]
    colours[255] = 255
    grey = np.repeat(image[..., None].astype(float), 3, axis=2)
    mixed = np.where((mask > 0)[..., None], (1 - opacity) * grey + opacity * colours[mask], grey)
    return mixed.astype(np.uint8)


def side_by_side(item: Slice) -> Image.Image:
    """Slice, labels, mask, and where the two differ (red)."""
    differ = (item.mask != item.labels) & (item.labels != 255)
    errors = np.repeat(item.image[..., None], 3, axis=2)
    errors[differ] = (230, 30, 30)
    panels = [np.repeat(item.image[..., None], 3, axis=2), overlay(item.image, item.labels), overlay(item.image, item.mask), errors]
    return Image.fromarray(np.concatenate(panels, axis=1))


def _inline(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _numbers(values: float | list[float]) -> str:
    listed = values if isinstance(values, list) else [values]
    return "</td><td>".join(f"{v:.3f}" for v in listed)


def page(result: Result, title: str, path: pathlib.Path) -> None:
    """Writes the HTML report: figures by section, by subject, under degradation,
    and the worst slices."""
    summary = result.summary()
    parts = [
        "<!doctype html><meta charset=utf-8>",
        f"<title>{html.escape(title)}</title>",
        "<style>body{font:14px sans-serif;max-width:1100px;margin:2em auto}td,th{padding:2px 8px;text-align:right}"
        "td:first-child{text-align:left}table{border-collapse:collapse}tr:nth-child(even){background:#f3f3f3}img{max-width:100%}</style>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p>Each {result.every}. slice of every plane. Slice, labels, mask, difference.</p>"
        if result.every > 1
        else "<p>All slices of every plane.</p>",
    ]
    for measure, columns in (
        ("dice", NAMES),
        ("hausdorff95", NAMES),
        ("volumeError", NAMES),
        ("meanIoU", ("all",)),
        ("outsideBrain", ("share",)),
        ("farOutsideBrain", ("share",)),
        ("deepGreyRecall", ("share",)),
        ("whiteCalledGrey", ("share",)),
        ("greyCalledWhite", ("share",)),
    ):
        heads = "".join(f"<th>{kind} {c}" for kind in ("mean", "sd", "worst") for c in columns)
        parts.append(f"<h2>{measure}</h2><table><tr><th>{heads}")
        for name, section in summary["sections"].items():
            if measure not in section:
                continue
            cells = "</td><td>".join(_numbers(section[measure][kind]) for kind in ("mean", "sd", "worst"))
            parts.append(f"<tr><td>{html.escape(name)} ({section['subjects']})</td><td>{cells}</td>")
        parts.append("</table>")
    parts.append("<h2>Subjects, Dice</h2><table><tr><th>subject" + "".join(f"<th>{n}" for n in NAMES))
    for subject, figures in summary["subjects"].items():
        parts.append(f"<tr><td>{html.escape(subject)}</td><td>{_numbers(figures['dice'])}</td>")
    parts.append("</table>")
    for title_of, suite in (("Degraded slices, mean Dice", "degradation"), ("Moved slices, Dice with themselves", "agreement")):
        rows = {k: v if isinstance(v, dict) else {"mean": v} for k, v in summary.get(suite, {}).items()}
        columns = list(dict.fromkeys(c for row in rows.values() for c in row))
        parts.append(f"<h2>{title_of}</h2><table><tr><th>" + "".join(f"<th>{c}" for c in columns))
        parts += [
            f"<tr><td>{html.escape(k)}</td>" + "".join(f"<td>{row[c]:.4f}</td>" if c in row else "<td></td>" for c in columns)
            for k, row in rows.items()
        ]
        parts.append("</table>")
    parts.append(f"<h2>Calibration</h2><p>Expected error {summary['calibration']['expectedError']:.4f}</p>")
    parts.append("<table><tr><th>confidence<th>accuracy<th>share")
    parts += [
        f"<tr><td>{p['confidence']:.3f}</td><td>{p['accuracy']:.3f}</td><td>{p['share']:.3f}</td>" for p in summary["calibration"]["curve"]
    ]
    parts.append("</table><h2>Worst slices</h2>")
    for item in result.worst:
        caption = f"{item.subject}, {item.plane} {item.index}: mean Dice {item.mean_dice:.3f}"
        parts.append(f"<p>{html.escape(caption)}<br><img alt='' src='{_inline(side_by_side(item))}'></p>")
    path.write_text("\n".join(parts) + "\n")
