"""`refinefuse data split`."""

from __future__ import annotations

from pathlib import Path


def run(
    path: Path,
    *,
    output: Path,
    b: Path | None = None,
    name: str | None = None,
    scene_regex: str = "",
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Split a dataset into train.txt, val.txt and test.txt, with every scene in only one of them.

    Scenes are recognized by their file names if a pattern is given, otherwise by image content: frames of one video and
    views of one location stay together. A training recipe takes the folder of the lists as `split_dir`.

    Args:
        path: First of two image folders, or with --name the folder of the datasets.
        output: Folder for the lists.
        b: Second image folder.
        name: Dataset of the catalog to split.
        scene_regex: Regular expression for what the names of one scene have in common: its first group, or the whole
            match.
        val_fraction: Fraction of the pairs for validation.
        test_fraction: Fraction of the pairs for the test; 0 writes no test list.
        seed: Seed for the random order of the scenes.
        overwrite: Replace existing lists.
    """
    from refinefuse.data.catalog import find_dataset
    from refinefuse.data.near_duplicates import thumbnail
    from refinefuse.data.pairs import pair_folders
    from refinefuse.data.split import scenes, split_by_scene, write_lists
    from refinefuse.data.verify import all_pairs
    from refinefuse.errors import InputError
    from refinefuse.image.files import read_image
    from refinefuse.progress import progress_bar

    if (b is None) == (name is None):
        raise InputError("Choose what to split: two folders (A --b B), or a dataset of the catalog (--name NAME).")
    if b is not None:
        pairs = list(pair_folders(path, b).pairs)
    else:
        dataset = find_dataset(str(name))
        pairs, scene_regex = all_pairs(dataset, path), scene_regex or dataset.scene
    shown = progress_bar("reading", [] if scene_regex else pairs, show=None)
    seen = [[thumbnail(read_image(file)) for file in (pair.a, pair.b)] for pair in shown]
    names = [pair.name for pair in pairs]
    by_name = dict(zip(names, scenes(names, seen, scene_regex), strict=True))
    fractions = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    parts = split_by_scene(by_name, fractions, seed)
    write_lists(parts, output, overwrite=overwrite)
    counts = ", ".join(f"{part} {len(members)}" for part, members in parts.items() if members)
    print(f"{len(pairs)} pairs of {len(set(by_name.values()))} scenes: {counts}. The lists are in '{output}'.")
    return 0
