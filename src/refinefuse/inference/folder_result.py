"""What became of a run over files or folders."""

from __future__ import annotations

from dataclasses import dataclass, field

from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.inspection import PairWarning


@dataclass
class FolderResult:
    """What became of a run.

    Attributes:
        fused: names of the pairs that were fused now.
        skipped: names of the pairs whose results exist.
        failed: what went wrong, by the name of the pair.
        unpaired: the files without a counterpart.
        warnings: what looks wrong, by the name of the pair.
        pooled_warnings: what looks wrong with the first pairs of a folder together, as those of one rig.
        ranges: the fixed ranges of the sources but the last, if ranges were fitted.
    """

    fused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)
    warnings: dict[str, tuple[PairWarning, ...]] = field(default_factory=dict)
    pooled_warnings: tuple[PairWarning, ...] = ()
    ranges: list[IntensityRange] = field(default_factory=list)
