"""A batch on a Ray cluster of this machine: every pair once, with the bytes of the pair alone, whatever dies."""

import csv
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from refinefuse.batch.cluster import ClusterOptions
from refinefuse.batch.items import BatchItem, find_items, stem
from refinefuse.batch.run import run_batch
from refinefuse.batch.storage import publish, read_bytes
from refinefuse.batch.store import ResultStore
from refinefuse.batch.work import BatchOptions, BatchResult, PairWorker
from refinefuse.errors import InputError, PairingError
from refinefuse.image.files import write_image
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.folders import fuse_files
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.thermal import ThermalOptions

pytest.importorskip("fsspec", reason="the extra ray is not installed")
pytest.importorskip("pyarrow", reason="the extra ray is not installed")
OPTIONS = BatchOptions("infrared-visible-nano")


@pytest.fixture
def pairs(tmp_path):
    noise = np.random.default_rng(0)
    for number in range(6):
        write_image(tmp_path / "ir" / f"{number}.png", noise.integers(0, 256, (40, 32), np.uint8))
        write_image(tmp_path / "vi" / f"{number}.png", noise.integers(0, 256, (40, 32, 3), np.uint8))
    return tmp_path


def test_pairs_are_found_in_folders_patterns_and_manifests(pairs):
    a, b = str(pairs / "ir"), str(pairs / "vi")
    expected = [BatchItem(str(k), f"{a}/{k}.png", f"{b}/{k}.png") for k in range(6)]
    assert find_items([str(pairs)]) == find_items([a, b]) == expected
    assert find_items([f"{a}/[12].png", f"{b}/*.png"]) == expected[1:3]
    with (pairs / "m.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([("name", "a", "b"), ("one", "ir/1.png", "vi/1.png"), ("", f"{a}/2.png", f"{b}/2.png")])
    assert find_items([str(pairs / "m.csv")]) == [BatchItem("one", f"{a}/1.png", f"{b}/1.png"), expected[2]]
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist([{"a": "ir/3.png", "b": "vi/3.png"}]), pairs / "m.parquet")
    assert find_items([str(pairs / "m.parquet")]) == [expected[3]]
    assert stem("s3://bucket/a/scan.nii.gz") == "scan"


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([("a", "c"), ("x", "y")], InputError, "lacks a column"),
        ([("a", "b")], InputError, "lists no pairs"),
        ([("a", "b"), ("x", "")], InputError, "without a source"),
        ([("a", "b"), ("x.png", "y.png"), ("z.png", "q/y.png")], PairingError, "same name"),
        ([("name", "a", "b"), ("../x", "x.png", "y.png")], InputError, "inside the output folder"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(tmp_path, rows, error, message):
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(error, match=message):
        find_items([str(tmp_path / "m.csv")])


def test_other_storage_is_read_and_written(pairs):
    for side in ("ir", "vi"):
        publish((pairs / side / "1.png").read_bytes(), f"memory://batch/{side}/1.png")
    (item,) = find_items(["memory://batch"])
    result = PairWorker(OPTIONS, "memory://batch/out").run(item)
    assert result.error == ""
    here = PairWorker(OPTIONS, str(pairs / "out")).run(find_items([str(pairs)])[1])
    assert read_bytes(result.output) == read_bytes(here.output)
    with pytest.raises(InputError, match="no such file"):
        read_bytes("memory://batch/nothing")


def test_what_goes_wrong_is_said(pairs):
    worker = PairWorker(OPTIONS, str(pairs / "out"))
    missing = worker.run(BatchItem("x", str(pairs / "none.png"), str(pairs / "vi" / "1.png")))
    assert "no such file" in missing.error
    assert missing.is_final


def test_the_store_knows_what_is_done_with_the_same_settings(tmp_path):
    store = ResultStore(str(tmp_path), "one")
    store.add(BatchResult("x", "a", "b", "out/x.png", warnings=("dark",)))
    store.add(BatchResult("y", "a", "b", error="broken"))
    store.write()
    assert ResultStore(str(tmp_path), "one").done() == {"x"}
    assert ResultStore(str(tmp_path), "other").done() == set()
    (tmp_path / "results.parquet" / "z.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a result table"):
        store.done()


def workers():
    """Processes of this user's workers."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"ray::_Actor"):
                found.append(int(process.name))
    return found


@pytest.mark.slow
def test_a_worker_is_killed_and_every_pair_is_there_once(pairs):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    items = [
        BatchItem(f"{k}-{copy}", item.a, item.b) for copy in range(8) for k, item in enumerate(find_items([str(pairs)]))
    ]
    (pairs / "ir" / "bad.png").write_bytes(b"no image")
    items.append(BatchItem("bad", str(pairs / "ir" / "bad.png"), str(pairs / "vi" / "1.png")))
    out, killed = pairs / "out", []

    def kill_one():
        for _ in range(600):
            if len(list(out.glob("*.png"))) > 5:
                os.kill(worker := workers()[0], signal.SIGKILL)
                killed.append(worker)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    summary = run_batch(items, str(out), OPTIONS, ClusterOptions(max_workers=2))
    assert signal.getsignal(signal.SIGTERM) is on_sigterm
    killer.join()
    assert killed
    assert sorted(summary.fused) == sorted(item.name for item in items[:-1])
    assert list(summary.failed) == ["bad"]
    fuser = Fuser("infrared-visible-nano")
    alone = OutputPaths(pairs / "alone" / "fused.png")
    for item in items[:6]:
        sources = [Path(item.a), Path(item.b)]
        fuse_files(lambda: fuser, sources, alone, ThermalOptions(), AlignmentOptions(), overwrite=True)
        assert (out / f"{item.name}.png").read_bytes() == alone.output.read_bytes()
    again = run_batch(items, str(out), OPTIONS, ClusterOptions(max_workers=1))
    assert (again.skipped, again.fused) == (len(items) - 1, [])
