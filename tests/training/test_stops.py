"""A run that is stopped, in every way that a run can be, loses nothing and says why."""

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from refinefuse.errors import ConfigError, TrainingError
from refinefuse.network.model import RefineFuse

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse.training import train as training
from refinefuse.training.checkpoints import AtomicCheckpointIO
from refinefuse.training.recipe import save_recipe
from refinefuse.training.train import fit_recipe

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow]


def weights_of(path):
    return RefineFuse.from_pretrained(path).state_dict()


def at_step(monkeypatch, step, act):
    """Do something before a step's gradient is looked at."""
    look = training.StopOnNonFinite.on_before_optimizer_step

    def first_act(self, trainer, module, optimizer):
        if trainer.global_step == step:
            act(module)
        look(self, trainer, module, optimizer)

    monkeypatch.setattr(training.StopOnNonFinite, "on_before_optimizer_step", first_act)


def test_asked_to_end_it_saves_and_goes_on_as_if_it_had_not_been(data, tiny, tmp_path, monkeypatch):
    whole = weights_of(fit_recipe(tiny, data, tmp_path / "whole", num_workers=0))
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda _: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit, match="143"):
            fit_recipe(tiny, data, tmp_path / "run", num_workers=0)
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 5
    resumed = weights_of(fit_recipe(tiny, data, tmp_path / "run", num_workers=0))
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, resumed[name], rtol=0, atol=5e-4)


def test_a_process_group_asked_to_end_saves(data, tiny, tmp_path):
    """As `timeout`, Slurm and systemd do it: every process of the run gets the signal, the workers too."""
    save_recipe(replace(tiny, max_steps=100_000, val_check_interval=100_000), tmp_path / "recipe.yaml")
    command = [sys.executable, "-m", "refinefuse", "train", tmp_path / "recipe.yaml", "--data-root", data]
    run = subprocess.Popen(
        [*command, "-o", tmp_path / "run", "--accelerator", "cpu"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for _ in range(600):
        if list((tmp_path / "run" / "tensorboard").glob("events*")):
            break
        time.sleep(0.1)
    time.sleep(2)  # steps
    os.killpg(run.pid, signal.SIGTERM)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 143, error
    assert "Traceback" not in error
    assert training.read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] > 0


def test_checkpoints_by_time(data, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_step(patch, 5, killed)
        with pytest.raises(KeyboardInterrupt):
            fit_recipe(tiny, data, tmp_path / "run", num_workers=0)
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 5


def test_a_disk_that_fills_up_leaves_the_checkpoint_before(data, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    synced = []

    def full(_):
        synced.append(1)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("refinefuse.training.checkpoints.os.fsync", full)
    with pytest.raises(TrainingError, match="No space left on device") as stopped:
        fit_recipe(tiny, data, tmp_path / "run", num_workers=0)
    assert "checkpoint of step 4 is kept" in str(stopped.value)
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert not [path for path in (tmp_path / "run").iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_numbers_that_are_none_stop_the_run_and_the_images_are_named(data, tiny, tmp_path, monkeypatch, where):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)

    def spoil(module):
        next(module.parameters()).grad[:] = float("nan")

    if where == "gradient":
        at_step(monkeypatch, 5, spoil)
    else:
        loss = training.FusionTask.training_step

        def spoiled(self, batch, index):
            return loss(self, batch._replace(a=batch.a * float("nan")) if self.global_step == 5 else batch, index)

        monkeypatch.setattr(training.FusionTask, "training_step", spoiled)
    with pytest.raises(TrainingError, match=f"step 5: the {where} is not finite") as stopped:
        fit_recipe(tiny, data, tmp_path / "run", num_workers=0)
    training_data = training.load_datasets(tiny, data)
    for name in training.FusionDataModule(tiny, training_data).names_of(5):
        assert f"'{name}'" in str(stopped.value)
    assert "checkpoint of step 4 is kept" in str(stopped.value)


def test_a_checkpoint_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(FloatingPointError):
        AtomicCheckpointIO().save_checkpoint(
            {"state_dict": {"w": torch.tensor([float("inf")])}}, tmp_path / "last.ckpt"
        )
    assert not list(tmp_path.iterdir())


def test_the_log_of_a_resumed_run_is_one_log(data, tiny, tmp_path, monkeypatch):
    recipe = replace(tiny, max_steps=12, val_check_interval=2)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 6)

    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_step(patch, 9, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit_recipe(recipe, data, tmp_path / "run", num_workers=0)
    fit_recipe(recipe, data, tmp_path / "run", num_workers=0)
    with (tmp_path / "run" / "csv" / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["validation/SSIM"]]
    assert steps == [1, 3, 5, 7, 9, 11]
    assert [path.name for path in (tmp_path / "run" / "csv").iterdir()] == ["metrics.csv"]


def test_tensorboard_has_losses_metrics_and_images(data, tiny, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit_recipe(replace(tiny, max_steps=20, val_check_interval=10), data, tmp_path / "run", num_workers=0)
    events = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert {"loss", "loss/edge_recall", "validation/VIF", "validation/missed_targets"} <= set(events.Tags()["scalars"])
    shown = events.Tags()["images"]
    assert [name.partition(": ")[2] for name in shown] == ["ir/0.png", "ir/10.png"]
    assert (events.Images(shown[0])[0].height, events.Images(shown[0])[0].width) == (48, 3 * 64)


def in_one_and_in_two_processes(recipe, data, folder):
    """The folders of both runs; in two processes each has half of every step's pairs (gloo)."""
    save_recipe(recipe, folder / "recipe.yaml")
    fit_recipe(recipe, data, folder / "one", num_workers=0, accelerator="cpu")
    command = [sys.executable, "-m", "refinefuse", "train", folder / "recipe.yaml", "--data-root", data]
    options = ["-o", folder / "two", "--num-workers", "0", "--accelerator", "cpu", "--devices", "2"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The weights are in") == 1
    return folder / "one", folder / "two"


def test_two_processes_have_the_gradient_of_one(data, tiny, tmp_path):
    recipe = replace(tiny, batch_size=4, max_steps=2, val_check_interval=2)
    one, two = (
        torch.cat([x["exp_avg"].flatten() for x in optimizer["state"].values()])  # the gradient of the second step
        for run in in_one_and_in_two_processes(recipe, data, tmp_path)
        for optimizer in torch.load(run / "last.ckpt", weights_only=True)["optimizer_states"]
    )
    assert (one - two).norm() < 1e-4 * one.norm()


def test_two_processes_train_the_network_of_one(data, tiny, tmp_path):
    """The images are compared: where the loss is flat, the optimizer makes whole steps of rounding errors."""
    recipe = replace(tiny, batch_size=4, max_steps=30, val_check_interval=30)
    torch.manual_seed(recipe.seed)
    start = training.FusionTask(recipe).network.eval()
    runs = in_one_and_in_two_processes(recipe, data, tmp_path)
    a, b = torch.rand(2, 1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    networks = [start, *(RefineFuse.from_pretrained(run / "tiny.safetensors") for run in runs)]
    with torch.inference_mode():
        before, one, two = (network(a, b) for network in networks)
    assert (one - two).norm() < 0.08 * (one - before).norm()  # with half of the pairs: 0.16


def test_pairs_that_do_not_divide_over_the_processes_are_refused(data, tiny, tmp_path):
    with pytest.raises(ConfigError, match="batch_size: 2\n  processes: 3"):
        fit_recipe(tiny, data, tmp_path / "run", devices=3)
