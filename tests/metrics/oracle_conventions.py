"""The definitions that are a convention's own, once more: literal, in numpy. The default ones are in `oracle`."""

import math

import numpy as np
import oracle
from numpy.lib.stride_tricks import sliding_window_view
from oracle import C1, C2, entropy, gauss, hist, joint, sobel, stretch

from refinefuse.metrics import steerable
from refinefuse.metrics.features import _LOW

PETROVIC = {"Qabf_p": 0, "Labf": 1, "Nabf": 2, "Nabf_p": 3}
FEATURES = {
    "FMI_pixel": lambda x: x,
    "FMI_gradient": lambda x: np.gradient(x, axis=1),
    "FMI_edge": oracle.edge_map,
    "FMI_dct": oracle.dct,
    "FMI_wavelet": lambda x: oracle.meyer(x, _LOW[::-1]),
}


def default(key):
    """The literal function of a metric."""
    if key in PETROVIC:
        return lambda *images: oracle.petrovic(*images)[PETROVIC[key]]
    if key in FEATURES:
        return oracle.fmi(FEATURES[key])
    return getattr(oracle, key.lower().replace("-", "_"))


def on_zero_to_one(function):
    return lambda *images: function(*(x / 255 for x in images))


def stretched(function):
    return lambda *images: function(*(stretch(x) for x in images))


# statistics


def ag_inner(f, a, b):
    h, w = f.shape
    return oracle.ag(f, a, b) * h * w / ((h - 1) * (w - 1))


def sf_pixels(f, a, b):
    return math.sqrt(sum((np.diff(f, axis=axis) ** 2).sum() for axis in (0, 1)) / f.size)


def sd_sum01(f, a, b):
    return math.sqrt((((f - f.mean()) / 255) ** 2).sum())


def psnr_of_fused_peak(f, a, b):
    return 10 * math.log10(f.max() ** 2 / oracle.mse(f, a, b))


def psnr_mixed_scales(f, a, b):
    """The error on 0..1, the peak 255."""
    return 10 * math.log10(255**2 / (oracle.mse(f, a, b) / 255**2))


def rmse_vifb(f, a, b):
    return sum(math.sqrt(((x - f) ** 2).sum()) / f.size for x in (a, b)) / 2


def psnr_vifb(f, a, b):
    return 20 * math.log10(255 / math.sqrt(rmse_vifb(f, a, b)))


# information


def mi_nats(f, a, b):
    def nats(p):
        return -sum(v * math.log(v) for v in p.ravel() if v > 0)

    return sum(nats(hist(x)) + nats(hist(f)) - nats(joint(x, f)) for x in (a, b))


def mi_merged(f, a, b):
    def merged(x):
        return np.minimum(x, 254)

    return sum(entropy(hist(x)) + entropy(hist(f)) - entropy(joint(merged(x), merged(f))) for x in (a, b))


def mi_twice_entropy(f, a, b):
    return 2 * entropy(hist(f))


def en_offset(f, a, b):
    return -sum(v * math.log2(v + 1e-7) for v in hist(f))


def qte_swapped(f, a, b, q=0.43137):
    f, a, b = stretch(f), stretch(a), stretch(b)

    def tsallis(x, y):
        h, hx, hy = joint(x, y), hist(y), hist(x)  # exchanged: the slip of the program
        pairs = [(h[i, j], hx[i] * hy[j]) for i in range(256) for j in range(256) if hx[i] * hy[j] > 0]
        return (1 - sum(p**q / r ** (q - 1) for p, r in pairs)) / (1 - q)

    below = entropy(hist(a)) ** q + entropy(hist(b)) ** q + tsallis(a, b)
    return (tsallis(a, f) + tsallis(b, f)) / below


# structure


