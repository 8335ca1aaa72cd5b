"""The model folder: network, manifest and figures, as the component takes them."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable

import onnx
import torch
from torch import nn

from . import export, manifest
from .enet import ENet, light
from .unet import UNet

NETWORKS: dict[str, Callable[[int], nn.Module]] = {"enet": ENet, "enet-light": light, "unet": UNet}

LICENCE = "Apache-2.0"


def build(network: str, classes: int = 4) -> nn.Module:
    """A fresh network of the given name."""
    if network not in NETWORKS:
        raise ValueError(f"network {network!r} must be one of {', '.join(NETWORKS)}")
    return NETWORKS[network](classes)


def load_average(checkpoint: pathlib.Path, network: str) -> nn.Module:
    """The averaged network of a checkpoint, ready to be run."""
    model = build(network)
    model.load_state_dict(torch.load(checkpoint, map_location="cpu")["average"])
    return model.eval()


def data_hashes(folders: list[pathlib.Path]) -> dict[str, str]:
    """SHA-256 of each file of the folders, by file name."""
    found = {}
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            found[f"{folder.name}/{path.relative_to(folder)}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def data_digest(hashes: dict[str, str]) -> str:
    """One SHA-256 for all of a data set: of its lines `hash  name`, sorted."""
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


# Adds a judgement to a graph, and returns the least `known` of heads.
Teacher = Callable[[onnx.ModelProto], float]


def write(
    folder: pathlib.Path,
    network: nn.Module,
    kind: str,
    version: str,
    provenance: dict,
    metrics: dict | None = None,
    framed: bool = False,
    teach: Teacher | None = None,
) -> dict:
    """Writes model.onnx, manifest.json and, where given, metrics.json; returns
    the manifest. A framed network is one that is shown slices in a frame. Without
    teach the model does not judge its masks."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    graph = export.to_onnx(network, len(manifest.CLASSES))
    least_known = teach(graph) if teach is not None else None
    export.save_graph(graph, path)
    # The light network goes on where the other was: one name, another version.
    name = f"brainseg-{kind.removesuffix('-light')}"
    document = manifest.describe(
        path,
        name,
        version,
        network.size_multiple,
        export.parameter_count(network),
        LICENCE,
        {"network": kind, **provenance},
        framed,
        least_known,
    )
    manifest.write(document, folder)
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return document


def judged(source: pathlib.Path, target: pathlib.Path, version: str, teach: Teacher, told: dict) -> None:
    """Writes the model folder source, with a judgement, to target; its masks are the
    same. told goes into the provenance."""
    document = json.loads((source / "manifest.json").read_text())
    graph = onnx.load(source / document["file"])
    least_known = teach(graph)
    target.mkdir(parents=True, exist_ok=True)
    export.save_graph(graph, target / "model.onnx")
    provenance = {**document.get("provenance", {}), "judgement": {"of": document["sha256"], **told}}
    provenance.pop("modelBuild", None)  # what model-build did was done to the model before
    sha256 = hashlib.sha256((target / "model.onnx").read_bytes()).hexdigest()
    document |= {"version": version, "file": "model.onnx", "sha256": sha256, "provenance": provenance}
    manifest.offer(document, least_known)
    manifest.check(document)
    manifest.write(document, target)
