"""The datasets of a config on this machine."""

import pytest

from refinefuse.benchmark.config import DatasetEntry
from refinefuse.benchmark.image_datasets import PathVariables, find_dataset_images
from refinefuse.errors import PairingError


def test_a_dataset_that_is_not_here_is_answered_with_where_it_comes_from(tmp_path):
    (tmp_path / "TNO/ir").mkdir(parents=True)
    with pytest.raises(PairingError, match=r"'TNO' has no folder '[^']*vi'") as refused:
        find_dataset_images(DatasetEntry("TNO", "TNO/ir", "TNO/vi"), PathVariables(tmp_path, tmp_path))
    assert "refinefuse data list" in str(refused.value)
