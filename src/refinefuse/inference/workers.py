"""Threads that decode, check and encode beside the network, or that each fuse a pair too."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from types import TracebackType
from typing import Self, TypeVar

import torch

from refinefuse.inference.resources import free_memory, usable_cores

T = TypeVar("T")
R = TypeVar("R")
_BYTES = 1 << 30  # of a worker: three pairs of the largest images that are not read by strips, and what becomes of them


class Workers:
    """Threads that share the work on many items; each computes alone and leaves torch's threads to the network.

    Args:
        count: how many.
        fuse: whether they fuse whole images, so that nothing is left to the network's threads.
    """

    def __init__(self, count: int, *, fuse: bool = False) -> None:
        self.count, self.fuse = max(1, count), fuse
        self._pool = ThreadPoolExecutor(self.count, "refinefuse")
        # What torch computes on a thread, it splits among further ones, by a setting of each thread and of the process.
        threads, settled = torch.get_num_threads(), Barrier(self.count + 1)
        for _ in range(self.count):
            self._pool.submit(_compute_alone, settled)
        settled.wait()
        torch.set_num_threads(threads)

    @staticmethod
    def affordable() -> int:
        """One more than there are processors, for while one of them waits, but no more than the free memory allows."""
        return min(usable_cores() + 1, free_memory() // _BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
        """The results of a function for all items, in their order; as many items as there are threads are under way.

        Raises:
            Exception: of the first item that the function fails for; those under way are finished.
        """
        under_way: deque[Future[R]] = deque()
        for item in items:
            under_way.append(self._pool.submit(function, item))
            if len(under_way) > self.count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _compute_alone(settled: Barrier) -> None:
    torch.get_num_threads()  # a thread takes the setting of the process when it first asks, even after one of its own
    torch.set_num_threads(1)
    settled.wait()
