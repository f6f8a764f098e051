"""Values that the authors' own programs give on real triplets; skipped where those are not at hand."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from refinefuse.image.files import read_image
from refinefuse.metrics import evaluate

PROGRAMS = {
    "default": ("lab_numpy", "lab_numpy_yuliu"),
    "cddfuse": ("cddfuse_py",),
    "tang": ("tang_matlab",),
    "tang2022": ("tang_matlab_2022",),
    "tang_py": ("tang_py",),
    "li": ("hli_matlab",),
    "vifb": ("vifb_matlab",),
    "liu2012": ("zhengliu_matlab", "lab_numpy_liu"),
}
PARTLY = {  # programs with which a convention agrees in some metrics only
    ("default", "mfifmetrics_matlab"): ("EN", "EI", "SCD", "VIFF", "QG", "QS", "QW", "QE", "QC", "QY", "QP", "QNCIE",
                                        "QCV", "QCB"),
    ("default", "petrovic_kumar_matlab"): ("Qabf_p", "Labf", "Nabf", "Nabf_p"),
    ("default", "thfylsty_matlab"): ("EN", "SD", "CC", "EI"),
    ("liu2012", "mfifmetrics_matlab"): ("QMI", "QTE"),
    ("li", "petrovic_kumar_matlab"): ("Nabf",),
}  # fmt: skip
NAMES = {"VIF": "VIFp_sum", "MEF-MS-SSIM": "MEF_MS_SSIM", "MS-SSIM": "MS_SSIM", "QTE": "QTE_nava_q0.43137",
         "FMI_pixel": "FMI_none", "Qabf_p": "Qabf_petrovic", "Nabf_p": "Nabf_petrovic"}  # fmt: skip
DEFAULT_NAMES = {
    "MI": "MI_bits",
    "QMI": "QMI_no_stretch",
    "CE": "CE_mean",
    "SSIM": "SSIM_sum",
    "MS-SSIM": "MS_SSIM_sum",
}
TANG_NAMES = {"Nabf": "Nabf_as_called_wrong_arg_order", "FMI_wavelet": "FMI_w"}
LI_NAMES = {"VIF": "VIF_wavelet_mean_range01"}
TOLERANCES = {
    ("*", "QCB"): 5e-3,  # divides rounding by rounding on black backgrounds
    ("*", "FMI_wavelet"): 2e-6,  # flat windows show rounding; PyWavelets adds in another order at the border
    ("tang_py", "SSIM"): 1e-5,  # float32, and with a data range of 1 the order of additions in a convolution shows
    ("li", "Qabf"): 1e-5,  # the last bit of a square root decides which edges are equal, and MKL's is not always right
}


VALUES = json.loads((Path(__file__).parent / "authors.json").read_text(encoding="utf-8"))
"""By triplet and metric, what each program gives; null is NaN."""


@pytest.fixture(scope="module")
def triplets(data_folder):
    """The folder of the images; the values are those of `VALUES`."""
    folder = data_folder.parent / "metrics" / "triplets"
    if not folder.is_dir():
        pytest.skip(f"the images of the reference values are not at hand: no '{folder}'")
    return folder


def load(folder, name):
    images = [read_image(folder / f"{name}_{side}.png") for side in "FAB"]
    channels = max(np.atleast_3d(x).shape[-1] for x in images)
    stacks = [np.atleast_3d(x).repeat(channels if x.ndim == 2 else 1, -1).transpose(2, 0, 1) for x in images]
    return [torch.from_numpy(x.astype(np.float64))[None] for x in stacks]


def reference_name(convention, key):
    special = {"default": DEFAULT_NAMES, "tang": TANG_NAMES, "li": LI_NAMES}.get(convention, {})
    return special.get(key, NAMES.get(key, key))


def programs(convention, key):
    return PROGRAMS[convention] + tuple(p for (c, p), keys in PARTLY.items() if c == convention and key in keys)


@pytest.mark.parametrize("name", ["mri_ct_lap", "mri_spect_max", "mri_spect_max_colour", "tno_10_lap", "tno_34_mean",
                                  "mri_ct_lap_crop32", "mri_ct_lap_crop64", "tno_10_lap_crop32"])  # fmt: skip
def test_equals_the_authors_programs(triplets, name):
    images = load(triplets, name)
    compared = 0
    for convention in ["vifb"] if name.endswith("colour") else PROGRAMS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # crops are too small for some metrics
            scores = evaluate(*images, metrics="convention", convention=convention)
        for key, score in scores.items():
            theirs = VALUES[name].get(reference_name(convention, key), {})
            if (convention, key) == ("li", "Nabf"):
                theirs = theirs | VALUES[name].get("Nabf_range01", {})
            for program in set(programs(convention, key)) & theirs.keys():
                compared += 1
                if theirs[program] is None:
                    assert math.isnan(float(score)), (convention, key)
                    continue
                tolerance = TOLERANCES.get((convention, key)) or TOLERANCES.get(("*", key), 1e-6)
                assert float(score) == pytest.approx(theirs[program], rel=tolerance), (convention, key, program)
    assert compared >= 12
