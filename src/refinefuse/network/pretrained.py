"""Weights files: safetensors with the network's config in the metadata. Nothing is ever unpickled."""

from __future__ import annotations

import os
import tempfile
from abc import abstractmethod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from typing_extensions import Self

from refinefuse.errors import ConfigError, WeightsError, format_names
from refinefuse.network.config import NetworkConfig
from refinefuse.weights import store

CONFIG_KEY = "refinefuse.config"
PICKLE_STARTS = (b"PK\x03\x04", b"\x80")
"""First bytes of what `torch.save` writes, now and before version 1.6."""
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_CARD = """---
library_name: refinefuse
tags: [image-fusion]
---
A RefineFuse network. Load it with `refinefuse.RefineFuse.from_pretrained(...)` or `refinefuse fuse --weights ...`.
What it was trained on, and under which license it may be used, is for its publisher to say here.
"""


class Pretrained(nn.Module):
    """Loading and saving for a network that is built by `from_config` and holds its `config`."""

    config: NetworkConfig

    @classmethod
    @abstractmethod
    def from_config(cls, config: NetworkConfig) -> Self:
        """The network that a config describes, with random weights."""

    @classmethod
    def from_pretrained(
        cls,
        weights: str | os.PathLike[str] = store.DEFAULT,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load trained weights, in evaluation mode, float32, on the CPU.

        Args:
            weights: the name of shipped weights, the path of a file or of a folder that `save_pretrained` wrote, or
                a repository `owner/name` on the Hugging Face Hub (extra `hub`).
            revision: branch, tag or commit in the Hub's repository.
            local_files_only: use the Hub's cache alone.

        Raises:
            WeightsError: if there are no such weights, the file is a pickle or damaged, has no config of this
                package, or its tensors are not exactly those of the network that its config describes.
        """
        path = store.locate(weights, revision=revision, local_files_only=local_files_only)
        with torch.inference_mode(False):  # the caller's mode must not follow the weights
            config, tensors = _read(path)
            with torch.device("meta"):  # nothing is allocated before the file is known to fit
                model = cls.from_config(config)
            _check(path, tensors, model.state_dict())
            model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
        return model.eval()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors`, `config.json` and a card into a folder that is made if need be.

        Raises:
            WeightsError: if a file cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.json").write_text(self.config.to_json() + "\n", encoding="utf-8")
            (folder / "README.md").write_text(_CARD, encoding="utf-8")
        except OSError as error:
            raise WeightsError(f"The weights cannot be written to '{folder}': {error.strerror}.") from error
        self.save_weights(folder / store.FILE_NAME)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights and the config into one file; an existing file is replaced whole.

        Raises:
            WeightsError: if the file cannot be written.
        """
        path = Path(path)
        tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in self.state_dict().items()}
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.close(handle)
            try:
                save_file(tensors, temporary, metadata={"format": "pt", CONFIG_KEY: self.config.to_json()})
                Path(temporary).chmod(0o644)
                Path(temporary).replace(path)
            finally:
                Path(temporary).unlink(missing_ok=True)
        except OSError as error:
            raise WeightsError(f"The weights cannot be written to '{path}': {error.strerror}.") from error


def _read(path: Path) -> tuple[NetworkConfig, dict[str, Tensor]]:
    try:
        with path.open("rb") as start:
            first = start.read(9)  # a safetensors header, `{`, comes after its length, which may begin with any byte
            pickled = first.startswith(PICKLE_STARTS) and first[8:] != b"{"
    except OSError as error:
        raise WeightsError(f"The weights file '{path}' cannot be read: {error.strerror}.") from error
    if pickled:
        raise WeightsError(
            f"Weights must be a safetensors file; '{path}' is a pickle, which can run any code when it is loaded.\n"
            "It was not opened. Convert it with a program that you trust (safetensors.torch.save_file)."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # a safe_open is no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"The weights file '{path}' is damaged or no safetensors file.\n  {error}") from error
    if CONFIG_KEY not in metadata:
        raise WeightsError(
            f"The weights file '{path}' was not written by refinefuse: its metadata has no '{CONFIG_KEY}'."
        )
    try:
        return NetworkConfig.from_json(metadata[CONFIG_KEY]), tensors
    except ConfigError as error:
        raise WeightsError(f"The weights file '{path}' holds a config that cannot be used.\n{error}") from error


def _check(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    def shape(tensor: Tensor) -> str:
        return " x ".join(map(str, tensor.shape)) or "a number"

    shared = sorted(expected.keys() & found.keys())
    faults = {
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
    said = [f"{kind} ({len(names)}):\n{format_names(names)}" for kind, names in faults.items() if names]
    if said:
        raise WeightsError(
            f"The tensors in '{path}' are not those of the network that its config describes.\n" + "\n".join(said)
        )
