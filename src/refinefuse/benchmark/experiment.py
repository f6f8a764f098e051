"""Run a benchmark config and write all outputs: scores, tables, figures, grids and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from refinefuse.atomic import write_text_atomic
from refinefuse.benchmark import figures, grids, tables
from refinefuse.benchmark.classical import CLASSICAL
from refinefuse.benchmark.config import BenchmarkConfig
from refinefuse.benchmark.cost import Cost, as_csv, costs_of
from refinefuse.benchmark.detection import Study, StudyInputs, run_studies
from refinefuse.benchmark.detection_report import StudyReport, compared_detectors
from refinefuse.benchmark.drawn import FOLDERS, FigureCache
from refinefuse.benchmark.image_datasets import ImageDataset, PathVariables, find_datasets
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.report import Scene, Section, as_html, scene
from refinefuse.benchmark.runner import Results, Runner, to_long_csv
from refinefuse.benchmark.segmentation import SegmentationStudy, run_segmentation
from refinefuse.benchmark.segmentation_tables import segmentation_sections
from refinefuse.benchmark.sources import find_methods
from refinefuse.benchmark.summary import DatasetScores, compare, mean_ranks, rank_groups, scores_of
from refinefuse.errors import InputError
from refinefuse.metrics.table import COMMON, DIAGNOSTICS
from refinefuse.scoring import rendering

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SANITY = frozenset(name for name, row in CLASSICAL.items() if row.sanity)
PANELS = 13
"""Maximum number of methods in a grid, in addition to the two sources."""


@dataclass
class Experiment:
    """A finished benchmark run.

    Attributes:
        config: benchmark config.
        results: all scores.
        studies: results of each detector, if the config has `detection`.
        segmentations: results of each segmentation network, if the config has `segmentation`.
        sections: sections of the report, by dataset.
        scenes: pairs shown in the report.
    """

    config: BenchmarkConfig
    results: Results
    studies: list[Study] = field(default_factory=list)
    segmentations: list[SegmentationStudy] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)

    @property
    def tables(self) -> list[rendering.Table]:
        """Return all tables in order."""
        return [table for section in self.sections for table in section.tables]


def run_experiment(
    config: BenchmarkConfig, variables: PathVariables, output: Path, num_workers: int, progress: bool | None
) -> Experiment:
    """Run a config, or resume an interrupted run, and write all outputs to a folder.

    Args:
        config: benchmark config.
        variables: values of the path variables in the config.
        output: output folder: scores.csv (one score per line), report.html, tables/, figures/, grids/, fused/.
        num_workers: number of processes.
        progress: show a progress bar on standard error; None only on a terminal.

    Raises:
        RefineFuseError: a dataset, a method or an extra is missing, or the folder is not writable.
    """
    with figures.style():  # fails early if the extra is missing
        sets = find_datasets(config.datasets, variables)
        methods = find_methods(config.methods, variables, [images.name for images in sets])
        _make_folders(output)
        results = Runner(config, methods, sets, output, num_workers).run(progress)
        scores_csv = to_long_csv(results, config.convention)
        write_text_atomic(output / "scores.csv", scores_csv)
        done = Experiment(config, results)
        drawn, shows = FigureCache(output), (config, scores_csv, results.failures, sorted(results.images))
        if drawn.is_finished(shows) and not results.fused and not results.scored:
            done.sections = [_overview(images, scores_of(results, methods, images), done, methods) for images in sets]
            return done
        costs = _costs(config, methods, variables, output, done)
        writer = _Writer(config, methods, output, done, costs, drawn)
        inputs = StudyInputs(variables, methods, sets, results, output, num_workers, progress)
        if config.detection is not None:
            done.studies = run_studies(config.detection, inputs)
            _report_studies(StudyReport(config, methods, results, output), done, sets)
        if config.segmentation is not None:
            done.segmentations = run_segmentation(config.segmentation, inputs)
            done.sections += segmentation_sections(done.segmentations, methods)
        scores = [scores_of(results, methods, images) for images in sets]
        for images, score in zip(sets, scores, strict=True):
            writer.write_set(images, score)
        if len(sets) > 2 and config.metrics:
            writer.write_matrix(scores)
        for table in done.tables:
            _write_table(output / "tables", table, config.convention)
        html = as_html(config.title, config.convention, done.sections, done.scenes)
        write_text_atomic(output / "report.html", html)
        if not (config.cost or config.detection or config.segmentation):  # these have inputs other than the scores
            drawn.finish(shows)
    return done


def _overview(images: ImageDataset, score: DatasetScores, done: Experiment, methods: Sequence[Method]) -> Section:
    """Create the first section of a dataset: remarks and scores."""
    section = Section(f"{images.name}, {len(images.pairs)} pairs", remarks=_remarks(images.name, done, methods))
    if score.methods and score.values:
        section.tables.append(tables.score_table(score))
    return section


def _remarks(name: str, done: Experiment, methods: Sequence[Method]) -> list[str]:
    covered = done.results.coverage
    remarks = [f"{m.name} {remark}." for m in methods for remark in covered[m.name, name].remarks]
    absent = [m.name for m in methods if not covered[m.name, name].found]
    if absent:
        remarks.append(f"Not compared, because there are no results: {', '.join(absent)}.")
    return [*remarks, *(text for text in done.results.failures if f", {name}" in text.partition(":")[0])]


def _make_folders(output: Path) -> None:
    try:
        for name in FOLDERS:
            (output / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot create the folder '{output}': {error.strerror}.\nChoose another folder.") from None


def _write_table(folder: Path, table: rendering.Table, convention: str) -> None:
    write_text_atomic(folder / f"{table.key}.md", f"{table.title}\n\n{rendering.markdown(table)}")
    write_text_atomic(folder / f"{table.key}.tex", rendering.latex(table, convention))
    write_text_atomic(folder / f"{table.key}.csv", rendering.as_csv(table))


def _costs(
    config: BenchmarkConfig, methods: Sequence[Method], variables: PathVariables, output: Path, done: Experiment
) -> list[Cost]:
    if config.cost is None:
        return []
    published = Path(variables.fill(config.cost.published)) if config.cost.published else None
    costs = costs_of(config.cost, methods, published, output / "measured-cost.csv")
    write_text_atomic(output / "cost.csv", as_csv(costs))
    done.sections.append(Section("Cost", [tables.cost_table(costs, config.cost.height, config.cost.width)]))
    return costs


def _report_studies(report: StudyReport, done: Experiment, sets: Sequence[ImageDataset]) -> None:
    by_name = {images.name: images for images in sets}
    done.sections += compared_detectors(done.studies, report.methods)
    for study in done.studies:
        report.write_boxes(study, sets)
        for comparison in study.comparisons:
            dataset = comparison.entry.dataset
            failures = [text for text in study.failures if f", {dataset}, " in text.partition(":")[0]]
            section = report.section(comparison, failures)
            report.write_missed(study, comparison, by_name[dataset], section)
            done.sections.append(section)
            if study is done.studies[0]:
                done.scenes += report.scenes(study, comparison, by_name[dataset])


class _Writer:
    """Writes the sections of each dataset."""

    def __init__(
        self,
        config: BenchmarkConfig,
        methods: Sequence[Method],
        output: Path,
        done: Experiment,
        costs: Sequence[Cost],
        drawn: FigureCache,
    ) -> None:
        self.config, self.methods, self.output, self.done, self.costs = config, methods, output, done, costs
        self.reference = methods[0].name
        self.drawn = drawn

    def write_set(self, images: ImageDataset, score: DatasetScores) -> None:
        """Write tables, figures and grids of one dataset."""
        section = _overview(images, score, self.done, self.methods)
        self.done.sections.append(section)
        if not section.tables:
            return
        groups = rank_groups(list(score.values))
        for title, metrics in groups.items():
            self._compare(section, score, title.removeprefix("rank of "), metrics)
        if self.config.paired_differences and self.reference in score.values[self.done.results.metrics[0]]:
            section.tables.append(tables.difference_table(score, self.reference))
        self._scatter(section, score, next(iter(groups.values())))
        if self.config.degradations:
            running = [m.name for m in self.methods if m.runs and m.name in score.complete]
            section.tables.append(tables.robustness_table(self.done.results.rows, images.name, running))
            rows = [row for row in self.done.results.rows if row.dataset == images.name]
            self._draw(
                section,
                f"{images.name}-degradations",
                "How much of the clean scene is kept as degradation gets worse",
                (rows, running),
                lambda: figures.robustness_curves(rows, images.name, running),
            )
        self._grids(section, images, score)

    def write_matrix(self, scores: Sequence[DatasetScores]) -> None:
        """Write one table per metric with all datasets side by side."""
        families = {entry.name: entry.a.partition("/")[0] for entry in self.config.datasets}
        section = Section("Across sets")
        for metric in self.done.results.metrics:
            section.tables.append(tables.matrix_table(scores, metric, self.methods, families))
        self.done.sections.insert(1 if self.costs else 0, section)

    def _compare(self, section: Section, score: DatasetScores, count: str, metrics: Sequence[str]) -> None:
        what = _what(metrics)
        if len(score.ranked(metrics)) < 2:
            return
        self._draw(
            section,
            f"{score.dataset}-ranks-{count}",
            f"Ranks by the means of the {what}",
            (score, metrics),
            lambda: figures.rank_map(score, metrics, f"{score.dataset}: ranks in the {what}"),
        )
        comparison = compare(score, metrics, self.reference)
        if comparison is not None:
            section.tables.append(tables.comparison_table(score.dataset, comparison, what, count))
            title = f"{score.dataset}: average rank over the {what}"
            self._draw(
                section,
                f"{score.dataset}-critical-difference-{count}",
                f"Critical differences, {what}; a bar joins methods that do not differ significantly",
                (comparison, title),
                lambda: figures.critical_difference(comparison, title),
            )
        if self.costs:
            ranks = mean_ranks(score, metrics)
            ours = [m.name for m in self.methods if m.kind == "weights"]
            ranked = {name: rank for name, rank in ranks.items() if name in score.ranked(metrics) or name in ours}
            axis = f"mean rank over the {what}"
            self._draw(
                section,
                f"{score.dataset}-quality-cost-{count}",
                f"Quality against cost, {what}",
                (ranked, self.costs, ours, axis),
                lambda: figures.trade_off(ranked, self.costs, ours, axis, score.dataset),
            )

    def _scatter(self, section: Section, score: DatasetScores, metrics: Sequence[str]) -> None:
        """Plot the reference against the best other method, for all metrics that both have."""
        ranks = mean_ranks(score, metrics)
        rivals = [name for name in score.ranked(metrics) if name != self.reference]
        if self.reference not in ranks or not rivals:
            return
        rival = min(rivals, key=lambda name: ranks[name])
        shared = [key for key in score.values if rival in score.ranked([key])]
        self._draw(
            section,
            f"{score.dataset}-images",
            f"Image by image against {rival}",
            (score, self.reference, rival, shared),
            lambda: figures.scatter(score, self.reference, rival, shared, score.dataset),
        )

    def _draw(self, section: Section, name: str, caption: str, shows: object, make: Callable[[], Figure]) -> None:
        section.figures[caption] = self.drawn.draw(self.output / "figures" / name, shows, make)

    def _grids(self, section: Section, images: ImageDataset, score: DatasetScores) -> None:
        """Create the scenes of the slider and their grids."""
        fused = {(method, name) for method, name, _ in self.done.results.images}
        names = [m.name for m in self.methods if (m.name, score.dataset) in fused and m.name in score.complete]
        if not names:
            return
        asked = {grid.image: grid.regions for grid in self.config.grids if grid.dataset == images.name}
        unknown = sorted(set(asked) - set(score.images))
        if unknown:
            raise InputError(
                f"`grids` names the pair '{unknown[0]}', but the dataset '{images.name}' has no pair of that name."
            )
        chosen = [key for key in DIAGNOSTICS if key in score.values] or list(score.values)
        for image in list(asked) or grids.select_scenes(score, names, self.config.scenes):
            shown = self._shown(images, image, names)
            self.done.scenes.append(scene(f"{images.name}, {image}", shown))
            best = self._best(score, names, chosen)
            panels = {name: shown[name] for name in [*list(shown)[:2], *best]}
            windows = asked.get(image) or [grids.select_zoom_region([shown[name] for name in best])]
            path = self.output / "grids" / f"{images.name}-{image}"
            self.drawn.draw(path, (panels, windows), partial(grids.grid, panels, windows))

    def _best(self, score: DatasetScores, names: Sequence[str], metrics: Sequence[str]) -> list[str]:
        """Select the methods of a grid: the reference, then the best others, ranked before unranked ones."""
        both = [key for key in (*COMMON, *metrics) if key in score.values]
        ranks = mean_ranks(score, both)
        ranked = set(score.ranked(both))
        others = sorted(
            [name for name in names if name not in SANITY] or names,
            key=lambda n: (n != self.reference, n not in ranked, ranks.get(n, 1e9)),
        )
        return others[:PANELS]

    def _shown(self, images: ImageDataset, name: str, methods: Sequence[str]) -> Mapping[str, grids.Shown]:
        pair = next(pair for pair in images.pairs if pair.name == name)
        found = {"a": grids.to_display(pair.a, pair.a), "b": grids.to_display(pair.b, pair.b)}
        for method in methods:
            found[method] = grids.to_display(self.done.results.images[method, images.name, name], pair.b)
        return found


def _what(metrics: Sequence[str]) -> str:
    if set(metrics) <= set(COMMON):
        return f"{len(metrics)} common metrics"
    if set(metrics) <= {*COMMON, *DIAGNOSTICS}:
        diagnostics = sum(key in DIAGNOSTICS for key in metrics)
        common = f"{len(metrics) - diagnostics} common metrics and " if diagnostics < len(metrics) else ""
        return f"{common}{diagnostics} diagnostics"
    return f"{len(metrics)} metrics"
