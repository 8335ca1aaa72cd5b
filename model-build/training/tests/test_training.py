"""Whole trainings, tiny ones: as SageMaker starts them, resumed, on two hosts."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
import torch
from conftest import phantom
from PIL import Image

from brainseg_training import artifact, dataset, evaluation, job, manifest, report
from brainseg_training.augmentation import Augmentation
from brainseg_training.inference import Model
from brainseg_training.sampling import Sampler
from brainseg_training.trainer import Options, Trainer

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "train.py"
SMALL = [
    "--sizes",
    "48,64",
    "--batch_size",
    "4",
    "--threads",
    "1",
    "--warm_up",
    "5",
    "--ema",
    "0.8",
    "--balance_slices",
    "12",
    "--judge_slices",
    "24",
]


def environment(channels, folder, **more):
    return {
        "SM_CHANNEL_TRAIN": str(channels / "train"),
        "SM_CHANNEL_TEST": str(channels / "test"),
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DATA_DIR": str(folder / "output"),
        "BRAINSEG_CHECKPOINTS": str(folder / "checkpoints"),
        **more,
    }


def start(channels, folder, *arguments, **more):
    env = {**os.environ, **environment(channels, folder, **more)}
    return subprocess.Popen([sys.executable, str(SCRIPT), *SMALL, *arguments], env=env, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, log = process.communicate(timeout=1200)  # also on a busy machine
    assert process.returncode == 0, log
    return log


def test_a_tiny_training_learns_and_leaves_a_whole_model_folder(channels, tmp_path):
    finish(start(channels, tmp_path, "--steps", "150", "--learning_rate", "0.005"))
    folder = tmp_path / "model"
    assert {p.name for p in folder.iterdir()} >= {"model.onnx", "manifest.json", "metrics.json", "training.png", "confusion.png"}
    document = json.loads((folder / "manifest.json").read_text())
    jsonschema.validate(document, manifest.schema(), cls=jsonschema.Draft202012Validator)
    assert document["provenance"]["samples"] == 600
    assert document["schemaVersion"] == 2 and 0 <= document["judgement"]["leastKnown"] <= 1
    figures = json.loads((folder / "metrics.json").read_text())["sections"]
    assert np.mean(figures["stripped"]["dice"]["mean"]) > 0.5
    assert set(figures) >= {"whole-head", "stripped", "stripped/axial", "whole-head/made"}
    image, _ = phantom(9, True)
    assert Model(folder).segment(image[:, :, 20]).shape == (40, 48)


def test_the_unet_of_classic2018_trains_on_its_input_by_its_hyperparameters(tmp_path):
    import tarfile

    for channel, seeds in (("train", (1, 2)), ("test", (3,))):
        slices = tmp_path / channel / "slices"
        slices.mkdir(parents=True)
        for seed in seeds:
            image, labels = phantom(seed, True)
            for k in range(10, 34, 6):
                Image.fromarray(image[:, :, k]).save(slices / f"OAS1_{seed:04d}_MR1_slice_{k:03d}.png")
                Image.fromarray(labels[:, :, k]).save(slices / f"OAS1_{seed:04d}_MR1_slice_{k:03d}_mask.png")
        with tarfile.open(tmp_path / channel / f"{channel}.tar.gz", "w:gz") as tar:
            for path in slices.iterdir():
                tar.add(path, path.name)
                path.unlink()
        slices.rmdir()
    hps = {
        "network": "unet",
        "class_weights": [[1.35, 17.18, 8.29, 12.42]],
        "learning_rate": 1e-3,
        "num_classes": 4,
        "sagemaker_region": "eu-central-1",
    }
    finish(start(tmp_path, tmp_path, "--steps", "3", SM_HPS=json.dumps(hps)))
    document = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert document["provenance"]["network"] == "unet" and document["input"]["sizeMultiple"] == 16
    assert document["provenance"]["hyperparameters"]["class_weights"] == [1.35, 17.18, 8.29, 12.42]


def trainer(channels, folder, steps):
    torch.manual_seed(1)
    volumes, synthesiser = dataset.training_volumes(channels / "train", None, None)
    options = Options(steps=steps, batch_size=2, warm_up=2, ema=0.9)
    return Trainer(artifact.build("enet"), Sampler(volumes, canvas=64), Augmentation([48], synthesiser), options, folder)


def test_a_resumed_training_ends_where_an_unbroken_one_does(channels, tmp_path):
    unbroken = trainer(channels, tmp_path / "a", 6).run()
    broken = trainer(channels, tmp_path / "b", 6)
    broken.progress = lambda: 1.0 if broken.step == 3 else broken.step / 6
    broken.run()
    resumed = trainer(channels, tmp_path / "b", 6)
    assert resumed.step == 0
    again = resumed.run()
    assert resumed.step == 6 and resumed.samples == 12
    for a, b in zip(unbroken.state_dict().values(), again.state_dict().values()):
        assert torch.allclose(a.float(), b.float(), atol=1e-4)


def test_the_second_look_is_at_the_same_pixels(channels, tmp_path):
    """A network of one 1 x 1 convolution sees each pixel alone: moved or mirrored,
    its scores are the same, and there is nothing to disagree about."""
    t = trainer(channels, tmp_path, 4)
    t.network = torch.nn.Conv2d(1, 4, 1)
    images = torch.randint(1, 256, (2, 64, 64), dtype=torch.uint8)
    labels = torch.full((2, 64, 64), 2, dtype=torch.uint8)
    values = []
    for weight in (1e-9, 100.0):
        t.options.air_weight = weight
        losses = [float(t._loss_function()(images, labels, np.random.default_rng(seed)).detach()) for seed in range(8)]
        values.append(losses)
    assert np.allclose(values[0], values[1], atol=1e-4)


def test_a_training_that_is_stopped_ends_at_the_rate_that_it_has_there(channels, tmp_path):
    whole = trainer(channels, tmp_path / "a", 8)
    rates = []
    for whole.step in range(8):
        rates.append(whole._rate())
    stopped = trainer(channels, tmp_path / "b", 8)
    stopped.options.stop_at = 3
    stopped.run()
    assert stopped.step == 3 and stopped._rate() == rates[3] > rates[7]


def test_a_training_can_start_from_an_earlier_model(channels, tmp_path):
    trainer(channels, tmp_path / "earlier", 2).run()
    checkpoint = tmp_path / "earlier" / "checkpoint.pt"
    # At a rate of nothing, the model stays what it was.
    finish(start(channels, tmp_path, "--steps", "2", "--learning_rate", "0", "--start_from", str(checkpoint)))
    document = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert document["provenance"]["hyperparameters"]["start_from"].startswith("sha256:")
    before = torch.load(checkpoint, map_location="cpu")["average"]
    after = torch.load(tmp_path / "checkpoints" / "checkpoint.pt", map_location="cpu")["average"]
    assert torch.allclose(before["final.weight"], after["final.weight"], atol=1e-6)


def test_a_training_can_start_from_a_shipped_graph(channels, tmp_path):
    torch.manual_seed(2)
    network = artifact.build("enet").eval()
    artifact.write(tmp_path / "shipped", network, "enet", "1.0.0", {})
    graph = tmp_path / "shipped" / "model.onnx"
    finish(start(channels, tmp_path, "--steps", "2", "--learning_rate", "0", "--network", "enet-light", "--start_from", str(graph)))
    document = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert document["provenance"]["hyperparameters"]["start_from"].startswith("sha256:")
    after = torch.load(tmp_path / "checkpoints" / "checkpoint.pt", map_location="cpu")["average"]
    assert torch.allclose(network.final.weight, after["final.weight"], atol=1e-6)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run_rank(rank, port, channels, folder):
    """One of two hosts, in a process of its own: leaves the network of an unbroken
    training in the folder, and that of one that was stopped and resumed."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for name, stops in (("unbroken", (0,)), ("resumed", (2, 0))):
        for stop_at in stops:
            host = trainer(channels, folder / name if rank == 0 else None, 4)
            host.options.stop_at = stop_at
            host.run()
        torch.save(host.network.state_dict(), folder / f"{name}-{rank}.pt")


