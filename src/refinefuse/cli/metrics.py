"""`refinefuse metrics`."""

from __future__ import annotations

from pathlib import Path


def run(*, compare: str | None = None) -> int:
    """List the metrics, or show what one image scores in every convention.

    Args:
        compare: Print each metric in every convention side by side, for three files separated by commas: FUSED,A,B.
    """
    from refinefuse.errors import InputError

    if compare is None:
        print(_list())
        return 0
    files = compare.split(",")
    if len(files) != 3:
        raise InputError(f"--compare needs three files, separated by commas.\n  expected: FUSED,A,B\n  got: {compare}")
    fused, a, b = (Path(file) for file in files)
    print(_compare(fused, a, b))
    return 0


def _list() -> str:
    from refinefuse.metrics import CONVENTIONS, METRICS

    lines = []
    for key, row in METRICS.items():
        better = {True: "higher", False: "lower", None: f"nearer to {row.ideal or 0:g}"}[row.higher_is_better]
        lines += [
            f"{key:<13}{better} is better, {row.lower_bound:g} .. {row.upper_bound:g}. {row.summary}",
            f"{'':<13}{row.source}.",
        ]
    lines += ["", "conventions"]
    lines += [f"  {key:<11}{row.used_by}" for key, row in CONVENTIONS.items()]
    return "\n".join(lines)


def _compare(fused: Path, a: Path, b: Path) -> str:
    import warnings

    from refinefuse.metrics import CONVENTIONS, METRICS, evaluate
    from refinefuse.scoring.folders import Triplet, read_triplet

    images = read_triplet(Triplet("", fused.stem, fused, a, b), "luma")
    columns: dict[str, dict[str, float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # metrics for which the image is too small are nan
        default = {metric: float(value) for metric, value in evaluate(*images, metrics="convention").items()}
        for key, row in CONVENTIONS.items():
            other = [metric for metric, variant in row.variants.items() if variant is not None]
            scores = evaluate(*images, metrics=other, convention=key)
            columns[key] = {m: float(scores[m]) if m in scores else default[m] for m in row.variants}
    lines = [f"{'':<13}" + "".join(f"{key:>12}" for key in columns)]
    for metric in METRICS:
        cells = [f"{columns[key][metric]:>12.5g}" if metric in columns[key] else f"{'':>12}" for key in columns]
        lines.append((f"{metric:<13}" + "".join(cells)).rstrip())
    lines += ["", "difference from the default"]
    for key, row in CONVENTIONS.items():
        notes = [f"{metric}: {variant.note}" for metric, variant in row.variants.items() if variant is not None]
        lines += [f"  {key}: " + "; ".join(notes)] if notes else []
    return "\n".join(lines)
