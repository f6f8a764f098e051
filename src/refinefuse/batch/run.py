"""Run a batch on a Ray cluster: workers keep the network loaded, and pairs are retried when a machine fails."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any

from refinefuse.batch.cluster import ClusterOptions
from refinefuse.batch.items import BatchItem
from refinefuse.batch.store import ResultStore
from refinefuse.batch.work import BatchOptions, BatchResult, PairWorker
from refinefuse.errors import InputError, MissingDependencyError
from refinefuse.inference.fuser import Fuser
from refinefuse.progress import manual_bar

_LOST = 10  # maximum number of consecutive workers that fail during startup
_QUEUED = 2  # pairs assigned to a worker at a time, so that it never waits for the next


@dataclass
class BatchSummary:
    """Summary of a batch.

    Attributes:
        fused: names of the pairs fused in this run.
        skipped: number of pairs fused by earlier runs.
        failed: error by pair name.
        warnings: warnings by pair name.
        stopped: whether the batch stopped because too many pairs failed.
    """

    fused: list[str] = field(default_factory=list)
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stopped: bool = False


def run_batch(
    items: Iterable[BatchItem],
    output: str,
    options: BatchOptions,
    cluster: ClusterOptions,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> BatchSummary:
    """Fuse many pairs on a cluster; a repeated call resumes where the last one stopped.

    Every pair has one result, which is written atomically; fusing a pair twice yields identical bytes.

    Args:
        items: the pairs.
        output: path or URL of the folder for results; `results.parquet` in it records every pair.
        options: how pairs are fused.
        cluster: resources to use.
        overwrite: fuse pairs again that are already done.
        progress: show a progress bar on standard error.

    Raises:
        InputError: the cluster cannot be reached, options or weights are invalid, or earlier results cannot be read.
        MissingDependencyError: ray or pyarrow is not installed.
    """
    if cluster.cpus <= 0 and cluster.gpus <= 0:
        raise InputError("A worker needs CPUs or GPUs.\n  got: 0 of both\nSet `cpus` or `gpus`.")
    if not cluster.gpus:
        options = replace(options, fuser={**options.fuser, "device": "cpu"})
    store = ResultStore(output, _settings(options))
    done = set() if overwrite else store.done()
    all_items = list(items)
    todo = [item for item in all_items if item.name not in done]
    summary = BatchSummary(skipped=len(all_items) - len(todo))
    if not todo:
        return summary
    ray = _connect(cluster.address)
    try:
        with manual_bar("fusing", len(todo), show=progress) as bar:
            for result in _Dispatcher(ray, options, output, cluster, todo).results():
                store.add(result)
                _enter(summary, result)
                bar.update()
                if cluster.max_failures is not None and len(summary.failed) > cluster.max_failures:
                    summary.stopped = True
                    break
    finally:
        store.write()
        ray.shutdown()
    return summary


def _enter(summary: BatchSummary, result: BatchResult) -> None:
    if result.error:
        summary.failed[result.name] = result.error
    else:
        summary.fused.append(result.name)
        if result.warnings:
            summary.warnings[result.name] = tuple(result.warnings)


def _settings(options: BatchOptions) -> str:
    """Return a checksum of everything that affects the results."""
    weights = Fuser(options.weights, contrast=options.fuser.get("contrast"), device="cpu").fingerprint()
    text = json.dumps(asdict(options) | {"weights": weights}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise MissingDependencyError("ray", "ray", "A batch") from error
    dashboard = {"include_dashboard": False} if address == "local" else {}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, logging_level="ERROR", log_to_driver=False, **dashboard)
    except Exception as error:  # Ray raises a bare Exception if a node takes too long to start
        raise InputError(
            f"Cannot reach the cluster '{address}'.\n  {error}\nCheck the address, or start a cluster with `ray start`."
        ) from None
    finally:  # Ray installs its own handler and does not restore the old one
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
    return ray


class _Dispatcher:
    """Assign pairs to workers, and reassign those of a lost worker."""

    def __init__(
        self, ray: Any, options: BatchOptions, output: str, cluster: ClusterOptions, todo: Iterable[BatchItem]
    ) -> None:
        self._ray = ray
        self._cluster = cluster
        remote = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus)(_Actor)
        self._start: Callable[[], Any] = lambda: remote.remote(options, output, max(1, int(cluster.cpus)))
        self._lost = 0
        self._todo = deque((item, 1) for item in todo)
        self._starting: dict[Any, Any] = {}  # by the reference that resolves once it has started
        self._loads: dict[Any, int] = {}  # number of pairs assigned to each worker
        self._running: dict[Any, tuple[Any, BatchItem, int]] = {}

    def results(self) -> Iterator[BatchResult]:
        """Yield the result of each pair in order of completion."""
        while self._todo or self._running:
            self._grow()
            self._hand_out()
            ready, _ = self._ray.wait([*self._starting, *self._running], num_returns=1, timeout=2)
            for reference in ready:
                if reference in self._starting:
                    self._welcome(reference)
                else:
                    yield from self._take(reference)

    def _grow(self) -> None:
        """Start workers on free resources of the cluster."""
        there, cluster = self._ray.cluster_resources(), self._cluster
        room = [
            int(there.get(name, 0) // wanted)
            for name, wanted in (("CPU", cluster.cpus), ("GPU", cluster.gpus))
            if wanted
        ]
        count = len(self._starting) + len(self._loads)
        for _ in range(min(*room, cluster.max_workers or room[0], count + len(self._todo)) - count):
            worker = self._start()
            self._starting[worker.ready.remote()] = worker

    def _hand_out(self) -> None:
        for worker, load in sorted(self._loads.items(), key=lambda both: both[1]):
            for _ in range(_QUEUED - load if self._todo else 0):
                if not self._todo:
                    return
                item, attempt = self._todo.popleft()
                self._running[worker.run.remote(item)] = worker, item, attempt
                self._loads[worker] += 1

    def _welcome(self, reference: Any) -> None:
        worker = self._starting.pop(reference)
        try:
            self._ray.get(reference)
            self._loads[worker], self._lost = 0, 0
        except self._ray.exceptions.RayTaskError as error:
            raise InputError(f"The workers cannot load the network.\n  {error.cause}") from None
        except self._ray.exceptions.RayError as error:  # its machine died: `_grow` starts another one
            self._lost += 1
            if self._lost > _LOST:
                raise InputError(f"{self._lost} workers exited during startup.\n  {_first_line(error)}") from None

    def _take(self, reference: Any) -> Iterator[BatchResult]:
        worker, item, attempt = self._running.pop(reference)
        try:
            result = replace(self._ray.get(reference), attempts=attempt)
        except self._ray.exceptions.RayError as error:  # the worker or its machine died
            self._loads.pop(worker, None)
            result = BatchResult(item.name, item.a, item.b, "", _first_line(error), attempts=attempt, is_final=False)
        if worker in self._loads:
            self._loads[worker] -= 1
        if result.error and not result.is_final and attempt <= self._cluster.retries:
            self._todo.appendleft((item, attempt + 1))
        else:
            yield result


class _Actor:
    """A `PairWorker` in its own process."""

    def __init__(self, options: BatchOptions, output: str, threads: int) -> None:
        from refinefuse.inference.device import retain_freed_memory
        from refinefuse.inference.resources import limit_threads

        retain_freed_memory()
        limit_threads(threads)
        self._worker = PairWorker(options, output)

    def ready(self) -> None:
        """Load the network."""
        self._worker.fuser  # noqa: B018  # loads it

    def run(self, item: BatchItem) -> BatchResult:
        """Fuse one pair."""
        return self._worker.run(item)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