def test_two_hosts_that_are_resumed_go_on_as_if_they_had_not_stopped(channels, tmp_path):
    torch.multiprocessing.spawn(run_rank, (free_port(), channels, tmp_path), nprocs=2)
    want = torch.load(tmp_path / "unbroken-0.pt")
    for name in ("unbroken-1", "resumed-0", "resumed-1"):
        for key, value in torch.load(tmp_path / f"{name}.pt").items():
            if "running" not in key:  # the statistics of batches are each host's own
                assert torch.allclose(value.float(), want[key].float(), atol=1e-4), f"{key} of {name}"


def test_two_hosts_train_one_network_together(channels, tmp_path):
    port = free_port()
    hosts = json.dumps(["algo-1", "algo-2"])
    shared = {"SM_HOSTS": hosts, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    processes = [start(channels, tmp_path / host, "--steps", "4", SM_CURRENT_HOST=host, **shared) for host in ("algo-1", "algo-2")]
    for process in processes:
        finish(process)
    document = json.loads((tmp_path / "algo-1" / "model" / "manifest.json").read_text())
    assert document["provenance"]["samples"] == 4 * 4 * 2
    assert not (tmp_path / "algo-2" / "model").exists(), "only the first host writes"


def test_evaluation_of_a_folder_makes_a_page_with_the_worst_slices(channels, tmp_path):
    artifact.write(tmp_path / "model", artifact.build("enet").eval(), "enet", "0.0.1", {})
    result = evaluation.evaluate(tmp_path / "model", dataset.read_any(channels / "test"), every=9, worst=3, degraded_every=15)
    suites = result.robustness
    assert set(suites["degradation"]) >= {"none", "rotation", "noise", "pixels-2-mm", "pixels-2-mm-unstated", "slices-5-mm"}
    assert set(suites["agreement"]) >= {"shift-1", "shift-8", "mirrored"} and suites["emptySlices"]["slices"] > 0
    report.page(result, "a <tiny> network", tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "a &lt;tiny&gt; network" in page and page.count("data:image/png") == len(result.worst)
    json.dumps(result.summary())


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [({"sizes": "100"}, None), ({"netwrok": "enet"}, "netwrok"), ({"class_weights": "[1, -1]"}, None), ({"network": "segnet"}, None)],
)
def test_wrong_hyperparameters_are_refused(channels, tmp_path, hyperparameters, message):
    env = environment(channels, tmp_path, SM_HPS=json.dumps(hyperparameters))
    with pytest.raises((ValueError, SystemExit), match=message):
        job.from_environment([], env)


def test_missing_training_data_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match="SM_CHANNEL_TRAIN"):
        job.from_environment([], {"SM_CHANNEL_TRAIN": str(tmp_path / "nothing")})
