"""`refinefuse doctor`."""

from __future__ import annotations

EXTRAS = {"hub": ("huggingface-hub",), "train": ("lightning", "tensorboard")}
CORE = ("torch", "numpy", "opencv-python-headless", "tifffile", "safetensors", "jsonargparse")


def doctor() -> int:
    """Say what is installed: versions, devices, weights and extras.

    Exits with 1 if weights that ship with the package are damaged.
    """
    import platform

    import refinefuse
    from refinefuse.errors import WeightsError
    from refinefuse.inference.device import available_devices
    from refinefuse.weights.store import locate, shipped

    print(f"refinefuse {refinefuse.__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in CORE:
        print(f"  {package:<24}{_version(package)}")
    print("devices")
    print(f"  {', '.join(available_devices())}")
    print("weights")
    sound = True
    for name, entry in shipped().items():
        try:
            locate(name)
            state = f"{entry.parameters:,} parameters: {entry.purpose}"
        except WeightsError as error:
            sound, state = False, f"damaged: {error}"
        print(f"  {name:<24}{state}")
    print("extras")
    for extra, packages in EXTRAS.items():
        versions = ", ".join(f"{package} {_version(package)}" for package in packages)
        print(f"  {extra:<24}{versions}")
    return 0 if sound else 1


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
