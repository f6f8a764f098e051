"""Damaged DICOM and NIfTI files are refused or read, never anything else."""

import pytest
from fuzzing import fuzz


def wrong(first, count):
    return [one for one in fuzz(first, count) if one[1] not in ("read", "refused")]


def test_a_few_damaged_files():
    assert wrong(0, 80) == []


@pytest.mark.slow
def test_many_damaged_files():
    assert wrong(10_000, 1500) == []
