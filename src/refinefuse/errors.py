"""Every error that the package raises on purpose.

A message says what is wrong in the user's terms, shows both values (expected before actual) and ends with what to do.
The command line prints the message alone and exits with 1 or 2; a library user catches `RefineFuseError` or one of
its kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = [
    "AlignmentError",
    "ConfigError",
    "InputError",
    "MissingDependencyError",
    "PairCheckWarning",
    "PairingError",
    "RefineFuseError",
    "TrainingError",
    "WeightsError",
]
_DISTRIBUTIONS = {"faster_coco_eval": "faster-coco-eval", "pywt": "pywavelets"}
"""Modules whose distribution has another name."""


class RefineFuseError(Exception):
    """Base class of all errors that the package raises on purpose, with a message for the user."""


class InputError(RefineFuseError, ValueError):
    """An image, a tensor or an option that cannot be used as it is."""


class PairingError(RefineFuseError, ValueError):
    """Two folders whose files cannot be matched into pairs."""


class AlignmentError(RefineFuseError):
    """Two images that are misaligned and could not be aligned."""


class PairCheckWarning(UserWarning):
    """Something looks wrong with a pair that was fused nevertheless: see `refinefuse.inspect_pair`."""


class WeightsError(RefineFuseError, ValueError):
    """Weights that are unknown, damaged, unsafe or made for another network."""


class ConfigError(RefineFuseError, ValueError):
    """A configuration or recipe with an unknown key or a value out of range."""


class TrainingError(RefineFuseError, RuntimeError):
    """A training run that cannot continue; its checkpoints are kept."""


class MissingDependencyError(RefineFuseError, ImportError):  # what is wrong, as users say it
    """An optional library that is not installed.

    Args:
        library: the distribution that is missing, as pip names it.
        extra: the extra of this package that brings it.
        purpose: what needs it, as the start of a sentence ("Training").
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed.\nInstall it with: pip install 'refinefuse[{extra}]'"
        )


@contextmanager
def optional(extra: str, purpose: str) -> Iterator[None]:
    """Wrap imports: report which extra installs a missing optional library.

    Args:
        extra: the extra of this package that installs the libraries.
        purpose: the feature that needs them, as the start of a sentence ("Training").

    Raises:
        MissingDependencyError: if one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "refinefuse"):  # our own module, or a broken installation
            raise
        raise MissingDependencyError(_DISTRIBUTIONS.get(missing, missing), extra, purpose) from error


def check_field(holds: bool, name: str, rule: str, value: object) -> None:
    """Check a field of a configuration against its rule.

    Raises:
        ConfigError: if it is violated; the message names the field, the rule and the value.
    """
    if not holds:
        raise ConfigError(f"`{name}` must be {rule}.\n  got: {value!r}")


@contextmanager
def field_checks() -> Iterator[Callable[[bool, str, str, object], None]]:
    """Check several fields like `check_field`, and report all violations together.

    Raises:
        ConfigError: if any is violated; the message names the fields, the rules and the values.
    """
    broken: list[str] = []

    def check(holds: bool, name: str, rule: str, value: object) -> None:
        try:
            check_field(holds, name, rule, value)
        except ConfigError as error:
            broken.append(str(error))

    yield check
    if broken:
        raise ConfigError("\n".join(broken))


def format_names(names: Sequence[str], limit: int = 5) -> str:
    """At most `limit` names, one per line and quoted, then how many more there are."""
    lines = [f"  '{name}'" for name in names[:limit]]
    if len(names) > limit:
        lines.append(f"  ... and {len(names) - limit} more")
    return "\n".join(lines)
