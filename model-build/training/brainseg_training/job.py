"""A training job as SageMaker runs scripts: folders and hyperparameters from the
environment, a model folder as the result.

https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md
describes the SM_ variables. A managed spot job keeps what lies in
/opt/ml/checkpoints; the training goes on from there.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import time

import numpy as np
import onnx
import torch
import torch.distributed as dist

from . import artifact, balance, dataset, evaluation, judgement, report, restore
from .augmentation import Augmentation
from .sampling import SHARES, Sampler
from .synthesis import Synthesiser
from .trainer import Options, Trainer
from .window import batch_windows, normalise

log = logging.getLogger(__name__)

PORT = 29500


@dataclasses.dataclass
class Job:
    """What a job was told."""

    train: pathlib.Path
    test: pathlib.Path | None
    label_maps: pathlib.Path | None
    model: pathlib.Path
    output: pathlib.Path | None
    checkpoints: pathlib.Path | None
    hosts: list[str]
    host: str
    hyperparameters: argparse.Namespace


def _flag(value: str) -> bool:
    if value.lower() in ("1", "true", "yes"):
        return True
    if value.lower() in ("0", "false", "no"):
        return False
    raise argparse.ArgumentTypeError(f"{value!r} must be true or false")


def _class_weights(value: str) -> tuple[float, ...]:
    """Weights as the 2018 sample wrote them, [[1.35, 17.18, 8.29, 12.42]], or
    as a plain list."""
    try:
        weights = np.array(json.loads(value), dtype=float).ravel()
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{value!r} must be a list of numbers") from error
    if not len(weights) or not np.all(weights >= 0) or not np.all(np.isfinite(weights)):
        raise argparse.ArgumentTypeError(f"{value!r} must be numbers that are not negative")
    return tuple(float(w) for w in weights)


def _sizes(value: str) -> tuple[int, ...]:
    """Sizes, a number or several separated by commas."""
    try:
        sizes = tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{value!r} must be numbers separated by commas") from error
    if any(size < 32 or size % 16 for size in sizes):
        raise argparse.ArgumentTypeError(f"{value!r} must be multiples of 16 from 32 on")
    return sizes


def parser() -> argparse.ArgumentParser:
    """The hyperparameters. SageMaker passes each as --name value."""
    p = argparse.ArgumentParser(prog="train.py", description="Trains a tissue segmentation network.", allow_abbrev=False)
    classic2018 = p.add_argument_group("as in the 2018 sample")
    classic2018.add_argument("--network", choices=list(artifact.NETWORKS), default="enet")
    classic2018.add_argument(
        "--class_weights", type=_class_weights, default=(1.0, 1.0, 1.0, 1.0), help="weights of background, CSF, grey and white matter"
    )
    classic2018.add_argument("--learning_rate", type=float, default=2e-3)
    classic2018.add_argument("--batch_size", type=int, default=16, help="slices a step on each host")
    classic2018.add_argument("--epochs", type=int, default=60, help="one epoch is 2000 slices, each drawn anew")
    classic2018.add_argument("--num_classes", type=int, default=4, choices=(4,))
    ours = p.add_argument_group("further")
    ours.add_argument("--steps", type=int, default=0, help="steps instead of epochs")
    ours.add_argument("--stop_at", type=int, default=0, help="stop after so many of the steps, for another training to start from there")
    ours.add_argument("--sizes", type=_sizes, default=(176, 208, 240), help="sides of the square training slices, one drawn for each step")
    ours.add_argument(
        "--start_from",
        type=pathlib.Path,
        default=None,
        help="checkpoint of an earlier training, or its model.onnx, which this one improves",
    )
    ours.add_argument("--ema", type=float, default=0.999, help="decay of the averaged weights, which become the model")
    ours.add_argument("--weight_decay", type=float, default=1e-4)
    ours.add_argument("--warm_up", type=int, default=200, help="steps in which the learning rate rises")
    ours.add_argument("--outside_weight", type=float, default=1.0, help="weight of pixels that are neither brain nor black")
    ours.add_argument(
        "--air_weight", type=float, default=0.0, help="weight of how much masks may depend on place, air around and side; doubles the time"
    )
    ours.add_argument(
        "--framed",
        type=_flag,
        default=False,
        help="lay each slice in the middle of the canvas, the darker half to the left; the model then asks for that",
    )
    ours.add_argument("--transplants", type=int, default=1, help="whole heads that each stripped brain is put into")
    ours.add_argument("--shares", type=json.loads, default=SHARES, help="share of each kind of sample, a JSON object")
    ours.add_argument("--seed", type=int, default=1)
    ours.add_argument("--threads", type=int, default=0, help="0: as many as the machine has cores")
    ours.add_argument("--bfloat16", type=_flag, default=False, help="faster where the processor has AVX512-BF16 or AMX")
    ours.add_argument(
        "--compile", type=_flag, default=False, help="torch.compile: two to three times faster on a CPU; needs PyTorch 2 and a C++ compiler"
    )
    ours.add_argument("--cache", type=pathlib.Path, default=None, help="folder that keeps derived volumes")
    ours.add_argument("--version", default="1.0.0", help="version that the manifest states")
    ours.add_argument("--evaluate_every", type=int, default=1, help="each how manieth slice of the test channel is evaluated at the end")
    ours.add_argument(
        "--balance_slices", type=int, default=600, help="training slices on which the classes are balanced at the end; 0: they are not"
    )
    ours.add_argument(
        "--judge_slices", type=int, default=12000, help="slices that the network learns to judge its masks from; 0: it does not"
    )
    return p


def from_environment(arguments: list[str] | None = None, environment: dict[str, str] | None = None) -> Job:
    """Reads the job from the command line and the SM_ variables, which have
    defaults as in SageMaker's containers."""
    env = dict(os.environ) if environment is None else environment

    def folder(variable: str, default: str | None) -> pathlib.Path | None:
        value = env.get(variable, default)
        return pathlib.Path(value) if value else None

    # Hyperparameters come on the command line and in SM_HPS; the line counts.
    known = {a.dest for a in parser()._actions}
    line = []
    for name, value in json.loads(env.get("SM_HPS", "{}")).items():
        if name in known:
            line += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
        elif not name.startswith("sagemaker_"):
            raise ValueError(f"hyperparameter {name!r} is not known; `python train.py --help` lists them")
    hyperparameters = parser().parse_args(line + (arguments if arguments is not None else []))
    train = folder("SM_CHANNEL_TRAIN", "/opt/ml/input/data/train")
    if train is None or not train.is_dir():
        raise ValueError(f"the training data is not there: {train}; set the channel `train` (SM_CHANNEL_TRAIN)")
    model = folder("SM_MODEL_DIR", "/opt/ml/model")
    assert model is not None
    host = env.get("SM_CURRENT_HOST", "localhost")
    return Job(
        train=train,
        test=folder("SM_CHANNEL_TEST", None),
        label_maps=folder("SM_CHANNEL_LABELMAPS", None),
        model=model,
        output=folder("SM_OUTPUT_DATA_DIR", None),
        checkpoints=folder("BRAINSEG_CHECKPOINTS", "/opt/ml/checkpoints"),
        hosts=sorted(json.loads(env.get("SM_HOSTS", json.dumps([host])))),
        host=host,
        hyperparameters=hyperparameters,
    )


