"""Weights files: safetensors with the network's config in the metadata. Nothing is ever unpickled."""

from __future__ import annotations

import os
import tempfile
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from refinefuse._version import __version__
from refinefuse.atomic import replace_when_done
from refinefuse.errors import ConfigError, WeightsError, format_names, optional
from refinefuse.network.config import NetworkConfig
from refinefuse.paths import as_path
from refinefuse.weights import store

CONFIG_KEY, VERSION_KEY, LICENSE_KEY = "refinefuse.config", "refinefuse.version", "refinefuse.license"
"""Metadata keys: the network's config, the version that wrote the file, and the SPDX expression of its license."""
PICKLE_STARTS = (b"PK\x03\x04", b"\x80")
"""First bytes of files written by `torch.save`, since and before version 1.6."""
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_CARD = """---
library_name: refinefuse
license: {license}
tags: [image-fusion]
---
A [RefineFuse](https://doi.org/10.1007/s44267-025-00087-w) network that fuses two aligned images of the same scene.

```python
import refinefuse

fused = refinefuse.fuse("infrared.png", "visible.png", weights="{name}")
```

On the command line: `refinefuse fuse infrared.png visible.png -o fused.png --weights {name}`.
"""


class Pretrained(nn.Module):
    """Mixin that loads and saves networks built by `from_config` with a `config` attribute."""

    config: NetworkConfig
    license: str | None = None
    """SPDX expression of the license of the file that the weights were loaded from."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: NetworkConfig) -> Self:
        """The network that a config describes, with random weights."""

    @classmethod
    def from_pretrained(
        cls,
        weights: str | os.PathLike[str] = store.DEFAULT,
        *,
        contrast: float | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load trained weights, in evaluation mode, float32, on the CPU.

        Args:
            weights: the name of shipped weights, the path of a file or of a folder that `save_pretrained` wrote, or
                `hf://owner/name` on the Hugging Face Hub (extra `hub`).
            contrast: of the fused images, from 0 to 1 (`NetworkConfig.contrast`); None takes that of the weights.
            revision: branch, tag or commit in the Hub's repository; None: the one after an `@`, or its main branch.
            local_files_only: use the Hub's cache alone.

        Raises:
            ConfigError: if the contrast is not from 0 to 1.
            WeightsError: if there are no such weights, the file is a pickle or damaged, has no config of this
                package, or its tensors are not exactly those of the network that its config describes.
        """
        path = store.locate(weights, revision=revision, local_files_only=local_files_only)
        with torch.inference_mode(False):  # the weights must not become inference tensors
            config, tensors, license_name = _read(path)
            config = config if contrast is None else replace(config, contrast=contrast)
            with torch.device("meta"):  # allocate nothing until the file is known to match
                model = cls.from_config(config)
            _check(path, tensors, model.state_dict())
            model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
        model.license = license_name
        return model.eval()

    def save_pretrained(
        self, folder: str | os.PathLike[str], *, license: str | None = None, card: str | None = None
    ) -> None:
        """Write `model.safetensors`, `config.json` and a model card, `README.md`, into a folder, created if missing.

        Args:
            folder: where to write.
            license: SPDX expression of the weights' license; None keeps that of the file they were loaded from.
            card: the text of the card; by default a short one.

        Raises:
            WeightsError: if a file cannot be written.
        """
        folder = as_path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.json").write_text(self.config.to_json() + "\n", encoding="utf-8")
            (folder / "README.md").write_text(card or self._card(str(folder), license), encoding="utf-8")
        except OSError as error:
            raise WeightsError(f"Cannot write the weights to '{folder}': {error.strerror}.") from error
        self.save_weights(folder / store.FILE_NAME, license=license)

    def push_to_hub(
        self,
        repository: str,
        *,
        license: str | None = None,
        card: str | None = None,
        private: bool = False,
        token: str | None = None,
    ) -> str:
        """Upload what `save_pretrained` writes to a repository of the Hugging Face Hub, created if missing.

        Args:
            repository: `owner/name`.
            license: SPDX expression of the weights' license; None keeps that of the file they were loaded from.
            card: the text of the model card; by default a short one.
            private: create a private repository.
            token: of the Hub; by default the one that `hf auth login` stored.

        Returns:
            The address of the commit.

        Raises:
            WeightsError: if the Hub refuses the upload.
            MissingDependencyError: if huggingface_hub is not installed.
        """
        with optional("hub", "Uploading to the Hugging Face Hub"):
            from huggingface_hub import HfApi
            from huggingface_hub.errors import HfHubHTTPError, HFValidationError
        api = HfApi(token=token)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, license=license, card=card or self._card(f"{store.HUB}{repository}", license))
            try:
                api.create_repo(repository, private=private, exist_ok=True)
                commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload RefineFuse")
            except (HfHubHTTPError, HFValidationError, OSError) as error:
                raise WeightsError(f"Cannot upload the weights to '{repository}'.\n  {error}") from error
        return str(commit.commit_url)

    def _card(self, name: str, license: str | None) -> str:
        identifier = license or self.license
        is_common = identifier is not None and not identifier.startswith("LicenseRef-") and " " not in identifier
        return _CARD.format(name=name, license=identifier.lower() if identifier and is_common else "other")

    def save_weights(self, path: str | os.PathLike[str], *, license: str | None = None) -> None:
        """Write the weights, with config, version and license as metadata, into one file; an existing one is replaced.

        Args:
            path: where to write; the folder must exist.
            license: SPDX expression of the weights' license; None keeps that of the file they were loaded from.

        Raises:
            WeightsError: if the file cannot be written.
        """
        path = as_path(path)
        tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in self.state_dict().items()}
        metadata = {"format": "pt", CONFIG_KEY: self.config.to_json(), VERSION_KEY: __version__}
        if license or self.license:
            metadata[LICENSE_KEY] = license or self.license or ""
        try:
            with replace_when_done(path) as temporary:
                save_file(tensors, temporary, metadata=metadata)
        except OSError as error:
            raise WeightsError(f"Cannot write the weights to '{path}': {error.strerror}.") from error


