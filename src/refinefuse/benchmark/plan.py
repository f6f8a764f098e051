"""A plan: which methods are compared on which data sets, in one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from refinefuse.data.catalog import CATALOG
from refinefuse.data.lighting import DEGRADATIONS
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.detection.labels import Form, class_map
from refinefuse.errors import PairingError, listing, require
from refinefuse.metrics.conventions import CONVENTIONS
from refinefuse.settings import read_settings


@dataclass(frozen=True)
class MethodEntry:
    """A line of the plan that brings one method, or several.

    Args:
        source: `weights:NAME`, `folder:PATH`, `python:module:function`, `onnx:FILE`, `scores:FILE.csv`, or the name of
            a classical method or a plug-in; `classical` stands for all classical ones. In paths `{data}` is the folder
            of the data sets, `{plan}` that of the plan and `{set}` the name of the data set; `*` may stand for the
            last part of a folder, each match being a method.
        name: what tables call it; by default what the source says.
        ranked: whether it takes a place. Without one it is shown with the place that it would take if it alone joined
            the ranked ones, as copies and averages always are.
    """

    source: str
    name: str | None = None
    ranked: bool = True


@dataclass(frozen=True)
class SetEntry:
    """Two folders of aligned pictures.

    Args:
        name: what tables call it.
        a: folder of the first source (infrared, CT, MRI beside colour), relative to the folder of the data sets.
        b: folder of the second source (visible, PET, SPECT, MRI beside CT).
        pattern: which names, as in a shell; `*N` are those that end in N.
        every: take each so many of them, from the first on.
        only: just these names.
    """

    name: str
    a: str
    b: str
    pattern: str = "*"
    every: int = 1
    only: list[str] | None = None

    def __post_init__(self) -> None:
        require(bool(self.name) and self.name == Path(self.name).name, "name", "the name of a folder", self.name)
        require(self.every >= 1, "every", "1 or more", self.every)


@dataclass(frozen=True)
class LightingEntry:
    """One way in which the light on the second source gets worse, step by step.

    Args:
        kind: dark, overexposed, hazy or noisy, as in training.
        strengths: the steps, each above 0 and at most 1.
    """

    kind: str
    strengths: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75, 1.0])

    def __post_init__(self) -> None:
        require(self.kind in DEGRADATIONS, "kind", f"one of {', '.join(DEGRADATIONS)}", self.kind)
        sound = bool(self.strengths) and all(0 < strength <= 1 for strength in self.strengths)
        require(sound, "strengths", "numbers above 0 and at most 1", self.strengths)


@dataclass(frozen=True)
class GridEntry:
    """A grid of pictures with zoomed windows.

    Args:
        set: the data set.
        picture: the name of the pair.
        windows: each [x, y, width, height] in pixels; by default the one where the methods differ most.
    """

    set: str
    picture: str
    windows: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sound = all(len(w) == 4 and min(w[:2]) >= 0 and min(w[2:]) >= 4 for w in self.windows)
        require(sound, "windows", "lists of x, y, width and height, at least 4 wide and high", self.windows)


@dataclass(frozen=True)
class CostEntry:
    """What a pair costs: time, memory, arithmetic, parameters, all methods in turns in one run.

    Args:
        height: of the pair, in pixels.
        width: of the pair, in pixels.
        rounds: how many turns; the median counts.
        published: a CSV with the columns method, units, parameters, gflop and peak_mb, of methods that were measured
            elsewhere; `{plan}` and `{data}` as in a method's source.
    """

    height: int = 480
    width: int = 640
    rounds: int = 5
    published: str | None = None

    def __post_init__(self) -> None:
        for name in ("height", "width", "rounds"):
            require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))


@dataclass(frozen=True)
class LabelEntry:
    """Labels of a set.

    Args:
        set: the data set.
        form: yolo (a text file a picture), voc (an XML file a picture), coco (one JSON file) or mask (a picture of
            class numbers, of which boxes are made).
        path: their folder, or the JSON file, relative to the folder of the data sets.
        of: the data set of the catalogue whose map of classes holds; by default the one of the set's name.
        classes: a map of your own: what a label calls an object -> its class; an empty text leaves it out, a star at
            the end says that such objects were not told apart.
        name: what tables call it; by default the set's name.
    """

    set: str
    form: Form
    path: str
    of: str | None = None
    classes: dict[str, str] = field(default_factory=dict)
    name: str | None = None

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.name or self.set

    def meanings(self) -> Mapping[str, str]:
        """The map of classes.

        Raises:
            ConfigError: none is given, and the catalogue has none for this form.
        """
        return class_map(self.form, self.of or (self.set if self.set in CATALOG else None), self.classes)


@dataclass(frozen=True)
class DetectionEntry:
    """What a detector finds in each source and in each fused picture.

    Args:
        detector: FILE.onnx (YOLOX), a folder or a repository owner/name of the Hugging Face Hub (transformers), or
            boxes that were found elsewhere, FILE.json with `{set}` and `{method}` in its path; `{data}` and `{plan}` as
            in a method's source.
        labels: with what it is compared.
        classes: which classes.
        same: what the detector calls -> what that counts as: {truck: car}.
        groups: parts of a set by their names, as in a shell: {day: "*D", night: "*N"}.
        gray: also look at every picture without its colour.
    """

    detector: str
    labels: list[LabelEntry]
    classes: list[str]
    same: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    gray: bool = False

    def __post_init__(self) -> None:
        titles = [entry.title for entry in self.labels]
        require(bool(self.labels), "labels", "at least one entry", "none")
        require(len(set(titles)) == len(titles), "labels", "entries of different names", ", ".join(titles))
        require(all(t == Path(t).name for t in titles), "labels", "entries with the name of a file", ", ".join(titles))
        require(bool(self.classes), "classes", "at least one class", "none")
        require("all" not in self.groups, "groups", "names other than all", ", ".join(self.groups))


@dataclass(frozen=True)
class Plan:
    """An experiment.

    Args:
        title: the heading of the report.
        methods: what is compared; the first one is what the others are tested against.
        sets: on which pictures.
        metrics: names of metrics; usual, faults and all stand for several. None, if `detection` is asked for.
        convention: whose definitions; `refinefuse metrics` lists them.
        detection: also let a detector look at the pictures, and compare what it finds with labels.
        lighting: also fuse under worse light, and draw curves. Only methods that can be run take part.
        cost: also measure what a pair costs.
        differences: also show every method as its difference from the first one, as an ablation does.
        scenes: of each set, how many pairs the grids and the report show: those on which the methods differ most.
        grids: pairs to show instead, with windows of your choice.
    """

    title: str
    methods: list[MethodEntry]
    sets: list[SetEntry] = field(default_factory=list)
    metrics: list[str] = field(default_factory=lambda: ["usual", "faults"])
    convention: str = "cddfuse255"
    detection: DetectionEntry | None = None
    lighting: list[LightingEntry] = field(default_factory=list)
    cost: CostEntry | None = None
    differences: bool = False
    scenes: int = 2
    grids: list[GridEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.sets]
        kinds = [entry.kind for entry in self.lighting]
        require(len(self.methods) > 0, "methods", "at least one method", "none")
        require(
            bool(self.sets) or self.cost is not None, "sets", "at least one set, unless `cost` is asked for", "none"
        )
        require(len(set(names)) == len(names), "sets", "sets of different names", ", ".join(names))
        require(len(set(kinds)) == len(kinds), "lighting", "each kind once", ", ".join(kinds))
        require(self.convention in CONVENTIONS, "convention", f"one of {', '.join(CONVENTIONS)}", self.convention)
        require(bool(self.metrics) or self.detection is not None, "metrics", "at least one metric", "none")
        require(self.scenes >= 0, "scenes", "0 or more", self.scenes)
        unknown = [grid.set for grid in self.grids if grid.set not in names]
        require(not unknown, "grids", f"of the sets {', '.join(names)}", ", ".join(unknown))
        unknown = [entry.set for entry in self.detection.labels if entry.set not in names] if self.detection else []
        require(not unknown, "labels", f"of the sets {', '.join(names)}", ", ".join(unknown))


@dataclass(frozen=True)
class Places:
    """Where a plan's paths begin.

    Attributes:
        data: the folder of the data sets.
        plan: the folder of the plan.
    """

    data: Path
    plan: Path

    def fill(self, text: str, set_name: str = "{set}") -> str:
        """Put folders and the name of a set in for `{data}`, `{plan}` and `{set}`."""
        return text.replace("{data}", str(self.data)).replace("{plan}", str(self.plan)).replace("{set}", set_name)


@dataclass(frozen=True)
class PictureSet:
    """A data set as it lies on disk.

    Attributes:
        name: what tables call it.
        a: the folder of the first source.
        pairs: the pairs that the plan chose, in natural order.
    """

    name: str
    a: Path
    pairs: tuple[Pair, ...]


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        ConfigError: the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of range.
    """
    return read_settings(Plan, path, "plan", "\nThe plans that come with the project lie in recipes/benchmark.")


