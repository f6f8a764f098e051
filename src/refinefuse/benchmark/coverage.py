"""Whether a method has all images of a set: one that lacks some is shown, named, and kept out of the ranks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refinefuse.benchmark.image_datasets import ImageDataset
from refinefuse.benchmark.methods import Method
from refinefuse.data.pairs import pair_folders


@dataclass(frozen=True)
class Coverage:
    """What a method has of a set.

    Attributes:
        expected: how many images.
        missing: the names of those that are not there, or could not be scored.
        extra: files that belong to no pair.
        unlike: files that do not look like their sources: of another scene, or left over from another run.
    """

    expected: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        """How many images were scored."""
        return self.expected - len(self.missing)

    @property
    def complete(self) -> bool:
        """Whether all are there."""
        return not self.missing

    @property
    def remarks(self) -> list[str]:
        """What is to be said of it, if the method has any image of the set."""
        parts = {
            f"lacks {len(self.missing)} of {self.expected}": self.missing,
            "has files that do not belong to any pair": self.extra,
            "has files that do not look like their sources": self.unlike,
        }
        return [f"{what}: {_some(names)}" for what, names in parts.items() if names and self.found]


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def images_of(method: Method, images: ImageDataset) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The files of a `folder` method for a set, by name, and the names of files that belong to no pair.

    Raises:
        PairingError: the folder holds no image of the set, or two of one name.
    """
    folder = Path(method.target.replace("{dataset}", images.name))
    if not folder.is_dir():
        return {}, ()
    pairing = pair_folders(folder, images.a)
    return {pair.name: pair.a for pair in pairing.pairs}, pairing.only_a
