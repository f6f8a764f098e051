"""The trainer does what recipe and options say, and every way in which a run ends is reported as what it is."""

import errno
import signal
from dataclasses import replace

import pytest
import torch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from lightning.pytorch.callbacks import LearningRateMonitor, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

from refinefuse.errors import TrainingError
from refinefuse.training.checkpoints import AtomicCheckpointIO, LastCheckpoint
from refinefuse.training.datasets import load_datasets
from refinefuse.training.train import _Machines, _report_pairs, _trainer, fit, ramped_average

pytestmark = pytest.mark.filterwarnings("default")  # Lightning warns of many things that a small run does


@pytest.fixture
def trained(data, tiny):
    """The pairs of the small recipe."""
    return load_datasets(tiny, data)


def trainer_of(recipe, trained, output, devices=1, num_nodes=1):
    return _trainer(recipe, output, trained, 0, _Machines("cpu", devices, num_nodes), progress=False)


def callback(trainer, kind):
    return next(item for item in trainer.callbacks if isinstance(item, kind))


def test_the_trainer_follows_the_recipe(tiny, trained, tmp_path):
    recipe = replace(tiny, max_steps=700, val_check_interval=300, gradient_clip_val=0.25, precision="bf16-mixed")
    trainer = trainer_of(recipe, trained, tmp_path)
    assert (trainer.max_steps, trainer.val_check_interval, trainer.gradient_clip_val) == (700, 300, 0.25)
    assert trainer.precision == "bf16-mixed"
    assert trainer.limit_val_batches == 1.0
    assert trainer.num_sanity_val_steps == 0
    assert isinstance(trainer.strategy, SingleDeviceStrategy)
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)
    assert callback(trainer, LearningRateMonitor).logging_interval == "step"
    average = callback(trainer, WeightAveraging)._kwargs["avg_fn"]
    assert float(average(torch.tensor(0.0), torch.tensor(1.0), 10**6)) == pytest.approx(1 - recipe.ema_decay)
    last = callback(trainer, LastCheckpoint)
    assert (last._every_n_train_steps, last.seconds) == (500, 60.0)


def test_a_short_run_validates_and_saves_at_its_end(tiny, trained, tmp_path):
    trainer = trainer_of(replace(tiny, max_steps=7, val_check_interval=1000), trained, tmp_path)
    assert trainer.val_check_interval == 7
    assert callback(trainer, LastCheckpoint)._every_n_train_steps == 7


def test_without_pairs_for_validation_there_is_none(tiny, tmp_path, trained):
    trainer = trainer_of(tiny, replace(trained, validation=[], validation_names=[]), tmp_path)
    assert trainer.limit_val_batches == 0


def test_several_processes_keep_the_order_of_the_batches(tiny, trained, tmp_path):
    """Batches are drawn by number and process: Lightning must not put a sampler of its own before them."""
    for processes in ({"devices": 2}, {"num_nodes": 2}):
        trainer = trainer_of(tiny, trained, tmp_path, **processes)
        assert isinstance(trainer.strategy, DDPStrategy)
        assert not trainer._accelerator_connector.use_distributed_sampler


def test_the_average_follows_closely_at_first():
    average = ramped_average(0.99)
    for steps, kept in ((0, 1 / 10), (1, 2 / 11), (8, 9 / 18), (10**6, 0.99)):
        assert float(average(torch.tensor(1.0), torch.tensor(0.0), steps)) == pytest.approx(kept)


@pytest.fixture
def stopped(tiny, trained, tmp_path, monkeypatch):
    """Runs a trainer whose loop raises an error at step 3."""
    trainer = trainer_of(tiny, trained, tmp_path)
    trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed = 3
    assert trainer.global_step == 3

    class NamedBatches:
        def names_of(self, step):
            return [f"pair {step}"]

    def run(error, *, interrupted=False):
        def raising(*_, **__):
            raise error

        monkeypatch.setattr(trainer, "fit", raising)
        monkeypatch.setattr(type(trainer), "interrupted", interrupted, raising=False)
        fit(trainer, None, NamedBatches(), tmp_path)

    return run


def test_a_loss_that_is_not_finite_names_step_and_pairs(stopped):
    with pytest.raises(TrainingError, match=r"step 3: no number.\nPairs in this batch:\n *'pair 3'\nThere is no check"):
        stopped(FloatingPointError("no number"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(errno.ENOSPC, "No space left on device"), "No space left on device"), (OSError("gone"), "gone")],
)
def test_a_disk_that_cannot_be_written_to_is_named_with_its_reason(stopped, tmp_path, error, reason):
    with pytest.raises(TrainingError) as stopping:
        stopped(error)
    assert f"cannot write to '{tmp_path}' ({reason})" in str(stopping.value)
    assert "Free some disk space" in str(stopping.value)


def test_a_checkpoint_that_is_kept_is_named(stopped, tmp_path):
    torch.save({"global_step": 2}, tmp_path / "last.ckpt")
    with pytest.raises(TrainingError, match=r"The checkpoint of step 2 is kept: '.*last.ckpt'"):
        stopped(OSError("gone"))


def test_signals_end_a_run_as_they_end_a_program(stopped):
    with pytest.raises(SystemExit) as ended:
        stopped(SIGTERMException())
    assert ended.value.code == 128 + signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        stopped(SystemExit(1), interrupted=True)
    with pytest.raises(SystemExit, match="5"):
        stopped(SystemExit(5))


def test_pairs_that_are_left_out_are_reported(trained, caplog):
    _report_pairs(trained)
    assert not caplog.records
    _report_pairs(replace(trained, skipped={"'ir/3.png'": "is damaged", "'ir/4.png'": "is too small"}))
    assert "Skipped pairs (2)" in caplog.text
    assert "'ir/3.png': is damaged" in caplog.text
    caplog.clear()
    _report_pairs(replace(trained, validation=[]))
    assert "No validation" in caplog.text
