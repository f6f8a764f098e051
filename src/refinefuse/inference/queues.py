"""What passes pairs and frames from one thread to the next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """A bounded queue between two threads that either end can close.

    Args:
        size: how many items wait at most; the writer of a full queue waits too.
        drop: drop the oldest item instead: for cameras, which do not wait.
        is_large: whether an item is so large that it waits alone, and its writer with it; None: none is.
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
        """Add an item; False if the reader wants no more."""
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
        """Say that nothing more comes; the reader gets what waits, and then the error if there is one."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more is wanted; what waits is dropped."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """The items in their order, until the writer has finished."""
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
    """How long one stage of the pipeline has worked, waiting left out.

    Attributes:
        name: as the user reads it.
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
