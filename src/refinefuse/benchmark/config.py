"""Benchmark config: the methods and datasets to compare, in one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refinefuse.data.catalog import CATALOG
from refinefuse.data.degradations import DEGRADATIONS
from refinefuse.detection.labels import LabelFormat, class_mapping
from refinefuse.errors import check_field, field_checks
from refinefuse.metrics.conventions import CONVENTIONS
from refinefuse.segmentation.evaluation import OTHER
from refinefuse.settings import read_settings


@dataclass(frozen=True)
class MethodEntry:
    """Config entry of one or several methods.

    Args:
        spec: `weights:NAME`, `folder:PATH`, `python:module:function`, `onnx:FILE`, `scores:FILE.csv`, or the name of
            a classical method or a plug-in; `classical` selects all classical ones. `python:` imports and runs that
            module: use only configs that you trust. In paths, `{data_root}` is the data root, `{config_dir}` the folder
            of the config and `{dataset}` the name of the dataset; the last part of a folder may contain `*`, and each
            match is a method.
        name: name in tables; by default derived from the spec.
        ranked: whether it is ranked. An unranked method is shown with the rank it would have if it alone were added to
            the ranked ones; copies and averages are always unranked.
        optional: whether to skip it where its images or scores are missing.
    """

    spec: str
    name: str | None = None
    ranked: bool = True
    optional: bool = False


@dataclass(frozen=True)
class DatasetEntry:
    """Two folders of aligned images.

    Args:
        name: name in tables.
        a: folder of the first source (infrared, CT, MRI paired with color), relative to the data root.
        b: folder of the second source (visible, PET, SPECT, MRI paired with CT).
        pattern: glob pattern of the file names; `*N` matches names that end in N.
        stride: keep every n-th pair, starting with the first.
        names: names of the pairs to use; by default all.
    """

    name: str
    a: str
    b: str
    pattern: str = "*"
    stride: int = 1
    names: list[str] | None = None

    def __post_init__(self) -> None:
        check_field(is_folder_name(self.name), "name", "the name of a folder", self.name)
        check_field(self.stride >= 1, "stride", "1 or more", self.stride)


@dataclass(frozen=True)
class DegradationEntry:
    """A degradation of the second source at increasing severities.

    Args:
        kind: underexposure, overexposure, haze, sensor_noise or rain, as in training.
        severities: severities, each above 0 and at most 1.
    """

    kind: str
    severities: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75, 1.0])

    def __post_init__(self) -> None:
        check_field(self.kind in DEGRADATIONS, "kind", f"one of {', '.join(DEGRADATIONS)}", self.kind)
        sound = bool(self.severities) and all(0 < strength <= 1 for strength in self.severities)
        check_field(sound, "severities", "numbers above 0 and at most 1", self.severities)


@dataclass(frozen=True)
class GridEntry:
    """A grid of images with zoomed regions.

    Args:
        dataset: name of the dataset.
        image: name of the pair.
        regions: regions [x, y, width, height] in pixels; by default the one where the methods differ most.
    """

    dataset: str
    image: str
    regions: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sound = all(len(w) == 4 and min(w[:2]) >= 0 and min(w[2:]) >= 4 for w in self.regions)
        check_field(sound, "regions", "lists of x, y, width and height, at least 4 wide and high", self.regions)


@dataclass(frozen=True)
class CostEntry:
    """Cost measurement per pair: time, memory, FLOPs and parameters, with all methods interleaved in one run.

    Args:
        height: image height in pixels.
        width: image width in pixels.
        repeats: number of timings of each method; the median is reported.
        published: CSV with the columns method, relative_time, parameters, gflops and peak_memory_mb, for methods that
            were measured elsewhere; `{config_dir}` and `{data_root}` as in a method's `spec`.
    """

    height: int = 480
    width: int = 640
    repeats: int = 5
    published: str | None = None

    def __post_init__(self) -> None:
        for name in ("height", "width", "repeats"):
            check_field(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))


@dataclass(frozen=True)
class LabelEntry:
    """Labels of a dataset.

    Args:
        dataset: name of the dataset.
        format: yolo (one text file per image), voc (one XML file per image), coco (one JSON file) or mask (an image of
            class numbers, from which boxes are derived).
        path: folder of the labels, or the JSON file, relative to the data root.
        classes_from: catalog dataset whose class mapping is used; by default the one with the dataset's name.
        classes: class mapping: class in the label file -> target class; an empty string drops the class, a trailing
            star makes its boxes ignore regions.
        name: name in tables; by default the dataset's name.
    """

    dataset: str
    format: LabelFormat
    path: str
    classes_from: str | None = None
    classes: dict[str, str] = field(default_factory=dict)
    name: str | None = None

    @property
    def title(self) -> str:
        """Name in tables."""
        return self.name or self.dataset

    def meanings(self) -> Mapping[str, str]:
        """Return the class mapping.

        Raises:
            ConfigError: neither the entry nor the catalog has a mapping for this format.
        """
        return class_mapping(
            self.format, self.classes_from or (self.dataset if self.dataset in CATALOG else None), self.classes
        )


@dataclass(frozen=True)
class DetectionEntry:
    """Evaluation of detectors on each source and each fused image.

    Args:
        detector: FILE.onnx (YOLOX; others with FILE.yaml beside it), a folder or `hf://owner/name` (transformers), or
            existing detections, FILE.json with `{dataset}` and `{method}` in its path; or a list of these to compare.
            `{data_root}` and `{config_dir}` as in a method's `spec`; the last part may contain `*`.
        labels: labels for the evaluation.
        classes: classes to evaluate.
        class_aliases: class of the detector -> class to evaluate it as: {truck: car}.
        subsets: glob patterns that divide a dataset by name: {day: "*D", night: "*N"}.
        gray: also evaluate on grayscale versions of all images.
    """

    detector: str | list[str]
    labels: list[LabelEntry]
    classes: list[str]
    class_aliases: dict[str, str] = field(default_factory=dict)
    subsets: dict[str, str] = field(default_factory=dict)
    gray: bool = False

    def __post_init__(self) -> None:
        check_field(bool(self.detectors), "detector", "at least one", "none")
        _check_labels(self.labels, self.classes, self.subsets)

    @property
    def detectors(self) -> list[str]:
        """`detector` as a list."""
        return [self.detector] if isinstance(self.detector, str) else self.detector


@dataclass(frozen=True)
class SegmentationEntry:
    """Evaluation of pretrained segmentation networks on each source and each fused image.

    Args:
        network: FILE.onnx with FILE.yaml beside it, or a list of these; paths as for detectors.
        labels: masks for the evaluation.
        classes: classes to evaluate; classes that a network lacks are skipped for it.
        class_aliases: class of a network or mask -> class to evaluate it as: {rider: person}.
        subsets: glob patterns that divide a dataset by name: {day: "*D", night: "*N"}.
    """

    network: str | list[str]
    labels: list[LabelEntry]
    classes: list[str]
    class_aliases: dict[str, str] = field(default_factory=dict)
    subsets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_field(bool(self.networks), "network", "at least one", "none")
        _check_labels(self.labels, self.classes, self.subsets)
        formats = {entry.format for entry in self.labels}
        check_field(formats == {"mask"}, "format", "mask, for segmentation", ", ".join(sorted(formats)))
        distinct = len(set(self.classes)) == len(self.classes) < OTHER
        check_field(distinct, "classes", f"different names, fewer than {OTHER}", ", ".join(self.classes))

    @property
    def networks(self) -> list[str]:
        """`network` as a list."""
        return [self.network] if isinstance(self.network, str) else self.network


def _check_labels(labels: list[LabelEntry], classes: list[str], subsets: dict[str, str]) -> None:
    titles = [entry.title for entry in labels]
    check_field(bool(labels), "labels", "at least one entry", "none")
    check_field(len(set(titles)) == len(titles), "labels", "entries with different names", ", ".join(titles))
    check_field(
        all(is_folder_name(t) for t in titles), "labels", "entries whose names can be file names", ", ".join(titles)
    )
    check_field(bool(classes), "classes", "at least one class", "none")
    check_field("all" not in subsets, "subsets", "names other than all", ", ".join(subsets))


@dataclass(frozen=True)
class BenchmarkConfig:
    """Config of a benchmark.

    Args:
        title: heading of the report.
        methods: methods to compare; the first one is the reference of the tests.
        datasets: datasets of image pairs.
        metrics: names of metrics, or the groups common, diagnostics and all. May be empty with `detection` or
            `segmentation`.
        convention: convention of the metrics' definitions; `refinefuse metrics` lists them.
        detection: also run detectors on the images and evaluate them against labels.
        segmentation: also run segmentation networks on the images and evaluate them against masks.
        degradations: also fuse degraded sources and plot robustness curves, for methods that can be run.
        cost: also measure the cost per pair.
        paired_differences: also report the difference of every method from the first one, as in an ablation.
        scenes: number of pairs per dataset in the grids and the report: those on which the methods differ most.
        grids: pairs to show instead, with optional regions.
    """

    title: str
    methods: list[MethodEntry]
    datasets: list[DatasetEntry] = field(default_factory=list)
    metrics: list[str] = field(default_factory=lambda: ["common", "diagnostics"])
    convention: str = "cddfuse255"
    detection: DetectionEntry | None = None
    segmentation: SegmentationEntry | None = None
    degradations: list[DegradationEntry] = field(default_factory=list)
    cost: CostEntry | None = None
    paired_differences: bool = False
    scenes: int = 2
    grids: list[GridEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        with field_checks() as check:
            names = [entry.name for entry in self.datasets]
            kinds = [entry.kind for entry in self.degradations]
            check(len(self.methods) > 0, "methods", "at least one method", "none")
            check(
                bool(self.datasets) or self.cost is not None,
                "datasets",
                "at least one dataset, unless `cost` is set",
                "none",
            )
            check(len(set(names)) == len(names), "datasets", "datasets with different names", ", ".join(names))
            check(len(set(kinds)) == len(kinds), "degradations", "each kind once", ", ".join(kinds))
            check(self.convention in CONVENTIONS, "convention", f"one of {', '.join(CONVENTIONS)}", self.convention)
            studies = [study for study in (self.detection, self.segmentation) if study is not None]
            check(bool(self.metrics) or bool(studies), "metrics", "at least one metric", "none")
            check(self.scenes >= 0, "scenes", "0 or more", self.scenes)
            unknown = [grid.dataset for grid in self.grids if grid.dataset not in names]
            check(not unknown, "grids", f"of the datasets {', '.join(names)}", ", ".join(unknown))
            unknown = [entry.dataset for study in studies for entry in study.labels if entry.dataset not in names]
            check(not unknown, "labels", f"of the datasets {', '.join(names)}", ", ".join(unknown))


def is_folder_name(name: str) -> bool:
    """Whether a name is a plain file or folder name on any system, without separators or `..`."""
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0")


def load_benchmark_config(path: Path) -> BenchmarkConfig:
    """Read a benchmark config.

    Raises:
        ConfigError: the file is missing or not YAML, or has an unknown key, a value of the wrong type or out of range.
    """
    return read_settings(BenchmarkConfig, path, "benchmark config")