def ssim_uniform(data_range):
    """As scikit-image: uniform 7x7, covariances of a sample (divided by n - 1)."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def one(x, f):
        values = []
        for u, v in zip(*(sliding_window_view(z, (7, 7)).reshape(-1, 49) for z in (x, f)), strict=True):
            (vu, c), (_, vv) = np.cov(u, v)
            mu, mv = u.mean(), v.mean()
            values.append((2 * mu * mv + c1) * (2 * c + c2) / ((mu**2 + mv**2 + c1) * (vu + vv + c2)))
        return np.mean(values)

    return lambda f, a, b: one(a, f) + one(b, f)


def ssim_replicated(data_range):
    """Gaussian 11x11 with the border repeated, mean of both sources."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def one(x, f):
        x, f = (np.pad(z, 5, mode="edge") for z in (x, f))
        return oracle.ssim_maps(x, f, gauss(11, 1.5), c1, c2)[0].mean()

    return lambda f, a, b: (one(a, f) + one(b, f)) / 2


def ssim_range_1(f, a, b):
    c1, c2 = 0.01**2, 0.03**2
    return sum(oracle.ssim_maps(x, f, gauss(11, 1.5), c1, c2)[0].mean() for x in (a, b)) / 2


def ms_ssim_range_1(f, a, b):
    return oracle.ms_ssim(f, a, b, 0.01**2, 0.03**2) / 2


def vif_steerable(f, a, b):
    def whole(quarter, sign):
        upper = np.array(quarter)
        upper = np.hstack((upper, sign * upper[:, -2::-1]))
        return np.vstack((upper, upper[-2::-1]))

    filters = whole(steerable._FIRST, 1), whole(steerable._LOW, 1), whole(steerable._BAND, -1)
    return oracle.vif_steerable(f, a, b, *filters)


# edges


def qabf_ties(f, a, b):
    """An edge that has exactly the source's strength counts by that strength instead of by 1."""

    def edges(x):
        # The terms in the order in which Octave's conv2 adds them: rounding decides what is equal.
        z = np.pad(x, 1)
        h, w = x.shape
        (t0, t1, t2), (m0, _, m2), (b0, b1, b2) = ([z[i : i + h, j : j + w] for j in range(3)] for i in range(3))
        sx, sy = -b0 - 2 * m0 - t0 + b2 + 2 * m2 + t2, b0 - t0 + 2 * b1 - 2 * t1 + b2 - t2
        angle = np.full_like(x, math.pi / 2)
        angle[sx != 0] = np.arctan(-sy[sx != 0] / sx[sx != 0])
        return np.sqrt(sx**2 + sy**2), angle

    (gf, af), above, below = edges(f), 0, 0
    for x in (a, b):
        g, alpha = edges(x)
        ratio = np.divide(np.minimum(g, gf), np.maximum(g, gf), out=np.zeros_like(g), where=np.maximum(g, gf) > 0)
        ratio = np.where(g == gf, gf, ratio)
        turn = 1 - np.abs(alpha - af) / (math.pi / 2)
        q = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (turn - 0.8)))
        above, below = above + (q * g).sum(), below + g.sum()
    return above / below


def nabf_fused_last(f, a, b):
    return oracle.petrovic(a, b, f)[2]


def nabf(f, a, b):
    return oracle.petrovic(f, a, b)[2]


def nabf_without_weak_edges(f, a, b):
    return oracle.petrovic(f, a, b, weak_weight=0)[2]


def qg_liu(f, a, b):
    def edges(x):
        sx, sy = sobel(x, "zero")
        g = np.sqrt(sx**2 + sy**2)
        return np.where(g == 0, 1e-5, g), np.arctan(sy / np.where(sx == 0, 1e-5, sx))

    (gf, af), above, below = edges(f), 0, 0
    for x in (a, b):
        g, alpha = edges(x)
        ratio = np.minimum(g, gf) / np.maximum(g, gf)
        turn = np.abs(np.abs(alpha - af) - math.pi / 2) / (math.pi / 2)
        q = 1 / (1 + np.exp(-10 * (ratio - 0.5))) / (1 + np.exp(-20 * (turn - 0.75)))
        above, below = above + q * g, below + g
    return (above / below).mean()


