"""Time of one slice through ONNX Runtime on one thread, interleaved with a matrix
product that shows what the processor can do at that moment."""

from __future__ import annotations

import pathlib
import time

import numpy as np
import onnxruntime
import torch

from .inference import Model

# Side of the matrices of the product; its speed is the sgemm peak.
SIDE = 1536


def measure(folders: list[pathlib.Path], size: int = 256, rounds: int = 50) -> dict:
    """Milliseconds of a size x size slice for each model folder (median and
    smallest), sgemm in GFLOP/s on one thread, and what each model would need
    where sgemm peaks at 200 GFLOP/s."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (size, size)).astype(np.uint8)
    models = {f.name: Model(f) for f in folders}
    feeds = {name: m.feed(image) for name, m in models.items()}
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    times: dict[str, list[float]] = {name: [] for name in models}
    speeds = []
    for turn in range(rounds + 3):
        started = time.perf_counter()
        left @ right
        speed = 2 * SIDE**3 / (time.perf_counter() - started) / 1e9
        if turn >= 3:
            speeds.append(speed)
        for name, m in models.items():
            m.session.run(None, feeds[name])
            started = time.perf_counter()
            m.session.run(None, feeds[name])
            if turn >= 3:
                times[name].append((time.perf_counter() - started) * 1e3)
    peak = float(np.median(speeds))
    out: dict = {
        "onnxruntime": onnxruntime.__version__,
        "size": size,
        "sgemm GFLOP/s": {"median": round(peak, 1), "best": round(max(speeds), 1)},
    }
    for name, values in times.items():
        median = float(np.median(values))
        out[name] = {"p50 ms": round(median, 2), "best ms": round(min(values), 2), "ms at 200 GFLOP/s": round(median * peak / 200, 2)}
    return out
