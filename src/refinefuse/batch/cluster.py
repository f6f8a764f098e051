"""Cluster resources of a batch; also options of the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterOptions:
    """Cluster.

    Attributes:
        address: `local` (this machine), `auto` (the cluster of this machine), ray://HOST:PORT or HOST:PORT.
        cpus: CPUs per worker.
        gpus: GPUs per worker, or a fraction of one; 0 means none.
        max_workers: Maximum number of workers; without it, as many as fit into the cluster, even as it grows.
        retries: How often to retry a pair whose machine or storage failed.
        max_failures: Number of failed pairs after which the batch stops; without it, never.
    """

    address: str = "local"
    cpus: float = 1.0
    gpus: float = 0.0
    max_workers: int | None = None
    retries: int = 3
    max_failures: int | None = None