def _join_hosts(job: Job) -> int:
    """Starts torch.distributed among several hosts; returns this one's rank."""
    if len(job.hosts) == 1:
        return 0
    if job.host not in job.hosts:
        raise ValueError(f"SM_CURRENT_HOST {job.host!r} is not among SM_HOSTS {job.hosts}")
    rank = job.hosts.index(job.host)
    address = os.environ.get("MASTER_ADDR", job.hosts[0])
    port = int(os.environ.get("MASTER_PORT", PORT))
    dist.init_process_group("gloo", init_method=f"tcp://{address}:{port}", rank=rank, world_size=len(job.hosts))
    return rank


def run(job: Job) -> None:
    """Trains, evaluates on the test channel, and writes the model folder; of
    several hosts the first writes."""
    h = job.hyperparameters
    if h.threads:
        torch.set_num_threads(h.threads)
    rank = _join_hosts(job)
    torch.manual_seed(h.seed)
    network = artifact.build(h.network, h.num_classes)
    volumes, synthesiser = dataset.training_volumes(job.train, job.label_maps, h.cache, h.transplants)
    sampler, augmentation = Sampler(volumes, shares=h.shares), Augmentation(h.sizes, synthesiser)
    if h.start_from is not None and h.start_from.suffix == ".onnx":
        rng = np.random.default_rng(h.seed)
        images, _ = augmentation(sampler.batch(32, rng), rng)
        network = restore.from_onnx(network, h.start_from, normalise(images, batch_windows(images)).unsqueeze(1))
    elif h.start_from is not None:
        network = artifact.load_average(h.start_from, h.network)
    log.info("training on %s", ", ".join(f"{len(v)} {k}" for k, v in volumes.items() if v))
    steps = h.steps or max(h.epochs * 2000 // (h.batch_size * len(job.hosts)), 1)
    options = Options(
        steps=steps,
        stop_at=h.stop_at,
        batch_size=h.batch_size,
        learning_rate=h.learning_rate,
        weight_decay=h.weight_decay,
        warm_up=h.warm_up,
        ema=h.ema,
        class_weights=h.class_weights,
        outside_weight=h.outside_weight,
        air_weight=h.air_weight,
        framed=h.framed,
        seed=h.seed,
        bfloat16=h.bfloat16,
        compile=h.compile,
    )
    trainer = Trainer(network, sampler, augmentation, options, job.checkpoints)
    started = time.time()
    average = trainer.run()
    if rank == 0:
        log.info("%d steps, %d samples in %.0f s", trainer.step, trainer.samples, time.time() - started)
        _finish(job, trainer, average, volumes, synthesiser)
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def _finish(job: Job, trainer: Trainer, average: torch.nn.Module, kinds: dict[str, list], synthesiser: Synthesiser | None) -> None:
    h = job.hyperparameters
    constants = balance.fit(average, kinds, h.balance_slices, h.seed, h.framed) if h.balance_slices else np.zeros(h.num_classes)
    balance.apply(average, constants)

    def teach(graph: onnx.ModelProto) -> float:
        return judgement.teach(graph, kinds, synthesiser, h.seed, h.judge_slices, multiple=average.size_multiple, framed=h.framed)

    hashes = artifact.data_hashes([f for f in (job.train, job.label_maps) if f is not None])
    settings = {k: v for k, v in vars(h).items() if not isinstance(v, pathlib.Path)}
    if h.start_from is not None:
        settings["start_from"] = "sha256:" + hashlib.sha256(h.start_from.read_bytes()).hexdigest()
    provenance = {
        "hyperparameters": settings,
        "balance": constants.tolist(),
        "samples": trainer.samples,
        "seconds": round(trainer.seconds),
        "torch": torch.__version__,
        "trainingJob": os.environ.get("TRAINING_JOB_NAME", ""),
        "dataSha256": artifact.data_digest(hashes),
        "dataFiles": len(hashes),
    }
    artifact.write(job.model, average, h.network, h.version, provenance, framed=h.framed, teach=teach if h.judge_slices else None)
    report.training_curve(trainer.history, job.model / "training.png")
    if job.test is None:
        return
    result = evaluation.evaluate(job.model, dataset.read_any(job.test), every=h.evaluate_every)
    (job.model / "metrics.json").write_text(json.dumps(result.summary(), indent=2) + "\n")
    report.confusion_plot(result, job.model / "confusion.png")
    if job.output is not None:
        job.output.mkdir(parents=True, exist_ok=True)
        (job.output / "data.sha256.json").write_text(json.dumps(hashes, indent=2) + "\n")
    log.info("mean Dice of each group: %s", json.dumps(result.headline()))
