"""Weights files: what is written comes back, and everything else is refused by name."""

import pickle
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import HFValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from refinefuse._version import __version__
from refinefuse.errors import MissingDependencyError, WeightsError
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse
from refinefuse.network.pretrained import CONFIG_KEY, LICENSE_KEY, VERSION_KEY

TINY = NetworkConfig(channels=(4, 6), patch_size=2, context_size=8, context_channels=4, num_heads=2)


@pytest.fixture
def saved(tmp_path):
    """A saved network, its file and its tensors."""
    torch.manual_seed(1)
    model = RefineFuse.from_config(TINY)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    path = tmp_path / "tiny.safetensors"
    model.save_weights(path)
    return model, path, load_file(path)


def write(path, tensors, config=TINY):
    save_file(tensors, path, metadata={CONFIG_KEY: config.to_json()})
    return path


def test_file_comes_back(saved):
    model, path, _ = saved
    loaded = RefineFuse.from_pretrained(path)
    assert loaded.config == TINY
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_metadata(saved, tmp_path):
    model, path, _ = saved
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", CONFIG_KEY: TINY.to_json(), VERSION_KEY: __version__}
    model.save_weights(path, license="MIT")
    RefineFuse.from_pretrained(path).save_weights(tmp_path / "again.safetensors")
    with safe_open(tmp_path / "again.safetensors", "pt") as file:
        assert file.metadata()[LICENSE_KEY] == "MIT"


def test_header_of_any_length_comes_back(saved, tmp_path):
    """The first byte of the file is the header's length modulo 256: 0x80 and 0x50 begin pickles too."""
    model, _, tensors = saved
    path, lengths = tmp_path / "x.safetensors", set()
    for extra in range(0, 2048, 8):
        save_file(tensors, path, metadata={CONFIG_KEY: TINY.to_json(), "note": "x" * extra})
        lengths.add(path.read_bytes()[0])
        assert RefineFuse.from_pretrained(path).config == model.config
    assert lengths == set(range(0, 256, 8))  # safetensors aligns headers to 8 bytes


def test_folder_comes_back(saved, tmp_path):
    model, _, _ = saved
    model.save_pretrained(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = RefineFuse.from_pretrained(tmp_path / "new" / "folder")
    a = torch.rand(1, 1, 9, 9)
    assert torch.equal(model(a, 1 - a), loaded(a, 1 - a))


def test_missing_tensor_is_named(saved):
    _, path, tensors = saved
    tensors.pop("head.predict.0.bias")
    with pytest.raises(WeightsError, match=r"missing \(1\):\n  'head.predict.0.bias'"):
        RefineFuse.from_pretrained(write(path, tensors))


def test_extra_tensor_is_named(saved):
    _, path, tensors = saved
    with pytest.raises(WeightsError, match=r"not part of the network \(1\):\n  'extra'"):
        RefineFuse.from_pretrained(write(path, {**tensors, "extra": torch.zeros(1)}))


def test_misshapen_tensor_is_named_with_both_shapes(saved):
    _, path, tensors = saved
    tensors["head.predict.0.bias"] = torch.zeros(5)
    with pytest.raises(WeightsError, match="head.predict.0.bias: expected 8, got 5"):
        RefineFuse.from_pretrained(write(path, tensors))


def test_tensor_that_is_not_finite_is_named(saved):
    _, path, tensors = saved
    tensors["head.predict.0.bias"][0] = float("nan")
    with pytest.raises(WeightsError, match="not finite"):
        RefineFuse.from_pretrained(write(path, tensors))


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_tensor_of_another_kind_is_named(saved, dtype):
    _, path, tensors = saved
    tensors["head.predict.0.bias"] = torch.zeros(8, dtype=dtype)
    with pytest.raises(WeightsError, match="not floating point"):
        RefineFuse.from_pretrained(write(path, tensors))


def test_loading_does_not_depend_on_the_callers_defaults(saved):
    _, path, _ = saved
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            model = RefineFuse.from_pretrained(path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in model.parameters())
    model(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)).sum().backward()


def test_config_that_cannot_be_used_is_refused(saved):
    _, path, tensors = saved
    save_file(tensors, path, metadata={CONFIG_KEY: TINY.to_json().replace('"patch_size": 2', '"patch_size": 3')})
    with pytest.raises(WeightsError, match="`patch_size` must be"):
        RefineFuse.from_pretrained(path)


def test_foreign_safetensors_are_refused(saved):
    _, path, tensors = saved
    save_file(tensors, path)
    with pytest.raises(WeightsError, match="was not written by refinefuse"):
        RefineFuse.from_pretrained(path)


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was loaded",))


@pytest.mark.parametrize(
    "write_pickle", [lambda path: torch.save(Bomb(), path), lambda path: path.write_bytes(pickle.dumps(Bomb()))]
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_pickle_is_refused_and_never_loaded(tmp_path, write_pickle, name):
    path = tmp_path / name
    write_pickle(path)
    with pytest.raises(WeightsError, match="is a pickle"):
        RefineFuse.from_pretrained(path)


@pytest.mark.parametrize("content", [b"", b"short", b"\x10\x00\x00\x00\x00\x00\x00\x00{not json", b"\xff" * 64])
def test_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        RefineFuse.from_pretrained(path)


def test_truncated_file_is_refused(saved):
    _, path, _ = saved
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="damaged"):
        RefineFuse.from_pretrained(path)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(WeightsError, match="infrared-visible"):
        RefineFuse.from_pretrained("infrared-visibel")


def test_folder_that_does_not_exist_cannot_be_written(saved, tmp_path):
    model, _, _ = saved
    with pytest.raises(WeightsError, match="Cannot write"):
        model.save_weights(tmp_path / "missing" / "x.safetensors")


def test_push_to_hub_uploads_the_folder_with_its_card(saved, monkeypatch):
    model, _, _ = saved
    calls = {}

    class Api:
        def __init__(self, token):
            calls["token"] = token

        def create_repo(self, repository, private, exist_ok):
            calls["created"] = repository, private, exist_ok

        def upload_folder(self, repo_id, folder_path, commit_message):
            calls["card"] = (Path(folder_path) / "README.md").read_text()
            calls["config"] = RefineFuse.from_pretrained(folder_path).config
            return SimpleNamespace(commit_url=f"hub/{repo_id}/commit")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert model.push_to_hub("me/net", license="MIT", private=True, token="t") == "hub/me/net/commit"  # noqa: S106
    assert calls["token"] == "t"  # noqa: S105
    assert calls["created"] == ("me/net", True, True)
    assert calls["config"] == TINY
    assert "license: mit\n" in calls["card"]
    assert 'weights="hf://me/net"' in calls["card"]


def test_what_the_hub_refuses_is_said(saved, monkeypatch):
    def refuse(*_, **__):
        raise HFValidationError("bad name")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refuse)
    with pytest.raises(WeightsError, match=r"Cannot upload.*\n  bad name"):
        saved[0].push_to_hub("not a name")


def test_torch_hub_entry(monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.setattr("sys.path", list(sys.path))
    model = torch.hub.load(str(root), "refinefuse", weights="infrared-visible-small", source="local", verbose=False)
    assert isinstance(model, RefineFuse)
    entries = runpy.run_path(str(root / "hubconf.py"))
    assert [name for name, value in entries.items() if callable(value) and name[0] != "_"] == ["refinefuse"]


def test_repository_without_the_hub_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'refinefuse\[hub\]'"):
        RefineFuse.from_pretrained("hf://somebody/something")
