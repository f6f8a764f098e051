"""`refinefuse export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor

    from refinefuse.network.model import RefineFuse

LIMIT = 1.0
"""Levels by which an exported network in float32 may differ from torch."""
CALIBRATION = 16
"""Pairs that scale the integers; as many others measure what was lost."""


def run(
    weights: str,
    *,
    output: Path,
    int8: bool = False,
    calibration: Path | None = None,
    opset: int = 18,
    overwrite: bool = False,
) -> int:
    """Write a network as an ONNX file, for pictures of any size, and check it against torch.

    Inputs `a` and `b`: luma in [0, 1], float32, (1, 1, height, width). Outputs `fused` and `share`, of the same size.
    `refinefuse fuse --weights FILE.onnx` uses the file, and any other runtime can.

    Args:
        weights: a shipped name, a .safetensors file, a folder, or a repository of the Hugging Face Hub.
        output: the ONNX file.
        int8: convolutions in 8-bit integers, two to three times as fast with --backend openvino; needs --calibration.
        calibration: a folder of typical pairs, in two folders `ir` and `vi` (or `a` and `b`) with the same names.
        opset: version of the ONNX operators.
        overwrite: replace a file that is there.
    """
    from refinefuse.errors import InputError
    from refinefuse.export import quantised, to_onnx
    from refinefuse.image.files import check_target, place_file
    from refinefuse.network.model import RefineFuse

    check_target(output, overwrite=overwrite, endings=(".onnx",))
    if int8 != (calibration is not None):
        raise InputError("--int8 and --calibration FOLDER belong together: integers are scaled by real pairs.")
    pairs = _pairs(calibration) if calibration else []
    network = RefineFuse.from_pretrained(weights)
    model = to_onnx(network, opset)
    if pairs:
        model = quantised(model, iter(pairs[::2]))
        _say_losses(network, model, pairs[1::2])
    else:
        _require_parity(network, model)
    place_file(output, model.SerializeToString())
    print(f"'{output}': {output.stat().st_size / 1e6:.1f} MB, opset {opset}.")
    return 0


def _pairs(folder: Path) -> list[tuple[Tensor, Tensor]]:
    """At most twice `CALIBRATION` pairs of luma, evenly over the folder."""
    from refinefuse.data.pairs import pair_folders
    from refinefuse.errors import InputError
    from refinefuse.image.color import split
    from refinefuse.inference.pictures import read_source

    named = [names for names in (("ir", "vi"), ("a", "b")) if all((folder / name).is_dir() for name in names)]
    if not named:
        raise InputError(f"'{folder}' must hold two folders of pairs, named `ir` and `vi`, or `a` and `b`.")
    pairs = pair_folders(*(folder / name for name in named[0])).pairs
    chosen = pairs[:: -(-len(pairs) // (2 * CALIBRATION))]
    if len(chosen) < 2:
        raise InputError(f"Two pairs are needed at least: one to scale, one to measure.\n  '{folder}': {len(pairs)}")
    luma = [tuple(split(read_source(path, side).image).luma for side, path in (("a", p.a), ("b", p.b))) for p in chosen]
    return [(a, b) for a, b in luma if a.shape == b.shape]


def _require_parity(network: RefineFuse, model: ModelProto) -> None:
    from refinefuse.errors import InputError
    from refinefuse.inference.backend import OnnxRuntimePainter
    from refinefuse.inference.parity import SIZES, worst_difference

    apart = worst_difference(network, OnnxRuntimePainter(model, threads=1))
    sizes = ", ".join(f"{height} x {width}" for height, width in SIZES)
    if not apart <= LIMIT:
        raise InputError(
            f"The exported network differs from torch: nothing was written.\n  expected: at most {LIMIT:g} level\n"
            f"  got: {apart:.3g} levels, over pictures of {sizes}\nTry another --opset or version of onnxruntime."
        )
    print(f"Against torch: at most {apart:.1e} levels apart, over random pictures of {sizes}.")


def _say_losses(network: RefineFuse, model: ModelProto, pairs: list[tuple[Tensor, Tensor]]) -> None:
    from refinefuse.inference.backend import OnnxRuntimePainter
    from refinefuse.inference.parity import losses

    mean, largest, table = losses(network, OnnxRuntimePainter(model, threads=1), pairs)
    print(f"Against torch, {len(pairs)} pairs that did not scale it: mean {mean:.2f} levels, at most {largest:.0f}.")
    print("\n| metric | float32 | int8 |\n|---|---|---|")
    for name, (before, after) in table.items():
        print(f"| {name} | {before:.3f} | {after:.3f} |")
