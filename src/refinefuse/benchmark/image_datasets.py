"""Find the datasets of a config on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from refinefuse.benchmark.config import DatasetEntry
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import PairingError, format_names


@dataclass(frozen=True)
class PathVariables:
    """Variables in the paths of a config.

    Attributes:
        data_root: root folder of the datasets.
        config_dir: folder of the config.
    """

    data_root: Path
    config_dir: Path

    def fill(self, text: str, dataset: str = "{dataset}") -> str:
        """Substitute `{data_root}`, `{config_dir}` and `{dataset}`."""
        return (
            text.replace("{data_root}", str(self.data_root))
            .replace("{config_dir}", str(self.config_dir))
            .replace("{dataset}", dataset)
        )


@dataclass(frozen=True)
class ImageDataset:
    """A dataset on disk.

    Attributes:
        name: name in tables.
        a: folder of the first source.
        pairs: selected pairs, in natural order.
    """

    name: str
    a: Path
    pairs: tuple[Pair, ...]


def find_datasets(entries: Sequence[DatasetEntry], variables: PathVariables) -> list[ImageDataset]:
    """Find the pairs of each dataset and select those of the config.

    Raises:
        PairingError: folders are missing (the message lists all), an image is unpaired, or no pair is selected.
    """
    missing = [
        f"The dataset '{entry.name}' has no folder {' and '.join(absent)}."
        for entry in entries
        if (absent := [f"'{folder}'" for folder in _folders_of(entry, variables) if not folder.is_dir()])
    ]
    if missing:
        raise PairingError(
            "\n".join(missing) + "\n"
            "Set `data_root` to the folder that contains the datasets, or list your own datasets in the config. "
            "`refinefuse data list` shows where to get the public ones."
        )
    return [_find_pairs(entry, variables) for entry in entries]


def _folders_of(entry: DatasetEntry, variables: PathVariables) -> tuple[Path, Path]:
    return variables.data_root / entry.a, variables.data_root / entry.b


def _find_pairs(entry: DatasetEntry, variables: PathVariables) -> ImageDataset:
    a, b = _folders_of(entry, variables)
    pairing = pair_folders(a, b)
    unpaired = [*(str(a / name) for name in pairing.only_a), *(str(b / name) for name in pairing.only_b)]
    if unpaired:
        raise PairingError(
            f"The dataset '{entry.name}' has unpaired images ({len(unpaired)}):\n{format_names(unpaired)}\n"
            "Remove them, or add their counterparts."
        )
    pairs = [pair for pair in pairing.pairs if fnmatchcase(pair.name, entry.pattern)]
    if entry.names is not None:
        absent = sorted(set(entry.names) - {pair.name for pair in pairs})
        if absent:
            raise PairingError(f"The dataset '{entry.name}' has no pairs with these names:\n{format_names(absent)}")
        pairs = [pair for pair in pairs if pair.name in entry.names]
    if not pairs:
        raise PairingError(
            f"No pair of the dataset '{entry.name}' matches the pattern.\n  pattern: {entry.pattern}\n"
            f"  names:\n{format_names([pair.name for pair in pairing.pairs])}"
        )
    return ImageDataset(entry.name, a, tuple(pairs[:: entry.stride]))
