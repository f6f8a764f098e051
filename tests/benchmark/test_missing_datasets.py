"""The datasets of a config on this machine."""

import pytest

from refinefuse.benchmark.config import DatasetEntry
from refinefuse.benchmark.image_datasets import PathVariables, find_datasets
from refinefuse.errors import PairingError


def test_all_datasets_that_are_missing_are_named_at_once_with_where_to_get_them(tmp_path):
    (tmp_path / "TNO/ir").mkdir(parents=True)
    entries = [DatasetEntry(name, f"{name}/ir", f"{name}/vi") for name in ("TNO", "RoadScene")]
    with pytest.raises(PairingError, match=r"'TNO' has no folder '[^']*vi'\.\n") as refused:
        find_datasets(entries, PathVariables(tmp_path, tmp_path))
    assert "'RoadScene' has no folder" in str(refused.value)
    assert "refinefuse data list" in str(refused.value)
