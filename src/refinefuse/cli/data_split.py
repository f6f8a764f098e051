"""`refinefuse data split`."""

from __future__ import annotations

from pathlib import Path


def run(
    path: Path,
    *,
    output: Path,
    b: Path | None = None,
    name: str | None = None,
    scene: str = "",
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Write lists train.txt, val.txt and test.txt, so that images of one scene stay on one side.

    Scenes are told by the names where a pattern says how, else by the looks of the images: frames of one video and
    views of one place stay together. A recipe takes the folder of the lists as `lists` of a set.

    Args:
        path: the first of two folders of your own, or the folder of your datasets with --name.
        output: the folder for the lists.
        b: the second folder of your own.
        name: split_by_scene this dataset of the catalog.
        scene: a regular expression for what the names of one scene have in common; its first group if it has one.
        val: share of the pairs for validation.
        test: share of the pairs for the test; 0 writes no test list.
        seed: of the order in which scenes are drawn.
        overwrite: replace lists that are there.
    """
    import sys

    from tqdm import tqdm

    from refinefuse.data.catalog import find_dataset
    from refinefuse.data.near_duplicates import thumbnail
    from refinefuse.data.pairs import pair_folders
    from refinefuse.data.split import scenes, split_by_scene, write_lists
    from refinefuse.data.verify import all_pairs
    from refinefuse.errors import InputError
    from refinefuse.image.files import read_image

    if (b is None) == (name is None):
        raise InputError(
            "Say what to split_by_scene: two folders (A --b B), or a dataset of the catalog (--name NAME)."
        )
    if b is not None:
        pairs = list(pair_folders(path, b).pairs)
    else:
        row = find_dataset(str(name))
        pairs, scene = all_pairs(row, path), scene or row.scene
    bar = tqdm(pairs, desc="reading", unit="pair", file=sys.stderr, disable=True if scene else None)
    seen = [] if scene else [[thumbnail(read_image(file)) for file in (pair.a, pair.b)] for pair in bar]
    names = [pair.name for pair in pairs]
    by_name = dict(zip(names, scenes(names, seen, scene), strict=True))
    parts = split_by_scene(by_name, {"train": 1 - val - test, "val": val, "test": test}, seed)
    write_lists(parts, output, overwrite=overwrite)
    counts = ", ".join(f"{part} {len(members)}" for part, members in parts.items() if members)
    print(f"{len(pairs)} pairs of {len(set(by_name.values()))} scenes: {counts}. The lists are in '{output}'.")
    return 0
