"""Every set of weights still makes the image that it made; `python tests/golden/regenerate.py` records it anew."""

import pytest
from torch.nn import functional as F

from golden import LEVELS, WEIGHTS, fused_path, image_difference, score_differences
from refinefuse.inference.cpu import CpuHead
from refinefuse.network.context import Context
from refinefuse.network.refinement import upsample
from refinefuse.network.semantic import GlobalCrossAttention

pytestmark = pytest.mark.parametrize("weights", WEIGHTS)


def test_image_is_the_recorded_one(weights):
    assert image_difference(weights) <= LEVELS


def test_scores_are_the_recorded_ones(weights):
    assert max(score_differences(weights).values()) <= 1


def exchange_detail(monkeypatch):
    """The head takes the detail of `a` for that of `b`, and the other way round."""
    fuse = CpuHead.__call__

    def exchanged(self, rules, a, b):
        coarse_a, coarse_b = (upsample(F.avg_pool2d(x, 8), 8) for x in (a, b))
        return fuse(self, rules, coarse_a + (b - coarse_b), coarse_b + (a - coarse_a))

    monkeypatch.setattr(CpuHead, "__call__", exchanged)


def attend_to_itself(monkeypatch):
    """Each modality asks its own context instead of that of the other."""
    attend = GlobalCrossAttention.forward

    def forward(self, pair, context):
        self.key_value_a, self.key_value_b = self.key_value_b, self.key_value_a
        try:
            return attend(self, pair, Context(context.b, context.a))
        finally:
            self.key_value_a, self.key_value_b = self.key_value_b, self.key_value_a

    monkeypatch.setattr(GlobalCrossAttention, "forward", forward)


@pytest.mark.parametrize("break_it", [exchange_detail, attend_to_itself])
def test_a_broken_network_is_noticed(weights, break_it, monkeypatch):
    """Both of the tests above would fail."""
    break_it(monkeypatch)
    assert image_difference(weights) > LEVELS
    assert max(score_differences(weights).values()) > 1


def test_recorded_images_are_small(weights):
    assert fused_path(weights).stat().st_size < 100_000
