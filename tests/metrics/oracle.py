"""Every metric once more: literal, slow, in numpy, from its formula. The tests compare the package with it."""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

EPS = np.finfo(float).eps


def gauss(n, s):
    i = np.arange(n) - (n - 1) / 2
    w = np.exp(-(i[:, None] ** 2 + i[None, :] ** 2) / (2 * s * s))
    return w / w.sum()


def uniform(n):
    return np.full((n, n), 1 / n**2)


def correlate(x, w, border="valid"):
    if border != "valid":
        mode = {"zero": "constant", "replicate": "edge", "mirror": "reflect"}[border]
        x = np.pad(x, [(s // 2, s // 2) for s in w.shape], mode=mode)
    return np.einsum("ijkl,kl->ij", sliding_window_view(x, w.shape), w)


SX = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def sobel(x, border):
    return correlate(x, SX, border), correlate(x, SX.T, border)


# statistics


def sd(f, a, b):
    return math.sqrt(np.mean((f - f.mean()) ** 2))


def var(f, a, b):
    return np.mean((f - f.mean()) ** 2)


def sf(f, a, b):
    return math.sqrt(np.mean(np.diff(f, axis=0) ** 2) + np.mean(np.diff(f, axis=1) ** 2))


def ag(f, a, b):
    gy, gx = np.gradient(f)
    return np.mean(np.sqrt((gx**2 + gy**2) / 2))


def ei(f, a, b):
    return np.mean(np.hypot(*sobel(f, "replicate")))


def rho(x, y):
    return np.corrcoef(x.ravel(), y.ravel())[0, 1]


def cc(f, a, b):
    return (rho(a, f) + rho(b, f)) / 2


def scd(f, a, b):
    return rho(f - b, a) + rho(f - a, b)


def mse(f, a, b):
    return (np.mean((a - f) ** 2) + np.mean((b - f) ** 2)) / 2


def rmse(f, a, b):
    return math.sqrt(mse(f, a, b))


def psnr(f, a, b):
    return 10 * math.log10(255**2 / mse(f, a, b))


# information


def hist(x):
    return np.bincount(x.ravel().astype(int), minlength=256) / x.size


def joint(x, y):
    h = np.zeros((256, 256))
    for i, j in zip(x.ravel().astype(int), y.ravel().astype(int), strict=True):
        h[i, j] += 1
    return h / x.size


def entropy(p):
    return -sum(v * math.log2(v) for v in p.ravel() if v > 0)


def info(x, y):
    return entropy(hist(x)) + entropy(hist(y)) - entropy(joint(x, y))


def stretch(x):
    return np.floor((x - x.min()) / (x.max() - x.min()) * 255 + 0.5)


def en(f, a, b):
    return entropy(hist(f))


def mi(f, a, b):
    return info(a, f) + info(b, f)


def qmi(f, a, b):
    return 2 * sum(info(x, f) / (entropy(hist(x)) + entropy(hist(f))) for x in (a, b))


def qncie(f, a, b):
    f, a, b = stretch(f), stretch(a), stretch(b)
    ab, af, bf = info(a, b) / 8, info(a, f) / 8, info(b, f) / 8
    eigen = np.linalg.eigvalsh([[1, ab, af], [ab, 1, bf], [af, bf, 1]]) / 3
    return 1 + sum(v * math.log(v, 256) for v in eigen if v > 0)


def qte(f, a, b, q=0.43137):
    f, a, b = stretch(f), stretch(a), stretch(b)

    def tsallis(x, y):
        h, hx, hy = joint(x, y), hist(x), hist(y)
        pairs = [(h[i, j], hx[i] * hy[j]) for i in range(256) for j in range(256) if hx[i] * hy[j] > 0]
        return (1 - sum(p**q / r ** (q - 1) for p, r in pairs)) / (1 - q)

    below = entropy(hist(a)) ** q + entropy(hist(b)) ** q + tsallis(a, b)
    return (tsallis(a, f) + tsallis(b, f)) / below


def ce(f, a, b):
    q = hist(f)
    return sum(p * math.log2(p / r) for x in (a, b) for p, r in zip(hist(x), q, strict=True) if p > 0 and r > 0) / 2


# feature mutual information, with the whole 9 x 9 joint distribution of each window


def window_information(x, f):
    if (x == f).all():
        return 1.0

    def distribution(v):
        span = v.max() - v.min()
        v = (v - v.min()) / span if span else np.ones(9)
        return v / v.sum(), span == 0

    (p, flat_p), (q, flat_q) = distribution(x), distribution(f)
    P, Q = np.cumsum(p), np.cumsum(q)
    c = 0.0 if flat_p or flat_q else np.corrcoef(p, q)[0, 1]
    i = np.arange(1, 10)
    sp, sq = (math.sqrt(max((i**2 * d).sum() - (i * d).sum() ** 2, 0)) for d in (p, q))
    G = np.minimum(Q[:, None], P[None, :]) if c >= 0 else np.maximum(Q[:, None] + P[None, :] - 1, 0)
    t = 0.0 if c == 0 or sp * sq == 0 else c * sp * sq / (G - Q[:, None] * P[None, :]).sum()
    padded = np.pad(G, ((1, 0), (1, 0)))
    second = padded[1:, 1:] - padded[:-1, 1:] - padded[1:, :-1] + padded[:-1, :-1]
    J = t * second + (1 - t) * q[:, None] * p[None, :]
    J = J[np.abs(J) > 1e-15]
    hj, hp, hq = -(J * np.log2(np.abs(J))).sum(), entropy(p), entropy(q)
    return 0.0 if hp + hq == 0 else 2 * (hp + hq - hj) / (hp + hq)


def fmi(feature):
    def metric(f, a, b):
        vf, va, vb = ([w.T.ravel() for row in sliding_window_view(feature(x), (3, 3)) for w in row] for x in (f, a, b))
        scores = [(window_information(x, z) + window_information(y, z)) / 2 for x, y, z in zip(va, vb, vf, strict=True)]
        return np.mean(scores)

    return metric


def edge_map(x):
    bx, by = (d / 8 for d in sobel(x, "replicate"))
    s = bx**2 + by**2
    cut, h, w = 4 * s.mean(), *x.shape
    e = np.zeros_like(x)

    def at(i, j):
        return s[i, j] if 0 <= i < h and 0 <= j < w else -np.inf

    for i in range(h):
        for j in range(w):
            across = abs(bx[i, j]) >= abs(by[i, j]) - 100 * EPS and at(i, j - 1) <= s[i, j] > at(i, j + 1)
            down = abs(by[i, j]) >= abs(bx[i, j]) - 100 * EPS and at(i - 1, j) <= s[i, j] > at(i + 1, j)
            e[i, j] = s[i, j] > cut and (across or down)
    return e


def dct(x):
    def matrix(n):
        k, i = np.arange(n)[:, None], np.arange(n)[None, :]
        m = np.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2 / n)
        m[0] /= math.sqrt(2)
        return m

    return matrix(x.shape[0]) @ x @ matrix(x.shape[1]).T


def meyer(x, low):
    """One level with the analysis filter `low` of even length, by MATLAB's rules."""
    low = np.asarray(low)
    high = np.array([-((-1) ** k) * v for k, v in enumerate(low[::-1])])

    def line(v, filt):
        v = np.pad(v, len(filt) - 1, mode="symmetric")
        return np.convolve(v, filt, mode="valid")[1::2]

    def both(first, second):
        rows = np.array([line(v, second) for v in x])
        return np.array([line(v, first) for v in rows.T]).T

    bands = np.block([[both(low, low), both(high, low)], [both(low, high), both(high, high)]])
    return (bands - bands.min()) / (bands.max() - bands.min())


# structure


def covariance(x, y, w, border="valid"):
    return correlate(x * y, w, border) - correlate(x, w, border) * correlate(y, w, border)


def ssim_maps(x, y, w, c1, c2):
    mx, my = correlate(x, w), correlate(y, w)
    cs = (2 * covariance(x, y, w) + c2) / (covariance(x, x, w) + covariance(y, y, w) + c2)
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1) * cs, cs


C1, C2 = 2.55**2, 7.65**2


def ssim(f, a, b):
    return sum(ssim_maps(x, f, gauss(11, 1.5), C1, C2)[0].mean() for x in (a, b))


def half(x, odd):
    if odd == "zero":
        x = np.pad(x, [(s % 2, s % 2) for s in x.shape])
        return (x[::2, ::2][: x.shape[0] // 2, : x.shape[1] // 2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
    x = np.pad(x, ((0, 1), (0, 1)), mode="edge")
    return ((x[:-1, :-1] + x[1:, :-1] + x[:-1, 1:] + x[1:, 1:]) / 4)[::2, ::2]


def ms_ssim(f, a, b, c1=C1, c2=C2):
    total = 0
    for x in (a, b):
        y, product = f, 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            full, cs = ssim_maps(x, y, gauss(11, 1.5), c1, c2)
            product *= max((full if scale == 4 else cs).mean(), 0) ** weight
            if scale < 4:
                x, y = (np.pad(z, [(s % 2, s % 2) for s in z.shape]) for z in (x, y))
                x, y = (
                    z[: z.shape[0] // 2 * 2, : z.shape[1] // 2 * 2]
                    .reshape(z.shape[0] // 2, 2, z.shape[1] // 2, 2)
                    .mean((1, 3))
                    for z in (x, y)
                )
        total += product
    return total


def mef_ms_ssim(f, a, b):
    weights = np.array([0.0448, 0.2856, 0.3001])
    product, w = 1.0, gauss(11, 1.5)
    for weight in weights / weights.sum():
        scores = []
        for i in range(f.shape[0] - 10):
            for j in range(f.shape[1] - 10):
                x = [z[i : i + 11, j : j + 11] for z in (a, b)]
                y = f[i : i + 11, j : j + 11]
                x = [z - z.mean() for z in x]
                e = [np.linalg.norm(z) + 0.001 for z in x]
                r = np.linalg.norm(x[0] + x[1]) / max(sum(np.linalg.norm(z) for z in x), EPS)
                p = min(math.tan(math.pi / 2 * min(max(r, EPS), 1 - EPS)), 10)
                s = [(v / 11) ** p + EPS for v in e]
                patch = sum(v / sum(s) * z / n for v, z, n in zip(s, x, e, strict=True))
                norm = np.linalg.norm(patch)
                patch = patch * max(e) / norm if norm else patch
                mx, my = (w * patch).sum(), (w * y).sum()
                vx, vy = (w * patch**2).sum() - mx**2, (w * y**2).sum() - my**2
                scores.append((2 * ((w * patch * y).sum() - mx * my) + C2) / (vx + vy + C2))
        product *= np.mean(scores) ** weight
        f, a, b = (half(z, "edge") for z in (f, a, b))
    return product


# visual information fidelity


def gain(va, vb, c):
    va, vb = np.maximum(va, 0), np.maximum(vb, 0)
    k = c / (va + 1e-10)
    v = vb - k * c
    k[va < 1e-10], v[va < 1e-10], va[va < 1e-10] = 0, vb[va < 1e-10], 0
    k[vb < 1e-10], v[vb < 1e-10] = 0, 0
    v[k < 0], k[k < 0] = vb[k < 0], 0
    return k, va, np.maximum(v, 1e-10)


def channels(x, f):
    for scale, n in enumerate((17, 9, 5, 3)):
        w = gauss(n, n / 5)
        if scale:
            x, f = correlate(x, w)[::2, ::2], correlate(f, w)[::2, ::2]
        yield gain(covariance(x, x, w), covariance(f, f, w), covariance(x, f, w))


def vif(f, a, b):
    total = 0
    for x in (a, b):
        parts = [(np.log10(1 + k**2 * v / (n + 2)).sum(), np.log10(1 + v / 2).sum()) for k, v, n in channels(x, f)]
        total += sum(p[0] for p in parts) / sum(p[1] for p in parts)
    return total


def viff(f, a, b):
    total, noise = 0, 0.005 * 255**2
    for weight, (ka, va, na), (kb, vb, nb) in zip((1, 0, 0.15, 1), channels(a, f), channels(b, f), strict=True):
        k, v, n = (np.where(ka < kb, x, y) for x, y in ((ka, kb), (va, vb), (na, nb)))
        kept = (np.log10(1 + k**2 * v / (n + noise)) + 1e-7).sum()
        total += weight * kept / (np.log10(1 + v / noise) + 1e-7).sum()
    return total / 2.15


def vif_uint8(f, a, b):
    """With products of levels that stop at 255, as those of 8-bit images do in MATLAB."""

    def part(x, f):
        above = below = 0
        for scale, n in enumerate((17, 9, 5, 3)):
            w = gauss(n, n / 5)
            if scale:
                x, f = correlate(x, w)[::2, ::2], correlate(f, w)[::2, ::2]

            def second(u, v, w=w, most=255 if scale == 0 else np.inf):
                return correlate(np.minimum(u * v, most), w) - correlate(u, w) * correlate(v, w)

            for k, v, n in [gain(second(x, x), second(f, f), second(x, f))]:
                above += np.log10(1 + k**2 * v / (n + 2)).sum()
                below += np.log10(1 + v / 2).sum()
        return above / below

    return part(a, f) + part(b, f)


def sd_uint8(f, a, b):
    def saturated(x):
        return np.clip(np.floor(x + 0.5), 0, 255)

    return math.sqrt(np.mean(saturated(saturated(f - f.mean()) ** 2)))


def vif_steerable(f, a, b, first, low, band):
    """With the whole filters of the pyramid, and block by block."""

    def pyramid(x):
        x = correlate(x / 255, first, "mirror")
        for level in range(4):
            yield from ((level, correlate(x, w, "mirror")) for w in (band, band.T))
            x = correlate(x, low, "mirror")[::2, ::2]

    def part(x, f):
        above = below = 0
        for (level, y), (_, z) in zip(pyramid(x), pyramid(f), strict=True):
            n = 2 ** (4 - level) + 1
            h, w = (s // 3 * 3 for s in y.shape)
            y, z = y[:h, :w], z[:h, :w]
            c = np.cov(sliding_window_view(y, (3, 3)).reshape(-1, 9).T, bias=True)
            inverse, values = np.linalg.inv(c), np.linalg.eigvalsh(c)
            py, pz = (np.pad(v, n // 2, mode="reflect") for v in (y, z))
            margin = math.ceil(n // 2 / 3)
            for i in range(3 * margin, h - 3 * margin, 3):
                for j in range(3 * margin, w - 3 * margin, 3):
                    u, v = (p[i + 1 : i + 1 + n, j + 1 : j + 1 + n] for p in (py, pz))
                    xx, zz, xz = ((p * q).sum() - n * n * p.mean() * q.mean() for p, q in ((u, u), (v, v), (u, v)))
                    g = xz / (xx + 1e-15)
                    noise = (zz - g * xz) / n**2
                    if g < 0:
                        g, noise = 0, zz
                    block = y[i : i + 3, j : j + 3].ravel()
                    s = block @ inverse @ block / 9
                    above += np.log2(1 + g * g * s * values / (max(noise, 1e-15) + 0.4)).sum()
                    below += np.log2(1 + s * values / 0.4).sum()
        return above / below

    return (part(a, f) + part(b, f)) / 2


# edges


def qabf(f, a, b):
    def edges(x):
        sx, sy = sobel(x, "zero")
        angle = np.full_like(x, math.pi / 2)
        angle[sx != 0] = np.arctan(-sy[sx != 0] / sx[sx != 0])
        return np.sqrt(sx**2 + sy**2), angle

    (gf, af), above, below = edges(f), 0, 0
    for x in (a, b):
        g, alpha = edges(x)
        top = np.maximum(g, gf)
        G = np.divide(np.minimum(g, gf), top, out=np.zeros_like(g), where=top > 0)
        D = 1 - np.abs(alpha - af) / (math.pi / 2)
        q = 0.9994 / (1 + np.exp(-15 * (G - 0.5))) * 0.9879 / (1 + np.exp(-22 * (D - 0.8)))
        above, below = above + (q * g).sum(), below + g.sum()
    return above / below


def qg(f, a, b):
    def edges(x):
        sx, sy = sobel(x, "zero")
        g = np.sqrt(sx**2 + sy**2)
        return np.where(g == 0, 1e-5, g), np.arctan(sy / np.where(sx == 0, 1e-5, sx))

    (gf, af), above, below = edges(f), 0, 0
    for x in (a, b):
        g, alpha = edges(x)
        G, D = np.minimum(g, gf) / np.maximum(g, gf), 1 - np.abs(alpha - af) / (math.pi / 2)
        q = 0.9994 / (1 + np.exp(-15 * (G - 0.5))) * 0.9879 / (1 + np.exp(-22 * (D - 0.8)))
        above, below = above + (q * g).sum(), below + g.sum()
    return above / below


def petrovic(f, a, b, weak_weight=0.001):
    def edges(x):
        u, w = (d / 8 for d in sobel(x, "mirror"))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(u * u + w * w), np.where((u == 0) & (w == 0), 0, np.arctan(u / w))

    (gf, af), (ga, aa), (gb, ab) = edges(f), edges(a), edges(b)

    def quality(g, alpha):
        both = (g > 0) & (gf > 0)
        G = np.divide(np.minimum(g, gf), np.maximum(g, gf), out=np.zeros_like(g), where=both)
        D = np.abs(np.abs(alpha - af) - math.pi / 2) * 2 / math.pi
        return np.sqrt(0.9999 / (1 + np.exp(-19 * (G - 0.5))) * 0.9995 / (1 + np.exp(-22 * (D - 0.5))))

    qa, qb = quality(ga, aa), quality(gb, ab)
    wa, wb = (np.where(g >= 2, g**1.5, weak_weight) for g in (ga, gb))
    W, up = (wa + wb).sum(), (gf > ga) & (gf > gb)
    lost = (1 - qa) * wa + (1 - qb) * wb
    return (
        (qa * wa + qb * wb).sum() / W,
        lost[~up].sum() / W,
        lost[up].sum() / W,
        ((2 - qa - qb) * (wa + wb))[up].sum() / W,
    )


# detail, similarity, perception


def qm(f, a, b):
    def haar(x):
        x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
        p, q, r, s = x[::2, ::2], x[::2, 1::2], x[1::2, ::2], x[1::2, 1::2]
        return (p + q + r + s) / 2, [(p + q - r - s) / 2, (p - q + r - s) / 2, (p - q - r + s) / 2]

    result = 1.0
    for power in (2 / 3, 1 / 3):
        (f, bf), (a, ba), (b, bb) = haar(f), haar(a), haar(b)
        above = below = 0
        for bands in (ba, bb):
            w = sum(x**2 for x in bands)
            above += (w * sum(np.exp(-np.abs(x - y)) for x, y in zip(bands, bf, strict=True))).sum()
            below += w.sum()
        result *= (above / below) ** power
    return result


def qsf(f, a, b):
    def directions(x):
        return np.diff(x, axis=1), np.diff(x, axis=0), x[1:, 1:] - x[:-1, :-1], x[1:, :-1] - x[:-1, 1:]

    weights = (1, 1, math.sqrt(0.5), math.sqrt(0.5))
    sf_f = math.sqrt(sum(w * (d**2).sum() for w, d in zip(weights, directions(f), strict=True)))
    largest = [np.maximum(abs(x), abs(y)) for x, y in zip(directions(a), directions(b), strict=True)]
    sf_r = math.sqrt(sum(w * (d**2).sum() for w, d in zip(weights, largest, strict=True)))
    return (sf_f - sf_r) / sf_r


def index(x, y, w, c):
    return ssim_maps(x, y, w, c, c)[0]


def fraction(x, y):
    return np.divide(x, x + y, out=np.full_like(x, 0.5), where=(x + y) != 0)


def piella(f, a, b):
    w, c = uniform(8), (1e-6 * 255) ** 2
    va, vb = covariance(a, a, w), covariance(b, b, w)
    q = fraction(va, vb) * index(a, f, w, c) + (1 - fraction(va, vb)) * index(b, f, w, c)
    return q.mean(), by_salience(q, va, vb)


def by_salience(q, va, vb):
    """The mean of q where the sources vary; flat ground counts as of variance 0.5."""
    top = np.maximum(va, vb)
    top = np.where(top < 1e-9, 0.5, top)
    return (top * q).sum() / top.sum()


def qs(f, a, b):
    return piella(f, a, b)[0]


def qw(f, a, b):
    return piella(f, a, b)[1]


def qe(f, a, b):
    prewitt = np.array([[1.0, 0, -1]] * 3)
    edges = [np.hypot(correlate(x, prewitt, "zero"), correlate(x, prewitt.T, "zero")) for x in (f, a, b)]
    return qw(f, a, b) * qw(*edges)


def qc(f, a, b):
    w = uniform(8)
    lam = np.clip(fraction(covariance(a, f, w), covariance(b, f, w)), 0, 1)
    return (lam * index(a, f, w, 2e-16) + (1 - lam) * index(b, f, w, 2e-16)).mean()


def qy(f, a, b):
    w = gauss(7, 1.5)
    lam = fraction(covariance(a, a, w), covariance(b, b, w))
    qa, qb = index(a, f, w, 2e-16), index(b, f, w, 2e-16)
    return np.where(index(a, b, w, 2e-16) >= 0.75, lam * qa + (1 - lam) * qb, np.maximum(qa, qb)).mean()


def radius(shape, divisor):
    def line(n):
        return (np.arange(n) - n // 2) * 2 / n

    return np.hypot(line(shape[0])[:, None] * shape[0] / divisor, line(shape[1])[None, :] * shape[1] / divisor)


def in_frequency(x, response):
    return np.fft.ifft2(np.fft.fft2(x) * np.fft.ifftshift(response)).real


def qcv(f, a, b):
    f, a, b = stretch(f), stretch(a), stretch(b)
    r = radius(f.shape, 8)
    response = 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))

    def blocks(x):
        x = np.pad(x, [(0, -s % 16) for s in x.shape])
        return x.reshape(x.shape[0] // 16, 16, x.shape[1] // 16, 16).sum((1, 3))

    above = below = 0
    for x in (a, b):
        lam = blocks(np.hypot(*sobel(x, "zero")) ** 5)
        above += (lam * blocks(in_frequency(x - f, response) ** 2) / 256).sum()
        below += lam.sum()
    return above / below


def qcb(f, a, b):
    def contrast(x):
        x = stretch(x)
        r = radius(x.shape, 30)
        x = in_frequency(x, np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2)))
        i = np.arange(-15, 16)
        square = i[:, None] ** 2 + i[None, :] ** 2
        fine, coarse = (correlate(x, np.exp(-square / (2 * s * s)) / (2 * math.pi * s * s), "zero") for s in (2.0, 4.0))
        c = np.abs(fine / coarse - 1)
        return c**3 / (c**2 + 1e-4)

    cf, ca, cb = contrast(f), contrast(a), contrast(b)
    lam = ca**2 / (ca**2 + cb**2)
    qa, qb = (np.minimum(c, cf) / np.maximum(c, cf) for c in (ca, cb))
    return (lam * qa + (1 - lam) * qb).mean()


def congruency(x):
    """Phase congruency with its maximum and minimum moment, after Kovesi."""

    def line(n):
        return (np.arange(n) - n // 2) / (n if n % 2 == 0 else n - 1)

    y, u = np.fft.ifftshift(np.meshgrid(line(x.shape[0]), line(x.shape[1]), indexing="ij"), axes=(1, 2))
    r, theta = np.hypot(u, y), np.arctan2(-y, u)
    low = 1 / (1 + (r / 0.45) ** 30)
    r[0, 0] = 1
    spectrum, eps = np.fft.fft2(x), 1e-4
    energies = amplitudes = xx = yy = xy = 0
    for o in range(6):
        angle = o * math.pi / 6
        turn = np.abs(np.arctan2(np.sin(theta - angle), np.cos(theta - angle)))
        spread = np.exp(-(turn**2) / (2 * (math.pi / 6 / 1.2) ** 2))
        waves, filters, kernels = [], [], []
        for s in range(4):
            radial = np.exp(-(np.log(r * 3 * 2.1**s) ** 2) / (2 * math.log(0.55) ** 2)) * low
            radial[0, 0] = 0
            filters.append(radial * spread)
            kernels.append(np.fft.ifft2(filters[-1]).real * math.sqrt(x.size))
            waves.append(np.fft.ifft2(spectrum * filters[-1]))
        total = sum(waves)
        mean = total / (np.abs(total) + eps)
        energy = sum(
            (w.real * mean.real + w.imag * mean.imag) - np.abs(w.real * mean.imag - w.imag * mean.real) for w in waves
        )
        power = np.median(np.abs(waves[0]) ** 2) / math.log(2) / (filters[0] ** 2).sum()
        squares = sum((k**2).sum() for k in kernels)
        products = sum((kernels[i] * kernels[j]).sum() for i in range(4) for j in range(i + 1, 4))
        tau = math.sqrt((2 * power * squares + 4 * power * products) / 2)
        energy = np.maximum(
            energy - (tau * math.sqrt(math.pi / 2) + 2 * math.sqrt((2 - math.pi / 2) * tau**2)) / 1.7, 0
        )
        amplitude = sum(np.abs(w) for w in waves)
        width = amplitude / (np.max([np.abs(w) for w in waves], 0) + eps) / 4
        energy = energy / (1 + np.exp((0.5 - width) * 10))
        energies, amplitudes = energies + energy, amplitudes + amplitude
        cx, cy = energy / amplitude * math.cos(angle), energy / amplitude * math.sin(angle)
        xx, yy, xy = xx + cx**2 / 3, yy + cy**2 / 3, xy + cx * cy / 6
    d = np.sqrt(xy**2 + (xx - yy) ** 2) + eps
    return energies / (amplitudes + eps), (xx + yy + d) / 2, (xx + yy - d) / 2


def qp(f, a, b):
    cf, ca, cb = congruency(f), congruency(a), congruency(b)
    first = ca[0] > cb[0]
    masks = ca[0] > 0.1, cb[0] > 0.1, np.maximum(ca[0], cb[0]) > 0.1
    w, result = gauss(11, 1.5), 1.0
    for y, x1, x2 in zip(cf, ca, cb, strict=True):
        maps = []
        for x, mask in zip((x1, x2, np.where(first, x1, x2)), masks, strict=True):
            x = x * mask
            c = covariance(x, y, w, "zero")
            vx, vy = covariance(x, x, w, "zero"), covariance(y, y, w, "zero")
            maps.append((c + 1e-4) / (np.sqrt(np.abs(vx * vy)) + 1e-4) * mask)
        result *= np.max(maps, 0).sum() / masks[2].sum()
    return result


# diagnostic metrics


def slope(x):
    u, v = (d / 8 for d in sobel(x, "mirror"))
    return u, v, np.hypot(u, v)


def edge_recall(f, a, b):
    fu, fv, _ = slope(f)

    def of(x, y):
        (u, v, g), (_, _, other) = slope(x), slope(y)
        own = (g > 6) & (g > 2 * other)
        return 100.0 if own.sum() <= 50 else 100 * (fu * u + fv * v >= 0.5 * g**2)[own].mean()

    return min(of(a, b), of(b, a))


def missed_targets(f, a, b):
    hot = (a > np.percentile(a, 95)) & (a > np.median(a) + 30)
    return 100 * (f[hot] < np.median(f)).mean() if hot.any() else 0.0


def gradient_reversal(f, a, b):
    (fu, fv, _), (au, av, ga), (bu, bv, gb) = slope(f), slope(a), slope(b)
    u, v = np.where(ga >= gb, au, bu), np.where(ga >= gb, av, bv)
    clear = (np.maximum(ga, gb) > 12) & (np.minimum(ga, gb) < 3)
    return 100 * (fu * u + fv * v < -0.1 * (u * u + v * v))[clear].mean() if clear.any() else 0.0


def overshoot(f, a, b):
    def around(x, pick, fill):
        return pick(sliding_window_view(np.pad(x, 7, constant_values=fill), (15, 15)), axis=(2, 3))

    above = f > around(np.maximum(a, b), np.max, -np.inf) + 6
    return 100 * (above | (f < around(np.minimum(a, b), np.min, np.inf) - 6)).mean()


def noise_gain(f, a, b):
    sf_, sa, sb = (np.sqrt(np.maximum(covariance(x, x, uniform(7), "mirror"), 0)) for x in (f, a, b))
    rough = np.maximum(sa, sb)
    flat = rough <= max(np.percentile(rough, 25), 1)
    return np.median((sf_ / np.maximum(rough, 0.5))[flat])


def halved(x, times):
    row = np.array([1, 4, 6, 4, 1]) / 16
    for _ in range(times):
        x = correlate(x, np.outer(row, row), "mirror")[::2, ::2]
    return x


def excess(f, a, b):
    return 100 * np.maximum(f - a - b, 0).sum() / np.maximum(a, b).sum()


def spurious_edges(f, a, b):
    return np.mean([excess(*(slope(halved(x, level))[2] for x in (f, a, b))) for level in (1, 2, 3)])


def spurious_curvature(f, a, b):
    second = np.zeros((3, 3))
    second[1] = 1, -2, 1
    mixed = np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]]) / 4

    def strength(x):
        x = halved(x, 4)
        across, down, twist = (correlate(x, w, "mirror") for w in (second, second.T, mixed))
        return np.sqrt(across**2 + down**2 + 2 * twist**2)

    return excess(*map(strength, (f, a, b)))