def find_set(entry: SetEntry, places: Places) -> PictureSet:
    """Find the pairs of a set and choose among them.

    Raises:
        PairingError: a folder is missing, a picture has no partner, or nothing is chosen.
    """
    a, b = places.data / entry.a, places.data / entry.b
    pairing = pair_folders(a, b)
    alone = [*(str(a / name) for name in pairing.only_a), *(str(b / name) for name in pairing.only_b)]
    if alone:
        raise PairingError(
            f"The set '{entry.name}' holds pictures without a partner ({len(alone)}):\n{listing(alone)}\n"
            "Remove them, or add what is missing."
        )
    pairs = [pair for pair in pairing.pairs if fnmatchcase(pair.name, entry.pattern)]
    if entry.only is not None:
        absent = sorted(set(entry.only) - {pair.name for pair in pairs})
        if absent:
            raise PairingError(f"The set '{entry.name}' has no pair of the name:\n{listing(absent)}")
        pairs = [pair for pair in pairs if pair.name in entry.only]
    if not pairs:
        raise PairingError(
            f"No pair of the set '{entry.name}' fits the pattern.\n  pattern: {entry.pattern}\n"
            f"  names:\n{listing([pair.name for pair in pairing.pairs])}"
        )
    return PictureSet(entry.name, a, tuple(pairs[:: entry.every]))
