"""What `mutants.py` changes, which tests must notice, and which changes make no difference."""

GOLDEN = "tests/golden/test_golden.py"

AREAS: dict[str, tuple[list[str], list[str]]] = {
    "network": (["network/*.py"], [GOLDEN, "tests/network"]),
    "losses": (["losses.py"], ["tests/losses"]),
    "metrics": (
        ["metrics/*.py"],
        [
            "tests/metrics/test_values.py",
            "tests/metrics/test_spurious.py",
            "tests/tools/test_metrics_guide.py",
            "tests/metrics/test_table.py",
            "tests/metrics/test_constant.py",
            "tests/metrics/test_evaluate.py",
        ],
    ),
    "color": (["image/color.py"], ["tests/image/test_color_results.py", GOLDEN, "tests/image/test_color.py"]),
    "tiling": (["inference/tiling.py"], ["tests/inference/test_tile_memory.py", "tests/inference/test_tiling.py"]),
    "medical intensity": (
        ["image/medical/intensity.py"],
        ["tests/image/medical/test_intensity.py", "tests/image/medical/test_volume.py"],
    ),
    "training": (
        ["training/task.py", "training/train.py", "training/recipe.py", "data/crops.py"],
        [
            "tests/training/test_recipe_bounds.py",
            "tests/training/test_guards.py",
            "tests/training/test_average.py",
            "tests/training/test_task.py",
            "tests/training/test_zoom.py",
            "tests/training/test_trainer.py",
            "tests/training/test_objects.py",
            "tests/training/test_train.py",
        ],
    ),
}
"""By area: the modules, as patterns below the package, and the tests in the order in which they are run."""

PRELOADED = ("torch", "numpy", "cv2", "hypothesis", "safetensors.torch", "lightning.pytorch", "pytorch_optimizer")
"""Libraries that every process starts with; the package itself is none of them."""

EQUIVALENT = [
    (
        "*",
        r"strict=True.*->.*strict=False",
        "what is zipped has one length; `strict` guards against a slip in later changes",
    ),
    ("*", "@cached  ->", "the same value, computed once more: slower"),
    ("*", "@lru_cache  ->", "the same value, computed once more: slower"),
    ("network/pretrained.py", "@abstractmethod  ->", "nobody makes an instance of the base class"),
    ("image/color.py", 'color >= "both"', "of `a`, `b` and `both` only the last is not less than `both`"),
    ("image/color.py", r"itemsize == 1.*->.*itemsize (==|is) 0", "32 bits on the way to 8: the same values, slower"),
    ("image/color.py", r"copy=False.*->.*copy=True", "the same values, copied once more"),
    ("image/color.py", r"chroma\[:, 1: 3\]", "chroma has two channels: the slice ends with the second"),
    ("image/medical/intensity.py", r"\"percentile\", 1, _HOTTEST", "of this range only the upper end is used"),
    ("image/medical/intensity.py", r"\[:, 0, ::-1\].*->.*\[:, -1, ::-1\]", "there is one column"),
    ("image/medical/intensity.py", r"else -1\.0$", "anything below the threshold is no warning"),
    ("metrics/evaluate.py", r"triplet\[ ?1\]\.shape", "all three have one shape"),
    ("data/crops.py", r"plane\.shape\[ ?-1\] > size", "crops are square"),
    ("network/config.py", r"% 4 <= 0", "no remainder of a positive number is less than 0"),
    ("data/crops.py", "side is self.size", "a crop of that size is resized to itself"),
    ("data/crops.py", "if not turn >= 4", "the same eight symmetries by other numbers"),
    ("data/crops.py", r"dtype <= np\.uint8", "planes are uint8 or float32"),
    ("data/crops.py", r"rng\.random\(\) <= ", "a random number is never exactly the probability"),
    ("metrics/structure.py", 'reduce >= "sum"', "of `mean` and `sum` only the last is not less than `sum`"),
    ("metrics/evaluate.py", r"x\.shape\[1\] == 0", "the weights of luma sum to 1: a gray image is its own luma"),
    ("metrics/conventions.py", "stretch=True.*->.*stretch=False", "of whole levels a stretch makes no two the same"),
    ("metrics/vif.py", r"_SMALLEST = \( ?1[68],", "the finest scale is always there"),
    ("metrics/statistics.py", r"first\) \* \(keys", "of truth values `*` is `&`"),
    ("metrics/statistics.py", r"2\*\*15.*->", "the size of strips decides only the speed"),
    ("*", r"inplace=True.*->.*inplace=False", "the same values, in new memory"),
    ("metrics/similarity.py", "1e-6", "a constant that only keeps 0 / 0 from being no number"),
    ("metrics/similarity.py", "2e-16", "a constant that only keeps 0 / 0 from being no number"),
]
"""Module, what the change looks like as it is printed, and why it makes no difference."""
