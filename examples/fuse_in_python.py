"""Fuse pairs in Python: write sample pairs, load the weights once, fuse, ask where each pixel came from, and score.

usage: python examples/fuse_in_python.py FOLDER
"""

import sys
from pathlib import Path

import torch

import refinefuse
from refinefuse.samples import write_samples


def main(folder: Path) -> None:
    write_samples(folder, overwrite=True)
    infrared, visible = (refinefuse.read_image(folder / part / "smoke.png") for part in ("ir", "vi"))

    fuser = refinefuse.Fuser(device="cpu")
    fused, weight_map = fuser.fuse(infrared, visible, return_weight_map=True)
    refinefuse.write_image(folder / "smoke_fused.png", fused, overwrite=True)
    print(
        f"fused {fused.shape} {fused.dtype}; on average {100 * weight_map.mean():.0f} % of a pixel comes from infrared"
    )

    # Tensors come back as tensors: here a batch of two, in [0, 1].
    a, b = torch.rand(2, 2, 1, 96, 128)
    print(f"a batch of tensors: {tuple(fuser(a, b).shape)}")

    # Metrics take levels 0..255.
    gray = [torch.from_numpy(plane)[None, None].float() for plane in (infrared, visible[..., 1])]
    fused_gray = torch.from_numpy(fused[..., 1])[None, None].float()
    scores = refinefuse.metrics.evaluate(fused_gray, *gray, metrics=["VIF", "Qabf", "edge_recall", "missed_targets"])
    print({name: round(value.item(), 3) for name, value in scores.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
