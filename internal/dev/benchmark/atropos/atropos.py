"""Times a whole scan by `brainseg volume` and by ANTs Atropos, in turn and on the same cores.

atropos.py BRAINSEG SCAN_T1w.nii.gz [--rounds N] [--threads N]

Atropos (Avants et al. 2011) gets what it needs to begin with: the scan in memory and a
mask of the brain, which is everything above 0, so the scan must be stripped. It has the
settings that antspyx gives it by default: three classes by k-means, five iterations.
brainseg is timed as a command: it starts, reads the file, loads its model, segments
three planes and writes labels, volumes and a page. Where SCAN_seg.nii.gz lies beside,
the mean Dice of both with it is told; those labels were made by a method of Atropos' kind.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("brainseg", type=pathlib.Path)
    parser.add_argument("scan", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(options.threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    import ants  # reads the number of threads when it is loaded

    image = ants.image_read(str(options.scan))
    brain = ants.get_mask(image, low_thresh=1e-6, cleanup=0)
    times: dict[str, list[float]] = {"brainseg": [], "Atropos": []}
    labels = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as out:
            start = time.monotonic()
            subprocess.run(
                [options.brainseg, "volume", "--out", out, "--workers", str(options.threads), options.scan],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            times["brainseg"].append(time.monotonic() - start)
            labels["brainseg"] = ants.image_read(str(next(pathlib.Path(out).glob("*_dseg.nii.gz")))).numpy()
        start = time.monotonic()
        result = ants.atropos(a=image, x=brain, i="Kmeans[3]", m="[0.2,1x1x1]", c="[5,0]")
        times["Atropos"].append(time.monotonic() - start)
        labels["Atropos"] = result["segmentation"].numpy()
    truth = options.scan.with_name(options.scan.name.replace("_T1w", "_seg"))
    for name, seconds in times.items():
        print(f"{name}: {statistics.median(seconds):.2f} s (median of {len(seconds)}, {options.threads} cores)")
        if truth != options.scan and truth.exists():
            known = ants.image_read(str(truth)).numpy()
            dice = [2 * ((labels[name] == k) & (known == k)).sum() / ((labels[name] == k).sum() + (known == k).sum()) for k in (1, 2, 3)]
            print("  Dice with the labels, CSF / grey / white: " + " / ".join(f"{d:.3f}" for d in dice))
    print(f"Atropos takes {statistics.median(times['Atropos']) / statistics.median(times['brainseg']):.1f} times as long")


if __name__ == "__main__":
    main()