def _read(path: Path) -> tuple[NetworkConfig, dict[str, Tensor], str | None]:
    try:
        with path.open("rb") as start:
            first = start.read(9)  # the `{` of a safetensors header follows its length, which may start with any byte
            pickled = first.startswith(PICKLE_STARTS) and first[8:] != b"{"
    except OSError as error:
        raise WeightsError(f"Cannot read the weights file '{path}': {error.strerror}.") from error
    if pickled:
        raise WeightsError(
            f"Weights must be a safetensors file; '{path}' is a pickle, which can run arbitrary code when it "
            "is loaded.\n"
            "It was not opened. Convert it with software that you trust (safetensors.torch.save_file)."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # a safe_open is no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"The weights file '{path}' is damaged or not a safetensors file.\n  {error}") from error
    if CONFIG_KEY not in metadata:
        raise WeightsError(
            f"The weights file '{path}' was not written by refinefuse: its metadata has no '{CONFIG_KEY}'."
        )
    try:
        return NetworkConfig.from_json(metadata[CONFIG_KEY]), tensors, metadata.get(LICENSE_KEY)
    except ConfigError as error:
        raise WeightsError(f"The weights file '{path}' holds an invalid config.\n{error}") from error


def _check(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    def shape(tensor: Tensor) -> str:
        return " x ".join(map(str, tensor.shape)) or "a number"

    shared = sorted(expected.keys() & found.keys())
    mismatches = {
        "missing": sorted(expected.keys() - found.keys()),
        "not part of the network": sorted(found.keys() - expected.keys()),
        "of another shape": [
            f"{name}: expected {shape(expected[name])}, got {shape(found[name])}"
            for name in shared
            if expected[name].shape != found[name].shape
        ],
        "not floating point": [name for name in shared if found[name].dtype not in FLOATS],
        "not finite": [
            name for name in shared if found[name].dtype in FLOATS and not torch.isfinite(found[name]).all()
        ],
    }
    lines = [f"{kind} ({len(names)}):\n{format_names(names)}" for kind, names in mismatches.items() if names]
    if lines:
        raise WeightsError(
            f"The tensors in '{path}' do not match the network that its config describes.\n" + "\n".join(lines)
        )
