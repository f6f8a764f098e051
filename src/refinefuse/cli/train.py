"""`refinefuse train`."""

from __future__ import annotations

from pathlib import Path


def run(recipe: Path, *, output: Path, data: Path | None = None, workers: int = 1) -> int:
    """Train weights by a recipe, or go on with a run that was stopped.

    Needs the extra `train`. The same call with the same output folder goes on from the last checkpoint.

    Args:
        recipe: a YAML file such as recipes/infrared-visible.yaml.
        output: the folder of the run: recipe, checkpoint, logs (TensorBoard and CSV), and at the end the weights.
        data: the folder below which the recipe's sets lie; by default the environment variable REFINEFUSE_DATA.
        workers: processes that cut crops beside the training.
    """
    import os

    from refinefuse.errors import InputError, MissingExtra
    from refinefuse.inference.device import keep_freed_memory

    root = data or os.environ.get("REFINEFUSE_DATA")
    if not root or not Path(root).is_dir():
        got = f"'{root}', which is no folder" if root else "nothing"
        raise InputError(
            f"Training needs the folder of the data sets.\n  got: {got}\nGive --data, or set REFINEFUSE_DATA."
        )
    keep_freed_memory()
    try:
        from refinefuse.training.recipe import load_recipe
        from refinefuse.training.train import train
    except ImportError as error:
        if error.name is None or not error.name.startswith("lightning"):
            raise
        raise MissingExtra("lightning", "train", "Training") from error
    weights = train(load_recipe(recipe), Path(root), output, workers=workers)
    print(f"The weights are in '{weights}'. Try them: refinefuse fuse A B -o OUT --weights '{weights}'")
    return 0
