"""`refinefuse doctor`."""

from __future__ import annotations

EXTRAS = {
    "align": ("SimpleITK",),
    "benchmark": ("matplotlib", "jinja2", "scipy", "pywavelets"),
    "detection": ("onnx", "onnxruntime", "faster-coco-eval", "transformers", "scipy"),
    "hub": ("huggingface-hub",),
    "medical": ("pydicom", "nibabel", "scipy", "python-gdcm"),
    "napari": ("napari", "npe2"),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "ray": ("ray", "pyarrow", "fsspec"),
    "tiff": ("imagecodecs",),
    "torchmetrics": ("torchmetrics",),
    "train": ("lightning", "pytorch-optimizer", "tensorboard"),
    "video": ("av",),
    "web": ("fastapi", "uvicorn"),
}
CORE = ("torch", "numpy", "opencv-python-headless", "tifffile", "safetensors", "jsonargparse")


def run() -> int:
    """Show what is installed: versions, devices, weights and extras.

    The exit code is 1 if something is broken.
    """
    import platform

    import refinefuse

    print(f"refinefuse {refinefuse.__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in CORE:
        print(f"  {package:<24}{_version(package)}")
    sound = True
    for title, section in (("devices", _devices), ("threads", _threads), ("weights", _weights)):
        print(title)
        try:
            for line in section():
                print(f"  {line}")
        except Exception as error:  # report anything that is broken
            sound = False
            print(f"  broken: {type(error).__name__}: {error}")
    print("extras")
    for extra, packages in EXTRAS.items():
        print(f"  {extra:<24}{', '.join(f'{package} {_version(package)}' for package in packages)}")
    return 0 if sound else 1


def _devices() -> list[str]:
    from refinefuse.inference.device import available_devices

    return [", ".join(available_devices())]


def _threads() -> list[str]:
    """Describe the threads available to this process; warn if waiting threads would take CPU time from other jobs."""
    import os

    from refinefuse.inference.resources import usable_cores

    policy = os.environ.get("OMP_WAIT_POLICY", "")
    found = [f"{usable_cores()} usable processors, OMP_WAIT_POLICY={policy}"]
    if policy.upper() != "PASSIVE":
        found.append(
            "warning: waiting threads spin, which is up to 12 times slower beside other jobs: set it to PASSIVE"
        )
    return found


def _weights() -> list[str]:
    from refinefuse.weights.store import locate, shipped

    for name in shipped():
        locate(name)
    width = max(map(len, shipped())) + 1
    return [
        f"{name:<{width}}{entry.num_parameters:,} parameters: {entry.intended_use}" for name, entry in shipped().items()
    ]


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
