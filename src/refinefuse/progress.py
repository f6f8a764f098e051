"""The progress bar on standard error: the one file that knows how it is drawn."""

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
        items: what is iterated over.
        total: the number of steps; None takes the length of `items`, if it has one.
        show: True or False; None shows it on a terminal only.
    """
    bar: Iterable[T] = tqdm(items, description, total, file=sys.stderr, disable=None if show is None else not show)
    return bar


def manual_bar(description: str, total: int | None, *, show: bool | None = False) -> Any:
    """A progress bar that `update` moves."""
    return tqdm(desc=description, total=total, file=sys.stderr, disable=None if show is None else not show)
