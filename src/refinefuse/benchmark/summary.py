"""Summarize the scores of one dataset: means with confidence intervals, ranks and significance tests.

Ranks and tests include only ranked methods that have every image of the dataset. Any other method (a copy, an average)
gets the rank that it would have if it alone were added, as a baseline that does not shift the ranks of the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from refinefuse.benchmark.degradations import CLEAN
from refinefuse.benchmark.image_datasets import ImageDataset
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.runner import Results
from refinefuse.errors import optional
from refinefuse.metrics.table import COMMON, DIAGNOSTICS, METRICS
from refinefuse.scoring.folders import Mean, bootstrap
from refinefuse.scoring.ranking import rank

COPIES = ("copy-of-a", "copy-of-b", "copy-of-larger-sd")
SIGNIFICANCE = 0.05
"""Significance level of all tests."""


@dataclass(frozen=True)
class DatasetScores:
    """The scores of one dataset.

    Attributes:
        dataset: name of the dataset.
        images: names of the pairs.
        methods: methods with at least one score, in the order of the config.
        complete: names of the methods that have all images.
        values: metric -> method -> value per image, NaN where missing.
    """

    dataset: str
    images: tuple[str, ...]
    methods: tuple[Method, ...]
    complete: frozenset[str]
    values: Mapping[str, Mapping[str, Float[np.ndarray, n]]]

    def means(self, metric: str) -> dict[str, Mean]:
        """Mean of each method over its images, with its 95 % confidence interval."""
        return {name: bootstrap(list(values)) for name, values in self.values[metric].items()}

    def ranked(self, metrics: Sequence[str]) -> list[str]:
        """Names of the complete, ranked methods that have all these metrics."""
        return [m.name for m in self.methods if m.ranked and self._has(m.name, metrics)]

    def unranked(self, metrics: Sequence[str]) -> list[str]:
        """Names of the complete, unranked methods that have all these metrics."""
        return [m.name for m in self.methods if not m.ranked and self._has(m.name, metrics)]

    def _has(self, name: str, metrics: Sequence[str]) -> bool:
        return name in self.complete and all(not np.isnan(self.values[key][name]).all() for key in metrics)


def scores_of(results: Results, methods: Sequence[Method], dataset: ImageDataset) -> DatasetScores:
    """Collect the scores of a dataset without degradation."""
    images = tuple(pair.name for pair in dataset.pairs)
    position = {name: index for index, name in enumerate(images)}
    here = [row for row in results.rows if row.dataset == dataset.name and row.degradation == CLEAN.kind]
    rows = [row for row in here if row.metric in results.metrics]
    present = {row.method for row in rows}
    values = {
        key: {m.name: np.full(len(images), np.nan) for m in methods if m.name in present} for key in results.metrics
    }
    for row in rows:
        values[row.metric][row.method][position[row.image]] = row.value
    complete = frozenset(name for name in present if results.coverage[name, dataset.name].complete)
    return DatasetScores(dataset.name, images, tuple(m for m in methods if m.name in present), complete, values)


def penalty(metric: str, value: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Apply `Metric.penalty` to every value; lower is better."""
    penalties: Float[np.ndarray, "*n"] = np.vectorize(METRICS[metric].penalty, otypes=[float])(value)
    return penalties


def ranks(score: DatasetScores, metric: str, metrics: Sequence[str]) -> dict[str, int]:
    """Rank each complete method by the mean of a metric, among those that have all of `metrics`.

    With fewer than two ranked methods, there are no ranks.
    """
    ranked, unranked = score.ranked(metrics), score.unranked(metrics)
    if len(ranked) < 2:
        return {}
    penalties = {name: _mean(score, metric, name) for name in [*ranked, *unranked]}
    return {name: rank(penalties[name], [penalties[other] for other in ranked if other != name]) for name in penalties}


def mean_ranks(score: DatasetScores, metrics: Sequence[str]) -> dict[str, float]:
    """Mean rank of each method over several metrics."""
    each = [ranks(score, key, metrics) for key in metrics]
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]} if each else {}


def worse_than_a_copy(score: DatasetScores, metrics: Sequence[str]) -> set[str]:
    """Return the ranked methods with a worse mean rank than a copy of one source that is added to the ranking."""
    ranked = score.ranked(metrics)
    beaten = set()
    copies = set(COPIES) & set(score.unranked(metrics)) if len(ranked) > 1 else set()
    for copy in copies:
        own = mean_ranks(score, metrics)[copy]
        for name in ranked:
            others = [other for other in [*ranked, copy] if other != name]
            found = [rank(_mean(score, key, name), [_mean(score, key, o) for o in others]) for key in metrics]
            if float(np.mean(found)) > own:
                beaten.add(name)
    return beaten


