"""What a batch may use of a cluster: options of the command line, too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterOptions:
    """Cluster.

    Attributes:
        address: `local` (this machine), `auto` (the cluster of this machine), ray://HOST:PORT or HOST:PORT.
        cpus: Processors of a worker.
        gpus: GPUs of a worker, or a fraction of one; 0: none.
        max_workers: How many at most; without it, as many as the cluster holds as it grows.
        retries: Further tries for a pair whose machine or storage failed.
        max_failures: Pairs that may fail before the batch ends; without it, any number.
    """

    address: str = "local"
    cpus: float = 1.0
    gpus: float = 0.0
    max_workers: int | None = None
    retries: int = 3
    max_failures: int | None = None
