"""The weighted average of networks that were trained from the same start.

usage: python examples/average_weights.py OUT.safetensors FIRST.safetensors 0.4 SECOND.safetensors 0.6
"""

import sys
from pathlib import Path

import refinefuse


def main(output: Path, *parts: str) -> None:
    models = [refinefuse.RefineFuse.from_pretrained(path) for path in parts[::2]]
    shares = [float(share) for share in parts[1::2]]
    if len({model.config for model in models}) != 1 or abs(sum(shares) - 1) > 1e-6:
        raise SystemExit("The networks must have one config, and the shares must sum to 1.")
    states = [model.state_dict() for model in models]
    average = {
        name: sum(share * state[name] for share, state in zip(shares, states, strict=True)) for name in states[0]
    }
    models[0].load_state_dict(average)
    models[0].save_weights(output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
