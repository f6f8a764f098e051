"""The config of a benchmark: which methods are compared on which datasets, in one YAML file."""

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
    """A line of the config that brings one method, or several.

    Args:
        spec: `weights:NAME`, `folder:PATH`, `python:module:function`, `onnx:FILE`, `scores:FILE.csv`, or the name of
            a classical method or a plug-in; `classical` stands for all classical ones. `python:` imports and runs that
            module: use only configs that you trust. `{data_root}` in a path is the folder of the datasets,
            `{config_dir}` that of the config, `{dataset}` the name of the dataset; `*` may stand for the last part of a
            folder, each match being a method.
        name: what tables call it; by default what the source says.
        ranked: whether it is ranked. An unranked method is shown with the rank that it would have if it alone joined
            the ranked ones, as copies and averages always are.
        optional: whether the run may leave it out where its images or scores are missing.
    """

    spec: str
    name: str | None = None
    ranked: bool = True
    optional: bool = False


@dataclass(frozen=True)
class DatasetEntry:
    """Two folders of aligned images.

    Args:
        name: what tables call it.
        a: folder of the first source (infrared, CT, MRI beside color), relative to the folder of the datasets.
        b: folder of the second source (visible, PET, SPECT, MRI beside CT).
        pattern: which names, as in a shell; `*N` are those that end in N.
        stride: take every so many of them, from the first on.
        names: just these.
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
    """One way in which the degradation on the second source gets worse, step by step.

    Args:
        kind: underexposure, overexposure, haze, sensor_noise or rain, as in training.
        severities: the steps, each above 0 and at most 1.
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
        dataset: the dataset.
        image: the name of the pair.
        regions: each [x, y, width, height] in pixels; by default the one where the methods differ most.
    """

    dataset: str
    image: str
    regions: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sound = all(len(w) == 4 and min(w[:2]) >= 0 and min(w[2:]) >= 4 for w in self.regions)
        check_field(sound, "regions", "lists of x, y, width and height, at least 4 wide and high", self.regions)


@dataclass(frozen=True)
class CostEntry:
    """What a pair costs: time, memory, arithmetic, parameters, all methods interleaved in one run.

    Args:
        height: of the pair, in pixels.
        width: of the pair, in pixels.
        repeats: how often each is timed; the median counts.
        published: a CSV with the columns method, relative_time, parameters, gflops and peak_memory_mb, of methods that
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
        dataset: the dataset.
        format: yolo (one text file per image), voc (one XML file per image), coco (one JSON file) or mask (an image of
            class numbers, of which boxes are made).
        path: their folder, or the JSON file, relative to the folder of the datasets.
        classes_from: the dataset of the catalog whose map of classes holds; by default the one of the dataset's name.
        classes: a map of your own: what a label calls an object -> its class; an empty text leaves it out, a star at
            the end says that such objects were not separated.
        name: what tables call it; by default the dataset's name.
    """

    dataset: str
    format: LabelFormat
    path: str
    classes_from: str | None = None
    classes: dict[str, str] = field(default_factory=dict)
    name: str | None = None

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.name or self.dataset

    def meanings(self) -> Mapping[str, str]:
        """The map of classes.

        Raises:
            ConfigError: none is given, and the catalog has none for this format.
        """
        return class_mapping(
            self.format, self.classes_from or (self.dataset if self.dataset in CATALOG else None), self.classes
        )


@dataclass(frozen=True)
class DetectionEntry:
    """What a detector finds in each source and in each fused image.

    Args:
        detector: FILE.onnx (YOLOX; others with FILE.yaml beside it), a folder or `hf://owner/name` (transformers), or
            boxes that were found elsewhere, FILE.json with `{dataset}` and `{method}` in its path; or a list of these,
            which are compared. `{data_root}` and `{config_dir}` as in a method's `spec`, and `*` in the last part.
        labels: with what it is compared.
        classes: which classes.
        class_aliases: what the detector calls -> what that counts as: {truck: car}.
        subsets: parts of a dataset by their names, as in a shell: {day: "*D", night: "*N"}.
        gray: also look at every image without its color.
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
        """All of `detector`."""
        return [self.detector] if isinstance(self.detector, str) else self.detector


@dataclass(frozen=True)
class SegmentationEntry:
    """What ready-trained segmentation networks make of each source and of each fused image.

    Args:
        network: FILE.onnx with FILE.yaml beside it, or a list of these; paths as those of detectors.
        labels: the masks with which they are compared.
        classes: which classes; of a network, those that it knows.
        class_aliases: what a network or a mask calls -> what that counts as: {rider: person}.
        subsets: parts of a dataset by their names, as in a shell: {day: "*D", night: "*N"}.
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
        """All of `network`."""
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
    """An experiment.

    Args:
        title: the heading of the report.
        methods: what is compared; the first one is what the others are tested against.
        datasets: on which images.
        metrics: names of metrics; common, diagnostics and all stand for several. None, if `detection` or
            `segmentation` is asked for.
        convention: whose definitions; `refinefuse metrics` lists them.
        detection: also let detectors look at the images, and compare what they find with labels.
        segmentation: also let segmentation networks look at the images, and compare what they say with masks.
        degradations: also fuse under worse degradation, and draw curves. Only methods that can be run take part.
        cost: also measure what a pair costs.
        paired_differences: also show every method as its difference from the first one, as an ablation does.
        scenes: of each dataset, how many pairs the grids and the report show: those on which the methods differ most.
        grids: pairs to show instead, with regions of your choice.
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
    """Whether a name is that of a file or folder here, on any system: no separators, no way out."""
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0")


def load_benchmark_config(path: Path) -> BenchmarkConfig:
    """Read a benchmark config.

    Raises:
        ConfigError: the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of range.
    """
    return read_settings(BenchmarkConfig, path, "benchmark config")
