"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress_bar(
    description: str, items: Iterable[T], *, total: int | None = None, show: bool | None = False
) -> Iterable[T]:
    """Wrap `items` in a progress bar.

    Args:
        description: what is being done.
        items: the iterable.
        total: number of steps; None uses the length of `items`, if it has one.
        show: True or False; None shows it only on a terminal.
    """
    bar: Iterable[T] = tqdm(items, description, total, file=sys.stderr, disable=None if show is None else not show)
    return bar


def manual_bar(description: str, total: int | None, *, show: bool | None = False) -> Any:
    """Create a progress bar advanced by `update`."""
    return tqdm(desc=description, total=total, file=sys.stderr, disable=None if show is None else not show)
