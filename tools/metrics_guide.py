"""Write `docs/metrics.md` from the table of metrics, the conventions and a measured experiment.

Usage: python tools/metrics_guide.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from refinefuse.metrics.conventions import CONVENTIONS
from refinefuse.metrics.table import COMMON, METRICS, Metric

DOCS = Path(__file__).parents[1] / "docs"
EXPERIMENT = DOCS / "metrics-experiment.json"
"""What `benchmarks/copies.py` measured."""
Scores = Mapping[str, Mapping[str, float]]
"""Method -> metric -> mean."""

_INTRODUCTION = """# Metrics

Image fusion papers compute the same metrics with programs that disagree. Here each metric is defined once, on 8-bit
levels. The different definitions behind published tables are named conventions; scores can only be compared within one
convention. `refinefuse score FUSED A B` scores images in one convention, and `refinefuse metrics --compare FUSED,A,B`
scores one image in all of them.
"""

_DIAGNOSTICS = """## What the common metrics miss

A plain copy of one source is not a fused image, yet many metrics rank it first. The table compares images of published
methods on {title}, with four trivial baselines: a copy of either source, their average and their maximum. Values are
means over the images in the convention `default`, with the rank among the {n} in parentheses. (`benchmarks/copies.py`
repeats the measurement.)

{table}

{reading}

So report the diagnostic metrics next to every table, and include the copies as methods in every comparison.
"""

_EXACT = """## Accuracy

On real images, the values match those of the authors' own programs to a relative error of 1e-6. The exceptions are all
due to rounding:

- **QCB** on black backgrounds (medical images): the contrast there is one rounding error divided by another, which
  changes the third digit.
- **FMI_wavelet** with large flat regions: the wavelet coefficients of a flat window are rounding errors, and every
  window is rescaled. The order of additions changes the third digit; here it is always that of PyWavelets inside the
  image (2e-6).
- **SSIM** of `tang_py`: it is computed in single precision with a data range of 1 on levels 0..255. The weights of its
  window, which sum to 3e-8 less than 1, and the order of additions in the convolution become visible (1e-5).
- **Qabf** of `li`: on 0..1, the last bit decides which edges are equal. The order of additions is that of the original
  program, but the square root depends on the machine (1e-5).

Constant images have defined values: 0 for a correlation, 1 for the fidelity to a constant source. NaN occurs only with
`liu2012` (QC and QY in flat regions) and for images smaller than the window of a metric, with a warning.
"""

_ORDER = "The metrics measure different properties, and each can be misled. Higher is better unless stated otherwise."


def guide(experiment: Scores, title: str) -> str:
    """The whole guide as Markdown.

    Args:
        experiment: the scores of published methods, copies and simple rules in every metric.
        title: the dataset of the experiment, as in "TNO, 25 pairs".
    """
    parts = [_INTRODUCTION, f"## The metrics\n\n{_ORDER}\n\n{_metrics()}", f"## Conventions\n\n{_conventions()}"]
    parts.append(
        _DIAGNOSTICS.format(title=title, n=len(experiment), table=_table(experiment), reading=_reading(experiment))
    )
    parts.append(_EXACT)
    parts.append(f"## Sources\n\n{_sources()}")
    return "\n".join(parts)


def _metrics() -> str:
    lines = ["| metric | what it measures | range | caveat |", "|---|---|---|---|"]
    for key, row in METRICS.items():
        mark = {True: "", False: " (lower is better)", None: f" (best is {row.ideal or 0:g})"}[row.higher_is_better]
        small = f" Needs sides of at least {row.min_size} pixels." if row.min_size > 16 else ""
        lines.append(f"| `{key}`{mark} | {row.summary}{small} | {_limits(row)} | {row.caveat} |")
    return "\n".join(lines) + "\n"


def _limits(row: Metric) -> str:
    low, high = (f"{x:.4g}" if math.isfinite(x) else "" for x in (row.lower_bound, row.upper_bound))
    return f"{low or '-∞'} .. {high or '∞'}"


def _conventions() -> str:
    lines = []
    for key, row in CONVENTIONS.items():
        notes = [f"{metric}: {variant.note}" for metric, variant in row.variants.items() if variant is not None]
        same = [metric for metric, variant in row.variants.items() if variant is None]
        text = f"**`{key}`**: {row.used_by}"
        if notes:
            text += f" Differences: {'; '.join(notes)}. As in `default`: {', '.join(same)}."
        lines.append(f"- {text}")
    return "\n".join(lines) + "\n"


def rank(experiment: Scores, key: str, method: str) -> int:
    """The rank of a method in a metric, 1 for the best."""
    penalties = {name: METRICS[key].penalty(scores[key]) for name, scores in experiment.items()}
    return 1 + sum(other < penalties[method] for other in penalties.values())


def _table(experiment: Scores) -> str:
    methods = list(experiment)
    keys = [key for key in METRICS if all(key in scores for scores in experiment.values())]
    lines = [f"| | {' | '.join(methods)} |", f"|---|{'---|' * len(methods)}"]
    for key in keys:
        cells = [f"{experiment[m][key]:.4g} ({rank(experiment, key, m)})" for m in methods]
        lines.append(f"| `{key}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _reading(experiment: Scores) -> str:
    """Which metrics rank each baseline first."""
    simple = [name for name in experiment if name.startswith(("copy", "average", "maximum"))]
    lines = []
    for name in simple:
        won = [key for key in METRICS if key in experiment[name] and rank(experiment, key, name) == 1]
        mean = sum(rank(experiment, key, name) for key in COMMON) / len(COMMON)
        lines.append(
            f"- **{name}** ranks first in {_listed(won)}; its mean rank over the nine common metrics is {mean:.1f}."
        )
    return "\n".join(lines)


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys) if keys else "nothing"


def _sources() -> str:
    lines = [f"- `{key}`: {row.source}. {row.differs_from}".rstrip() for key, row in METRICS.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the guide."""
    measured = json.loads(EXPERIMENT.read_text(encoding="utf-8"))
    (DOCS / "metrics.md").write_text(guide(measured["methods"], measured["title"]), encoding="utf-8")


if __name__ == "__main__":
    main()
