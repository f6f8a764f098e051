"""Print scores: as text, CSV, JSON and LaTeX, each naming its convention."""

from __future__ import annotations

import csv
import io
import json
import math

from refinefuse.metrics.conventions import CONVENTIONS
from refinefuse.metrics.table import METRICS
from refinefuse.scoring.folders import ScoreTable

ARROWS = {True: "up", False: "down", None: "mid"}


def ranks(result: ScoreTable) -> dict[str, dict[str, int]]:
    """Metric -> method -> place, 1 for the best; equal values share a place, NaN has none."""
    means = result.means()
    found: dict[str, dict[str, int]] = {}
    for key in result.metrics:
        penalties = {method: METRICS[key].penalty(mean[key].value) for method, mean in means.items()}
        ordered = sorted(value for value in penalties.values() if not math.isnan(value))
        found[key] = {m: ordered.index(value) + 1 for m, value in penalties.items() if not math.isnan(value)}
    return found


def as_text(result: ScoreTable) -> str:
    """A table for the terminal: methods and metrics, or for one method its means with their intervals."""
    head = f"convention {result.convention}: {CONVENTIONS[result.convention].used_by}\n{_count(result)}"
    return f"{head}\n\n{_comparison(result) if len(result.scores) > 1 else _single(result)}"


def _count(result: ScoreTable) -> str:
    n = len(result.common)
    left_out = sum(len(images) - n for images in result.scores.values())
    text = f"{n} image{'' if n == 1 else 's'}"
    return f"{text} that all methods have ({left_out} others left out of the means)" if left_out else text


def _single(result: ScoreTable) -> str:
    (means,) = result.means().values()
    lines = []
    for key, mean in means.items():
        interval = f"   {mean.low:.3f} .. {mean.high:.3f}" if len(result.common) > 1 else ""
        lines.append(f"{key:<13}{ARROWS[METRICS[key].higher_is_better]:<6}{mean.value:>11.3f}{interval}")
    if len(result.common) > 1:
        lines.append("\nmean, and its 95 % interval by the bootstrap over images")
    return "\n".join(lines)


def _comparison(result: ScoreTable) -> str:
    means, place = result.means(), ranks(result)
    marks = {1: "*", 2: "+"}
    cells = [["method", *result.metrics], ["", *(ARROWS[METRICS[key].higher_is_better] for key in result.metrics)]]
    for method, mean in means.items():
        marked = [f"{mean[key].value:.3f}{marks.get(place[key].get(method, 0), ' ')}" for key in result.metrics]
        cells.append([method, *marked])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for name, *values in cells:
        padded = [value.rjust(width) for value, width in zip(values, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]).rstrip())
    return "\n".join([*lines, "\n* best, + second"])


def as_csv(result: ScoreTable) -> str:
    """One line a image, every digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["convention", "method", "image", *result.metrics])
    for method, images in result.scores.items():
        for name, values in images.items():
            writer.writerow([result.convention, method, name, *(repr(values[key]) for key in result.metrics)])
    return text.getvalue()


def as_json(result: ScoreTable) -> str:
    """Everything: images, means, intervals, failures; NaN is null."""
    document = {
        "convention": result.convention,
        "metrics": {
            key: {"higher_is_better": METRICS[key].higher_is_better, "ideal": METRICS[key].ideal}
            for key in result.metrics
        },
        "methods": {
            method: {
                "means": {
                    key: {"mean": _number(m.value), "low": _number(m.low), "high": _number(m.high)}
                    for key, m in means.items()
                },
                "images": {n: {k: _number(v) for k, v in row.items()} for n, row in result.scores[method].items()},
            }
            for method, means in result.means().items()
        },
        "common_images": result.common,
        "failures": list(result.failures),
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_latex(result: ScoreTable) -> str:
    """A `booktabs` table with the best in bold and the second underlined."""
    arrows = {True: r"$\uparrow$", False: r"$\downarrow$", None: ""}
    place = ranks(result)
    wraps = {1: r"\textbf{%s}", 2: r"\underline{%s}"}
    lines = [
        rf"% Convention {result.convention}: {CONVENTIONS[result.convention].used_by} {_count(result)}.",
        rf"\begin{{tabular}}{{l{'r' * len(result.metrics)}}}",
        r"\toprule",
        " & ".join(["Method", *(_escaped(key) + arrows[METRICS[key].higher_is_better] for key in result.metrics)])
        + r" \\",
        r"\midrule",
    ]
    for method, means in result.means().items():
        cells = [wraps.get(place[key].get(method, 0), "%s") % f"{means[key].value:.3f}" for key in result.metrics]
        lines.append(" & ".join([_escaped(method), *cells]) + r" \\")
    lines += [r"\bottomrule", rf"\multicolumn{{{len(result.metrics) + 1}}}{{l}}{{Metrics by the convention "
              rf"\texttt{{{_escaped(result.convention)}}}.}}", r"\end{tabular}", ""]  # fmt: skip
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return "".join(rf"\{c}" if c in "_&%#$" else c for c in text)
