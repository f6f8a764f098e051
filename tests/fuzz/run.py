"""Fuzz every reader: `python tests/fuzz/run.py --inputs 10000`. Inputs that fail are kept in the folder `--keep`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import fuzz
from readers import READERS


def main() -> int:
    """Print a row per reader and every kind of failure; exit with 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="damaged files over all readers together")
    parser.add_argument("--readers", nargs="*", default=list(READERS), choices=list(READERS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"))
    options = parser.parse_args()
    failures = 0
    print(f"{'reader':<16}{'inputs':>8}{'result':>8}{'refused':>8}{'failures':>8}")
    for name in options.readers:
        count = -(-options.inputs // len(options.readers))
        outcomes = list(fuzz(name, count, options.seed, options.keep))
        kinds = Counter(outcome.kind for outcome in outcomes)
        wrong = [outcome for outcome in outcomes if not outcome.is_right]
        print(f"{name:<16}{count:>8}{kinds['result']:>8}{kinds['refused']:>8}{len(wrong):>8}", flush=True)
        for (kind, detail), times in Counter((one.kind, one.detail) for one in wrong).most_common(20):
            print(f"    {times} x {kind}: {detail}", flush=True)
        failures += len(wrong)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
