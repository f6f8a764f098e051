"""How often black-hot images are noticed, and white-hot ones suspected: one by one, and pooled as those of a folder.

Usage: python benchmarks/polarity.py DATA
DATA is the folder of the datasets. Each source `a` is looked at as it is, and inverted. Pools are of ten pairs in the
order of their names, as in a folder or a video of one camera.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.image.color import to_tensor
from refinefuse.image.files import read_image
from refinefuse.inference.inspection import PooledCheck, Preview

SETS = {
    "TNO": ("TNO/test/ir", "TNO/test/vi"),
    "RoadScene": ("RoadScene/test/ir", "RoadScene/test/vi"),
    "MSRS": ("MSRS/test/ir", "MSRS/test/vi"),
    "LLVIP": ("LLVIP/test/ir", "LLVIP/test/vi"),
    "M3SVD": ("M3SVD/test/ir", "M3SVD/test/vi"),
    "VIFB": ("VIFB/test/ir", "VIFB/test/vi"),
    "Duine": ("TNO/video/Duine/ir", "TNO/video/Duine/vi"),
    "Nato_camp": ("TNO/video/Nato_camp/ir", "TNO/video/Nato_camp/vi"),
    "M3FD": ("M3FD/train/ir", "M3FD/train/vi"),
    "FMB": ("FMB/train/ir", "FMB/train/vi"),
    "NIR_Country": ("NIR_Country/test/nir", "NIR_Country/test/vi"),
    "NIR_RS": ("NIR_RS/train/ir", "NIR_RS/train/vi"),
    "CT-MRI": ("harvard/CT-MRI/test/CT", "harvard/CT-MRI/test/MRI"),
}
POOL = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    for name, (a, b) in SETS.items():
        print(measured(name, list(pair_folders(data / a, data / b).pairs)), flush=True)


def measured(name: str, pairs: list[Pair]) -> str:
    """One line for a dataset."""
    found: dict[bool, list[bool]] = {False: [], True: []}
    pooled: dict[bool, list[bool]] = {False: [], True: []}
    seconds = 0.0
    for first in range(0, len(pairs), POOL):
        pools = {False: PooledCheck(), True: PooledCheck()}
        for pair in pairs[first : first + POOL]:
            a, b = to_tensor(read_image(pair.a)), to_tensor(read_image(pair.b))
            for inverted, pool in pools.items():
                images = (1 - a if inverted else a, b)
                start = time.process_time()
                found[inverted].append(bool(Preview(images).inspect(("polarity",), pool)))
                seconds += time.process_time() - start
        if first + POOL <= len(pairs):
            for inverted, pool in pools.items():
                pooled[inverted].append(bool(pool.warnings))
    counts = ", ".join(
        f"as they are {sum(of[False])}, inverted {sum(of[True])} of {len(of[True])}" for of in (found, pooled)
    )
    return f"{name:<12}{counts.replace(', as', '; pooled: as', 1)}; {1000 * seconds / max(1, 2 * len(pairs)):.1f} ms"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
