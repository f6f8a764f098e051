"""A plan: which methods are compared on which data sets, in one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from refinefuse.data.lighting import DEGRADATIONS
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import ConfigError, PairingError, listing, require
from refinefuse.metrics.conventions import CONVENTIONS


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
class Plan:
    """An experiment.

    Args:
        title: the heading of the report.
        methods: what is compared; the first one is what the others are tested against.
        sets: on which pictures.
        metrics: names of metrics; usual, faults and all stand for several.
        convention: whose definitions; `refinefuse metrics` lists them.
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
        require(bool(self.metrics), "metrics", "at least one metric", "none")
        require(self.scenes >= 0, "scenes", "0 or more", self.scenes)
        unknown = [grid.set for grid in self.grids if grid.set not in names]
        require(not unknown, "grids", f"of the sets {', '.join(names)}", ", ".join(unknown))


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
    if not path.is_file():
        raise ConfigError(f"There is no plan '{path}'.\nThe plans that come with the project lie in recipes/benchmark.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Plan)
    try:
        return Plan(**vars(parser.instantiate(parser.parse_path(str(path)))))
    except ConfigError:
        raise
    except (ArgumentError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"The plan '{path}' cannot be used.\n  {error}") from error


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
