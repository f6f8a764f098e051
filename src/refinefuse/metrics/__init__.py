"""Metrics of image fusion."""

from refinefuse.metrics.evaluate import evaluate as evaluate
from refinefuse.metrics.faults import inversion, kept, lost, noise, overshoot
from refinefuse.metrics.gradient import qabf
from refinefuse.metrics.information import en, mi
from refinefuse.metrics.perception import vif
from refinefuse.metrics.statistics import ag, scd, sd, sf
from refinefuse.metrics.structure import ssim
