"""Commands for a desk: python -m brainseg_training COMMAND --help."""

from __future__ import annotations

import argparse
import json
import logging
import pathlib

import onnx

from . import artifact


def _evaluate(options: argparse.Namespace) -> None:
    from . import dataset, evaluation, report

    result = evaluation.evaluate(
        options.model,
        dataset.read_any(options.data),
        options.every,
        degraded_every=options.degraded_every,
        threads=options.threads,
        through=options.through,
    )
    options.report.mkdir(parents=True, exist_ok=True)
    (options.report / "metrics.json").write_text(json.dumps(result.summary(), indent=2) + "\n")
    report.page(result, f"{options.model.name}: evaluation", options.report / "index.html")
    report.confusion_plot(result, options.report / "confusion.png")
    summary = result.summary()
    for name, section in summary["sections"].items():
        dice, outside, deep = section["dice"], section["outsideBrain"], section.get("deepGreyRecall")
        line = f"{name:28} Dice {dice['mean']} worst {dice['worst']} outside {outside['mean']}"
        print(line + (f" deep grey {deep['mean']} worst {deep['worst']}" if deep else ""))
    for name, figures in summary.get("degradation", {}).items():
        print(f"{name:28}", " ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    if "agreement" in summary:
        print("Dice of moved slices with themselves:", json.dumps(summary["agreement"]))
        print("slices without brain:", json.dumps(summary["emptySlices"]))
    if "judgement" in summary:
        print("judgement:", json.dumps(summary["judgement"]))
    print("calibration error:", round(result.calibration.expected_error(), 4))


def _export(options: argparse.Namespace) -> None:
    from . import balance, dataset

    network = artifact.load_average(options.checkpoint, options.network)
    provenance = json.loads(options.provenance.read_text()) if options.provenance else {}
    if options.balance:
        kinds, _ = dataset.training_volumes(options.balance / "train", None, options.cache)
        constants = balance.fit(network, kinds, options.balance_slices, options.seed, options.framed)
        balance.apply(network, constants)
        provenance["balance"] = constants.tolist()
    artifact.write(options.model, network, options.network, options.version, provenance, framed=options.framed)


def _judge(options: argparse.Namespace) -> None:
    import torch

    from . import dataset, judgement

    torch.set_num_threads(options.threads)
    maps = options.channels / "labelmaps"
    kinds, synthesiser = dataset.training_volumes(options.channels / "train", maps if maps.is_dir() else None, options.cache)

    document = json.loads((options.model / "manifest.json").read_text())
    multiple, framed = document["input"]["sizeMultiple"], "frame" in document

    def teach(graph: onnx.ModelProto) -> float:
        return judgement.teach(graph, kinds, synthesiser, options.seed, options.slices, multiple, framed)

    artifact.judged(options.model, options.target, options.version, teach, {"slices": options.slices, "seed": options.seed})


def _oasis(options: argparse.Namespace) -> None:
    from . import prepare

    split = prepare.oasis(options.discs, options.target, options.test_share, options.seed, options.step)
    print(f"{len(split.train)} subjects to train on, {len(split.test)} to test on")


def _nifti(options: argparse.Namespace) -> None:
    from . import prepare

    labels = {int(a): int(b) for a, b in (pair.split(":") for pair in options.labels.split(","))} if options.labels else None
    test = options.test.split(",") if options.test else None
    split = prepare.nifti(options.source, options.target, options.test_share, test, options.seed, labels)
    print(f"{len(split.train)} subjects to train on, {len(split.test)} to test on")


def _latency(options: argparse.Namespace) -> None:
    from . import latency

    print(json.dumps(latency.measure(options.model, options.size, options.rounds), indent=2))


def main(arguments: list[str] | None = None) -> None:
    """Runs one command."""
    parser = argparse.ArgumentParser(prog="python -m brainseg_training", description=__doc__)
    commands = parser.add_subparsers(required=True)

    evaluate = commands.add_parser("evaluate", help="figures and an HTML report of a model folder")
    evaluate.add_argument("model", type=pathlib.Path, help="folder of model.onnx and manifest.json")
    evaluate.add_argument("data", type=pathlib.Path, help="folder of NIfTI pairs, PNG pairs or archives of those")
    evaluate.add_argument("report", type=pathlib.Path, help="folder to write to")
    evaluate.add_argument("--every", type=int, default=1, help="take each how manieth slice")
    evaluate.add_argument("--degraded-every", type=int, default=0, help="the same for degraded and moved slices; 0 leaves them out")
    evaluate.add_argument("--through", help="URL of a component that serves the model and segments those, http://127.0.0.1:5000 for one")
    evaluate.add_argument("--threads", type=int, default=1)
    evaluate.set_defaults(run=_evaluate)

    export = commands.add_parser("export", help="model folder from a checkpoint")
    export.add_argument("checkpoint", type=pathlib.Path)
    export.add_argument("model", type=pathlib.Path)
    export.add_argument("--network", choices=list(artifact.NETWORKS), default="enet")
    export.add_argument("--version", default="1.0.0")
    export.add_argument(
        "--framed", action="store_true", help="the component lays each slice in the middle of the canvas, the darker half to the left"
    )
    export.add_argument("--provenance", type=pathlib.Path, help="JSON file whose content goes into the manifest")
    export.add_argument("--balance", type=pathlib.Path, help="folder with the channel train, on which the classes are balanced")
    export.add_argument("--balance-slices", type=int, default=600, help="slices of it")
    export.add_argument("--seed", type=int, default=1)
    export.add_argument("--cache", type=pathlib.Path, help="folder that keeps derived volumes")
    export.set_defaults(run=_export)

    judge = commands.add_parser("judge", help="the model folder of a finished network with scores and a judgement of its masks")
    judge.add_argument("model", type=pathlib.Path, help="folder of model.onnx and manifest.json")
    judge.add_argument("channels", type=pathlib.Path, help="folder with the channels train and labelmaps that the network was trained on")
    judge.add_argument("target", type=pathlib.Path, help="folder to write to")
    judge.add_argument("--version", required=True, help="the new model's version")
    judge.add_argument("--slices", type=int, default=12000, help="slices to learn from")
    judge.add_argument("--seed", type=int, default=1)
    judge.add_argument("--threads", type=int, default=1)
    judge.add_argument("--cache", type=pathlib.Path, help="folder that keeps derived volumes")
    judge.set_defaults(run=_judge)

    prepare = commands.add_parser("prepare", help="channels train and test from a data set")
    sources = prepare.add_subparsers(required=True)
    oasis = sources.add_parser("oasis", help="OASIS-1: T88_111 images and FSL_SEG labels, as PNG pairs")
    oasis.add_argument("target", type=pathlib.Path, help="folder to write to")
    oasis.add_argument("discs", type=pathlib.Path, nargs="+", help="folders of the discs (disc1, disc2 and so on)")
    oasis.add_argument("--step", type=int, default=2, help="take each how manieth slice")
    oasis.set_defaults(run=_oasis)
    nifti = sources.add_parser("nifti", help="pairs NAME_T1w.nii.gz, NAME_seg.nii.gz, in folders by data set")
    nifti.add_argument("source", type=pathlib.Path)
    nifti.add_argument("target", type=pathlib.Path, help="folder to write to")
    nifti.add_argument("--test", help="test subjects, separated by commas, instead of a share")
    nifti.add_argument("--labels", help="source:tissue pairs, separated by commas, where the labels are not 0 to 3")
    nifti.set_defaults(run=_nifti)
    for command in (oasis, nifti):
        command.add_argument("--test-share", type=float, default=0.2)
        command.add_argument("--seed", type=int, default=1)

    latency = commands.add_parser("latency", help="time of a slice, beside the processor's own speed, in one run")
    latency.add_argument("model", type=pathlib.Path, nargs="+", help="model folders")
    latency.add_argument("--size", type=int, default=256)
    latency.add_argument("--rounds", type=int, default=50)
    latency.set_defaults(run=_latency)

    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.run(options)


if __name__ == "__main__":
    main()
