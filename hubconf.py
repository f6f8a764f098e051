"""Entry of `torch.hub`: `torch.hub.load("OWNER/refinefuse", "refinefuse", weights="infrared-visible")`."""

import torch

dependencies = ["torch", "numpy", "safetensors", "jaxtyping"]


def refinefuse(weights: str = "infrared-visible", *, device: str = "cpu") -> torch.nn.Module:
    """A trained network in evaluation mode: `model(a, b)` fuses luma in [0, 1], (n, 1, h, w).

    Args:
        weights: a shipped name, a .safetensors file, a folder that `save_pretrained` wrote, or
            `hf://owner/name` on the Hugging Face Hub.
        device: where to load it.
    """
    import sys
    from pathlib import Path

    source = str(Path(__file__).parent / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    from refinefuse.network.model import RefineFuse

    return RefineFuse.from_pretrained(weights).to(device)
