"""What ships with the package is what the manifest says."""

import hashlib
import sys

import pytest
import torch

from refinefuse.errors import WeightsError
from refinefuse.network.model import RefineFuse
from refinefuse.weights import store


@pytest.mark.parametrize("name", store.shipped())
def test_shipped_weights_are_those_of_the_manifest(name):
    entry = store.shipped()[name]
    assert hashlib.sha256(entry.path.read_bytes()).hexdigest() == entry.sha256
    model = RefineFuse.from_pretrained(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_parameters
    assert entry.datasets
    assert all(part["license"] for part in entry.datasets)
    assert len(entry.commit) == 40


def test_default_ships():
    assert store.DEFAULT in store.shipped()


def test_changed_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    RefineFuse.from_pretrained().save_weights(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    monkeypatch.setattr(store, "_HERE", tmp_path)
    monkeypatch.setattr(
        store, "shipped", lambda: {"x": store.Entry("x", path.name, "0" * 64, "", 0, "", "", [], {}, "")}
    )
    with pytest.raises(WeightsError, match="differ from the released ones"):
        store.locate("x")


def test_name_that_is_nowhere_does_not_go_to_the_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # an import of it would say what to install
    with pytest.raises(WeightsError, match="hf://owner/name"):
        store.locate("somebody/something")


@pytest.mark.parametrize("revision", ["", "@main", "@" + "0" * 40])
def test_hub_gives_the_revision_that_is_named(tmp_path, monkeypatch, revision):
    repository, commit = tmp_path / "models--me--net", "0" * 40
    weights = repository / "snapshots" / commit / store.FILE_NAME
    weights.parent.mkdir(parents=True)
    weights.touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert store.locate(f"hf://me/net{revision}", local_files_only=True) == weights
    with pytest.raises(WeightsError, match="'me/net'"):
        store.locate("hf://me/net@other", local_files_only=True)


@pytest.mark.parametrize("name", store.shipped())
@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 1.0])
def test_constant_sources_give_that_constant(name, level):
    flat = torch.full((1, 1, 37, 52), level)
    torch.testing.assert_close(RefineFuse.from_pretrained(name)(flat, flat), flat)


@pytest.mark.parametrize("name", store.shipped())
def test_equal_sources_give_that_image(name):
    a = torch.rand(1, 1, 50, 61, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(RefineFuse.from_pretrained(name)(a, a), a, rtol=0, atol=1 / 255)
