"""Runs model folders through ONNX Runtime, as the component does."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from . import frame, window
from .degradation import resampled


class Model:
    """A model folder whose network takes uint8 slices and a percentile window."""

    def __init__(self, folder: pathlib.Path, threads: int = 1, scores: bool = False):
        """With scores, the class scores can be had, too; it is slower."""
        self.manifest = json.loads((folder / "manifest.json").read_text())
        if self.manifest["normalisation"]["kind"] != "percentile-window" or self.manifest["output"]["type"] != "uint8":
            raise ValueError(f"{folder}: only networks with a percentile window and a mask can be evaluated here")
        network = onnx.load(folder / self.manifest["file"])
        self.source = ""
        if scores:
            source = next(n for n in network.graph.node if n.op_type == "Split").input[0]
            shuffle = next((n for n in network.graph.node if n.op_type == "DepthToSpace" and n.input[0] != source), None)
            if shuffle is not None and shuffle.output[0] != source:
                # The graph decides before it rearranges: the scores are not, yet.
                network.graph.node.append(helper.make_node("DepthToSpace", [source], ["logits"], blocksize=2, mode="CRD"))
                source = "logits"
            self.source = source
            classes = len(self.manifest["classes"])
            network.graph.output.append(helper.make_tensor_value_info(source, TensorProto.FLOAT, [1, classes, "height", "width"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # an input that need not be fed is no mistake
        self.session = onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.multiple = self.manifest["input"]["sizeMultiple"]

    def feed(self, image: np.ndarray) -> tuple[dict[str, np.ndarray], frame.Frame]:
        """The graph's inputs for a uint8 slice, and where on them the slice lies."""
        rule = self.manifest["normalisation"]
        limits = window.slice_window(image, rule["low"], rule["high"], rule.get("ignoreBelowOrEqual", 0))
        if "frame" in self.manifest:
            laid = frame.find(image, limits[1], self.manifest["frame"], self.multiple)
        else:
            laid = frame.whole(image.shape, self.multiple)
        return {self.manifest["input"]["name"]: laid.show(image)[None, None], rule["input"]: np.array(limits, np.float32)}, laid

    def segment(self, image: np.ndarray, spacing: tuple[float, float] | None = None) -> np.ndarray:
        """The mask of a uint8 slice. Where the size of its pixels (mm, down and
        across) is stated, the slice is brought to pixels of 1 mm, and the scores
        of the classes back, which needs a model opened with scores."""
        if spacing is None or spacing == (1.0, 1.0):
            inputs, laid = self.feed(image)
            return laid.back(self.session.run([self.manifest["output"]["name"]], inputs)[0][0], image.shape)
        small = np.clip(np.rint(resampled(image, (1 / spacing[0], 1 / spacing[1]))), 0, 255).astype(np.uint8)
        _, probabilities = self.probabilities(small)
        return np.stack([resampled(p, spacing, image.shape) for p in probabilities]).argmax(0).astype(np.uint8)

    def judge(self, image: np.ndarray) -> tuple[np.ndarray, float, float]:
        """The mask, the model's confidence in it, and how likely the slice is known."""
        names = [self.manifest["output"]["name"], self.manifest["judgement"]["name"]]
        inputs, laid = self.feed(image)
        mask, (confidence, known) = self.session.run(names, inputs)
        return laid.back(mask[0], image.shape), float(confidence), float(known)

    def probabilities(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mask and the probability of each class, C x H x W."""
        inputs, laid = self.feed(image)
        mask, scores = self.session.run([self.manifest["output"]["name"], self.source], inputs)
        powers = np.exp(scores[0] - scores[0].max(0))
        probabilities = laid.back(powers / powers.sum(0), image.shape)
        probabilities[0][probabilities.sum(0) == 0] = 1  # beyond the canvas there is nothing
        return laid.back(mask[0], image.shape), probabilities
