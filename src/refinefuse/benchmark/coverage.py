"""Check that a method has all images of a dataset; otherwise it is shown with a remark and not ranked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refinefuse.benchmark.image_datasets import ImageDataset
from refinefuse.benchmark.methods import Method
from refinefuse.data.pairs import pair_folders


@dataclass(frozen=True)
class Coverage:
    """Coverage of a dataset by a method.

    Attributes:
        expected: number of images in the dataset.
        missing: names of images that are missing or could not be scored.
        extra: files that match no pair.
        unlike: files that do not match their sources: another scene, or leftovers of another run.
    """

    expected: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        """Number of scored images."""
        return self.expected - len(self.missing)

    @property
    def complete(self) -> bool:
        """Whether no image is missing."""
        return not self.missing

    @property
    def remarks(self) -> list[str]:
        """Remarks for the report, if the method has any image of the dataset."""
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
    """Return the files of a `folder` method for a dataset, by name, and the names of files that match no pair.

    Raises:
        PairingError: the folder has no image of the dataset, or two with the same name.
    """
    folder = Path(method.target.replace("{dataset}", images.name))
    if not folder.is_dir():
        return {}, ()
    pairing = pair_folders(folder, images.a)
    return {pair.name: pair.a for pair in pairing.pairs}, pairing.only_a
