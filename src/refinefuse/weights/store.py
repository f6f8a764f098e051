"""Locate weights by shipped name, by path, or on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from refinefuse.errors import WeightsError, format_names, optional
from refinefuse.paths import as_path

DEFAULT = "infrared-visible"
MEDICAL = "medical"
"""Default weights for medical volumes."""
FILE_NAME = "model.safetensors"
"""Name of the weights file in folders saved by `save_pretrained` and in Hub repositories."""
HUB = "hf://"
"""Prefix of Hugging Face Hub repositories: `hf://owner/name` or `hf://owner/name@revision`."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One entry of `manifest.json`: shipped weights. A released file never changes.

    Attributes:
        name: name for `load_model`.
        file: file next to the manifest.
        sha256: its checksum.
        intended_use: what it fuses, in a few words.
        num_parameters: number of trained parameters.
        recipe: the training recipes, and the commit of each run.
        commit: the commit of this project that contains these recipes.
        datasets: training data: name, number of pairs, license.
        scores: means of common and diagnostic metrics, by test set.
        license_note: implications of the data licenses for users.
        limitations: known limitations.
    """

    name: str
    file: str
    sha256: str
    intended_use: str
    num_parameters: int
    recipe: str
    commit: str
    datasets: list[dict[str, Any]]
    scores: dict[str, dict[str, float]]
    license_note: str
    limitations: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Path of the weights file."""
        return _HERE / self.file


@lru_cache(maxsize=1)
def shipped() -> dict[str, Entry]:
    """The weights that ship with the package, by name.

    Raises:
        WeightsError: if the package is damaged.
    """
    try:
        rows = json.loads((_HERE / "manifest.json").read_text(encoding="utf-8"))
        return {name: Entry(name=name, **row) for name, row in rows.items()}
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"The list of shipped weights is damaged.\n  {error}\nInstall refinefuse again.") from error


def list_models() -> list[str]:
    """The names of the weights that ship with the package."""
    return list(shipped())


def locate(weights: str | os.PathLike[str], *, revision: str | None = None, local_files_only: bool = False) -> Path:
    """Resolve a name, a path or a Hub repository to a weights file.

    Args:
        weights: a name of `shipped()`, the path of a file or of a folder with `model.safetensors`, or
            `hf://owner/name`.
        revision: branch, tag or commit in the Hub's repository; None: the one after an `@`, or its main branch.
        local_files_only: use only the local Hub cache.

    Raises:
        WeightsError: if nothing is found, or a shipped file is not the one that was released.
        MissingDependencyError: if a Hub repository is given and huggingface_hub is not installed.
    """
    if str(weights).startswith(HUB):
        repository, given = parse_hub(str(weights))
        return _from_hub(repository, revision or given, local_files_only)
    entry = shipped().get(str(weights))
    if entry is not None:
        found = hashlib.sha256(entry.path.read_bytes()).hexdigest() if entry.path.is_file() else "no file"
        if found != entry.sha256:
            raise WeightsError(
                f"The weights '{entry.name}' differ from the released ones.\n  expected sha256: {entry.sha256}\n"
                f"  got: {found}\nInstall refinefuse again."
            )
        return entry.path
    path = as_path(weights)
    if path.is_dir():
        path = path / FILE_NAME
        if not path.is_file():
            raise WeightsError(f"The folder '{weights}' contains no '{FILE_NAME}'.\nPass the weights file itself.")
    if path.is_file():
        return path
    raise WeightsError(
        f"'{weights}' is neither a known name nor an existing weights file.\n"
        f"Known names:\n{format_names(list(shipped()))}\nOn the Hugging Face Hub: {HUB}owner/name"
    )


def parse_hub(text: str) -> tuple[str, str | None]:
    """Split `hf://owner/name` or `hf://owner/name@revision` into repository and revision."""
    repository, _, revision = text.removeprefix(HUB).partition("@")
    return repository, revision or None


def _from_hub(repository: str, revision: str | None, local_files_only: bool) -> Path:
    with optional("hub", f"Loading '{repository}' from the Hugging Face Hub"):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    try:
        return Path(hf_hub_download(repository, FILE_NAME, revision=revision, local_files_only=local_files_only))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"Cannot download '{FILE_NAME}' of '{repository}' from the Hugging Face Hub.\n  {error}"
        ) from error