# similarity


def piella_liu(f, a, b):
    w = gauss(11, 1.5)
    va, vb = oracle.covariance(a, a, w), oracle.covariance(b, b, w)
    lam = oracle.fraction(va, vb)
    q = lam * oracle.ssim_maps(a, f, w, C1, C2)[0] + (1 - lam) * oracle.ssim_maps(b, f, w, C1, C2)[0]
    return q.mean(), oracle.by_salience(q, va, vb)


def qs_liu(f, a, b):
    return piella_liu(f, a, b)[0]


def qw_liu(f, a, b):
    return piella_liu(f, a, b)[1]


def qc_liu(f, a, b):
    w = gauss(7, 1.5)
    ca, cb = oracle.covariance(a, f, w), oracle.covariance(b, f, w)
    lam = ca / (ca + cb)
    q = lam * oracle.index(a, f, w, 2e-16) + (1 - lam) * oracle.index(b, f, w, 2e-16)
    return np.where(lam < 0, 0.0, np.where(lam > 1, 1.0, q)).mean()


def qy_liu(f, a, b):
    """As the paper has it, but no number where both sources are flat."""
    w = gauss(7, 1.5)
    va, vb = (np.where(v < 1e-9, 0, v) for v in (oracle.covariance(a, a, w), oracle.covariance(b, b, w)))
    return np.nan if (va + vb == 0).any() else oracle.qy(f, a, b)


TIES_01 = on_zero_to_one(qabf_ties)
CDDFUSE = {"MI": mi_nats, "PSNR": psnr_of_fused_peak, "Qabf": qabf_ties}
TANG = {"AG": ag_inner, "MSE": on_zero_to_one(oracle.mse), "PSNR": psnr_mixed_scales, "Qabf": qabf_ties}
OTHER = {
    "default": {},
    "cddfuse": {**CDDFUSE, "SSIM": ssim_uniform(2)},
    "cddfuse255": {**CDDFUSE, "SSIM": ssim_uniform(255)},
    "tang": {**TANG, "MI": mi_merged, "Nabf": nabf_fused_last, "SSIM": ssim_replicated(1)},
    "tang2022": {
        **TANG,
        "MI": mi_merged,
        "SD": oracle.sd_uint8,
        "SF": on_zero_to_one(oracle.sf),
        "VIF": oracle.vif_uint8,
        "Qabf": TIES_01,
        "Nabf": nabf_fused_last,
        "SSIM": ssim_replicated(255),
    },
    "tang_py": {
        **TANG,
        "EN": en_offset,
        "Nabf": nabf_without_weak_edges,
        "SSIM": ssim_range_1,
        "MS-SSIM": ms_ssim_range_1,
    },
    "li": {
        "SD": sd_sum01,
        "VIF": vif_steerable,
        "MI": mi_twice_entropy,
        "Qabf": TIES_01,
        "Nabf": on_zero_to_one(nabf),
        "SSIM": ssim_replicated(255),
    },
    "vifb": {
        "MI": stretched(mi_nats),
        "AG": ag_inner,
        "SF": sf_pixels,
        "VAR": oracle.sd,
        "RMSE": rmse_vifb,
        "PSNR": psnr_vifb,
        "Qabf": qabf_ties,
    },
    "liu2012": {
        "QMI": stretched(oracle.qmi),
        "QTE": qte_swapped,
        "QG": qg_liu,
        "QS": qs_liu,
        "QW": qw_liu,
        "QC": qc_liu,
        "QY": qy_liu,
    },
}
"""By convention, the definitions that are not the default ones."""


def literal(convention, key):
    """The literal function of a metric by a convention."""
    return OTHER[convention].get(key) or default(key)
