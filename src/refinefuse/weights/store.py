"""Find weights: by the name under which they ship, by path, or on the Hugging Face Hub."""

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
"""What medical volumes are fused with by default."""
FILE_NAME = "model.safetensors"
"""The weights in a folder that `save_pretrained` wrote, or in a repository of the Hub."""
HUB = "hf://"
"""Start of what is fetched from the Hugging Face Hub: `hf://owner/name` or `hf://owner/name@revision`."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One row of `manifest.json`: weights that ship with the package. A released file never changes.

    Attributes:
        name: what `load_model` takes.
        file: the file beside the manifest.
        sha256: its checksum.
        intended_use: what it fuses, in a few words.
        num_parameters: number of trained values.
        recipe: the recipes that it was trained by, and the commits at which each was run.
        commit: the commit of this project that holds these recipes under their names.
        datasets: what it was trained on: name, number of pairs, license.
        scores: by test set, the means of the common and of the diagnostic metrics.
        license_note: what the licenses of the data mean for the user.
        limitations: what they are not for, or do badly.
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
        """Where the file lies."""
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
    """The weights file that a name, a path or a Hub repository means.

    Args:
        weights: a name of `shipped()`, the path of a file or of a folder that holds `model.safetensors`, or
            `hf://owner/name`.
        revision: branch, tag or commit in the Hub's repository; None: the one after an `@`, or its main branch.
        local_files_only: use the Hub's cache alone.

    Raises:
        WeightsError: if nothing is found, or a shipped file is not the one that was released.
        MissingDependencyError: if a Hub repository is meant and huggingface_hub is not installed.
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
    """The repository and the revision of `hf://owner/name` or `hf://owner/name@revision`."""
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
