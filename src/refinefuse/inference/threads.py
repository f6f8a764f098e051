"""Threading: queues between pipeline stages, stage timers, and worker threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Condition
from types import TracebackType
from typing import Generic, Self, TypeVar

import torch

from refinefuse.inference.resources import free_memory, usable_cores

T = TypeVar("T")
R = TypeVar("R")
_BYTES = 1 << 30  # per worker: three pairs of the largest images not read in strips, and their results


class BoundedQueue(Generic[T]):
    """A bounded queue between two threads that either end can close.

    Args:
        size: maximum number of items; the producer blocks while the queue is full.
        drop: drop the oldest item instead of blocking, for cameras.
        is_large: whether an item is so large that it must be the only one in the queue; None means never.
    """

    def __init__(self, size: int, *, drop: bool = False, is_large: Callable[[T], bool] | None = None) -> None:
        self._items: deque[T] = deque()
        self._size = size
        self._drop = drop
        self._is_large = is_large
        self._changed = Condition()
        self._finished = False
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Add an item; returns False if the consumer has closed the queue."""
        with self._changed:
            if self._drop and len(self._items) == self._size:
                self._items.popleft()
            large = self._is_large is not None and self._is_large(item)
            self._changed.wait_for(lambda: self._closed or len(self._items) < (1 if large else self._size))
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            if large:
                self._changed.wait_for(lambda: self._closed or not self._items)
            return not self._closed

    def finish(self, error: BaseException | None = None) -> None:
        """Signal the end; the consumer gets the remaining items, and then the error, if any."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Signal that no more items are needed; remaining items are dropped."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Yield the items in order until the producer has finished."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._finished or self._closed)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class StageTimer:
    """Measures the working time of a pipeline stage, without waiting.

    Attributes:
        name: display name.
        busy: seconds of work.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.busy = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time of a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.busy += time.perf_counter() - start


class Workers:
    """Worker threads; each computes single-threaded and leaves torch's thread pool to the network.

    Args:
        count: number of threads.
        fuse: whether they also fuse whole images, so that the network needs no thread pool.
    """

    def __init__(self, count: int, *, fuse: bool = False) -> None:
        self.count, self.fuse = max(1, count), fuse
        self._pool = ThreadPoolExecutor(self.count, "refinefuse")
        # torch splits the work of a thread over its pool, as configured per thread and per process.
        threads, settled = torch.get_num_threads(), Barrier(self.count + 1)
        for _ in range(self.count):
            self._pool.submit(_compute_alone, settled)
        settled.wait()
        torch.set_num_threads(threads)

    @staticmethod
    def affordable() -> int:
        """One more than the number of cores, to hide waiting, but no more than the free memory allows."""
        return min(usable_cores() + 1, free_memory() // _BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
        """Yield the results of a function for all items in order, processing one item per thread at a time.

        Raises:
            Exception: the error of the first item that fails; items in progress are finished.
        """
        under_way: deque[Future[R]] = deque()
        for item in items:
            under_way.append(self._pool.submit(function, item))
            if len(under_way) > self.count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _compute_alone(settled: Barrier) -> None:
    torch.get_num_threads()  # first access resets a thread to the process setting
    torch.set_num_threads(1)
    settled.wait()
