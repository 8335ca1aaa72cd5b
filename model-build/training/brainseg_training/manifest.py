"""Manifests of models, in the form that the component reads.

schemas/model-manifest.schema.json is the one description of that form;
the training reads it from there, or from a copy beside the package where only
this folder was shipped (to SageMaker).
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import jsonschema

from . import frame, outputs, window

CLASSES: list[dict[str, Any]] = [
    {"value": 0, "name": "background", "colour": "#000000"},
    {"value": 1, "name": "csf", "colour": "#3b82f6"},
    {"value": 2, "name": "grey-matter", "colour": "#e07a5f"},
    {"value": 3, "name": "white-matter", "colour": "#f4f1de"},
]

_HERE = pathlib.Path(__file__).resolve()
SCHEMA_PLACES = (
    _HERE.parents[3] / "schemas" / "model-manifest.schema.json",
    _HERE.parents[1] / "model-manifest.schema.json",
)


def schema() -> dict:
    """The JSON schema of manifests."""
    for place in SCHEMA_PLACES:
        if place.exists():
            return json.loads(place.read_text())
    raise FileNotFoundError("model-manifest.schema.json is neither in schemas/ nor beside train.py; copy it beside train.py")


def offer(document: dict, least_known: float | None) -> None:
    """Says in a manifest that the graph gives scores, and, unless least_known is
    None, a judgement."""
    document["schemaVersion"] = 2
    document["scores"] = {"name": outputs.SCORES, "type": "uint8", "layout": "NCHW", "switch": outputs.SWITCH}
    if least_known is not None:
        document["judgement"] = {"name": outputs.JUDGEMENT, "leastKnown": least_known}


def describe(
    model: pathlib.Path,
    name: str,
    version: str,
    size_multiple: int,
    parameters: int,
    licence: str,
    provenance: dict,
    framed: bool = False,
    least_known: float | None = None,
) -> dict:
    """Manifest of a network written by export; checked against the schema. `framed`
    networks are shown slices in a frame; least_known is what judgement.teach has
    returned, where it was called."""
    document = {
        "schemaVersion": 2,
        "name": name,
        "version": version,
        "file": model.name,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "input": {"name": "image", "type": "uint8", "layout": "NCHW", "channels": 1, "sizeMultiple": size_multiple},
        "normalisation": {
            "kind": "percentile-window",
            "input": "window",
            "low": window.LOW,
            "high": window.HIGH,
            "ignoreBelowOrEqual": window.IGNORE_BELOW_OR_EQUAL,
        },
        "output": {"name": "mask", "type": "uint8", "layout": "NHW"},
        "classes": CLASSES,
        "parameters": parameters,
        "licence": licence,
        "provenance": provenance,
    }
    if framed:
        document |= {"requires": ["frame"], "frame": frame.RULE}
    offer(document, least_known)
    check(document)
    return document


def check(document: dict) -> None:
    """Raises jsonschema.ValidationError where a manifest does not follow the schema."""
    jsonschema.validate(document, schema(), cls=jsonschema.Draft202012Validator)


def write(document: dict, folder: pathlib.Path) -> None:
    """Writes manifest.json into the model's folder."""
    (folder / "manifest.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
