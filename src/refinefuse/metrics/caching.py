"""Do shared work once per triplet: inside `caching()`, a function marked `@cached` caches its results.

The metrics remain plain functions of tensors; only the work that several of them share (histograms, gradients, local
moments) is marked. Outside `caching()`, a marked function behaves as if unmarked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

_results: ContextVar[dict[Any, Any] | None] = ContextVar("results", default=None)


@contextmanager
def caching() -> Iterator[None]:
    """Cache the results of marked functions until the end of the block, in this thread."""
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def cached(function: Callable[P, R]) -> Callable[P, R]:
    """Cache the results of a function inside `caching()`; tensors are compared by identity, others by value."""

    @wraps(function)
    def remembered(*args: P.args, **options: P.kwargs) -> R:
        results = _results.get()
        if results is None:
            return function(*args, **options)
        given = (*args, *sorted(options.items()))
        key = (function, *(id(x) if isinstance(x, Tensor) else x for x in given))
        if key not in results:
            # The arguments are kept with the result: while they live, no other tensor can get their identity.
            results[key] = (given, function(*args, **options))
        result: R = results[key][1]
        return result

    return remembered