def _mean(score: DatasetScores, metric: str, name: str) -> float:
    return round(float(penalty(metric, np.nanmean(score.values[metric][name]))), 9)


@dataclass(frozen=True)
class Comparison:
    """Significance tests of the differences between methods.

    Each image is a block; a method's value in it is its mean rank over the metrics.

    Attributes:
        methods: methods from best to worst.
        ranks: average ranks over the images.
        images: number of images.
        friedman: p-value of Friedman's test, with the null hypothesis that all methods are equal.
        critical: Nemenyi's critical difference of two average ranks.
        against: per method, the Holm-corrected p-value of Wilcoxon's signed-rank test against `reference`.
        reference: method against which the others are tested; empty if it is not ranked.
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    images: int
    friedman: float
    critical: float
    against: Mapping[str, float]
    reference: str

    @property
    def groups(self) -> list[tuple[int, int]]:
        """First and last index of each maximal group of methods that do not differ significantly."""
        found: list[tuple[int, int]] = []
        for first, average in enumerate(self.ranks):
            last = max(i for i, other in enumerate(self.ranks) if other - average <= self.critical)
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def compare(score: DatasetScores, metrics: Sequence[str], reference: str) -> Comparison | None:
    """Test the ranked methods of a dataset; None with fewer than three methods or five images.

    Source: J. Demsar, "Statistical comparisons of classifiers over multiple datasets", Journal of Machine Learning
    Research 7, 2006: Friedman's test, Nemenyi's critical difference, Wilcoxon's test with Holm's correction.

    Raises:
        MissingDependencyError: SciPy is not installed.
    """
    names = score.ranked(metrics)
    if len(names) < 3 or len(score.images) < 5:
        return None
    stats = _scipy_stats()
    blocks = _blocks(score, metrics, names)
    k, n = len(names), len(blocks)
    ranks = stats.rankdata(blocks, axis=1).mean(0)
    order = np.argsort(ranks, kind="stable")
    critical = (
        stats.studentized_range.ppf(1 - SIGNIFICANCE, k, math.inf) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    )
    against = {}
    if reference in names:
        own = blocks[:, names.index(reference)]
        others = [name for name in names if name != reference]
        raw = [_wilcoxon(own - blocks[:, names.index(name)]) for name in others]
        against = dict(zip(others, holm(raw), strict=True))
    friedman = float(stats.friedmanchisquare(*blocks.T).pvalue)
    return Comparison(
        tuple(names[i] for i in order), tuple(float(ranks[i]) for i in order), n, friedman, float(critical), against,
        reference if reference in names else "",
    )  # fmt: skip


def _scipy_stats() -> Any:
    with optional("benchmark", "Testing whether methods differ"):
        from scipy import stats
    return stats


def _blocks(score: DatasetScores, metrics: Sequence[str], names: Sequence[str]) -> Float[np.ndarray, "n k"]:
    """Mean rank of each method over the metrics, per image; metrics that are NaN for any method are skipped."""
    ranks = []
    for key in metrics:
        values = penalty(key, np.array([score.values[key][name] for name in names]).T)
        sound = ~np.isnan(values).any(-1)
        ranked = np.full(values.shape, np.nan)
        ranked[sound] = _scipy_stats().rankdata(values[sound].round(9), axis=1)
        ranks.append(ranked)
    stacked = np.stack(ranks)
    blocks: Float[np.ndarray, "n k"] = np.nanmean(stacked[:, ~np.isnan(stacked).all((0, 2))], 0)
    return blocks


def _wilcoxon(differences: Float[np.ndarray, n]) -> float:
    return float(_scipy_stats().wilcoxon(differences, zero_method="zsplit").pvalue) if differences.any() else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for multiple testing.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2),
    1979.
    """
    corrected, worst = [0.0] * len(p), 0.0
    for step, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        worst = max(worst, min(1.0, (len(p) - step) * p[index]))
        corrected[index] = worst
    return corrected


def rank_groups(metrics: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Metrics of each mean-rank column: common, and common with diagnostics; otherwise all."""
    common = tuple(key for key in COMMON if key in metrics)
    both = (*common, *(key for key in DIAGNOSTICS if key in metrics))
    if not common:
        return {f"rank of {len(metrics)}": tuple(metrics)}
    groups = {f"rank of {len(common)}": common}
    if len(both) > len(common):
        groups[f"rank of {len(both)}"] = both
    return groups
