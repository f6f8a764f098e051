"""What other programs make of our files: `python tests/clients/run.py` writes the table of `docs/compatibility.md`.

`--install` installs Debian's packages of the programs that are missing; `--only WORD` runs some of them and writes
nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import exported_networks
import stills
import videos
import volumes
from document import write
from outputs import Outputs
from programs import Client

CLIENTS = (*stills.CLIENTS, *videos.CLIENTS, *volumes.CLIENTS, *exported_networks.CLIENTS)
HEADER = "| program | version | files | result |\n|---|---|---|---|"


def install(clients: tuple[Client, ...]) -> None:
    """Install what is missing, by Debian's packages."""
    missing = sorted({client.package for client in clients if not client.is_installed})
    if missing:
        root = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
        subprocess.run([*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True)


def row(client: Client, outputs: Outputs) -> tuple[str, bool]:
    """A row of the table, and whether all is well."""
    if not client.is_installed:
        return f"| {client.name} | - | {client.files} | not installed |", True
    try:
        result, good = client.check(outputs), True
    except Exception as error:  # what a library raises has no class in common
        if not isinstance(error, AssertionError):
            traceback.print_exc()
        result, good = f"**WRONG**: {' '.join(str(error).split())[:300]}", False
    return f"| {client.name} | {client.version} | {client.files} | {result} |", good


def main() -> int:
    """Exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    chosen = tuple(client for client in CLIENTS if given.only.lower() in f"{client.name} {client.files}".lower())
    if given.install:
        install(chosen)
    rows, good = [], True
    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(Path(folder))
        for client in chosen:
            text, is_good = row(client, outputs)
            print(text, flush=True)
            rows.append(text)
            good &= is_good
    if not given.only:
        write("programs", "\n".join([HEADER, *rows]))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
