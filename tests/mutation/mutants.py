"""Mutation testing: change the code at many positions, one at a time, and see whether a test fails.

Cosmic Ray makes the mutants. A sample of them is tried, the same for the same seed, an equal part from each area. Each
runs in a process of its own, forked from one that has loaded the libraries, on a copy of the package, and stops at the
first test that fails. Only the tests of its area and the golden ones are run.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from areas import AREAS, EQUIVALENT, PRELOADED
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "refinefuse"
NEEDS_ARGUMENTS = ("VariableReplacer", "VariableInserter")
SLOWEST = 3.0
"""A mutant may take so many times as long as its tests do without one, and half a minute."""

MEMORY = 16 << 30
"""Bytes of address space: a mutant may ask for terabytes."""


@dataclass(frozen=True)
class Mutant:
    """One change of the code."""

    area: str
    module: str
    line: int
    operator: str
    occurrence: int

    def code(self) -> str:
        """The changed module."""
        source = (PACKAGE / self.module).read_text(encoding="utf-8")
        return mutate_code(source, get_operator(self.operator)(), self.occurrence) or source

    def change(self) -> str:
        """The first changed line, before and after."""
        source = (PACKAGE / self.module).read_text(encoding="utf-8")
        pairs = zip(source.splitlines(), self.code().splitlines(), strict=False)
        before, after = next(((x.strip(), y.strip()) for x, y in pairs if x != y), ("", ""))
        return f"{before}  ->  {after}"


def mutants_of(area: str, module: str) -> list[list[Mutant]]:
    """The mutants of a module, by the position in the code: one position can be changed in several ways."""
    tree = list(ast_nodes(get_ast((PACKAGE / module).read_text(encoding="utf-8"))))
    positions = defaultdict(list)
    for name in operator_names():
        if name.endswith(NEEDS_ARGUMENTS):
            continue
        operator, occurrence = get_operator(name)(), 0
        for node in tree:
            for start, end in operator.mutation_positions(node):
                positions[start, end].append(Mutant(area, module, start[0], name, occurrence))
                occurrence += 1
    return [positions[position] for position in sorted(positions)]


def meaning(code: str) -> str:
    """The code without what is never run: annotations and docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return ast.dump(tree)


def sample(count: int, seed: int) -> list[Mutant]:
    """So many mutants at different positions, an equal part of every area as far as it goes."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    waiting = {}
    for area, (patterns, _) in AREAS.items():
        modules = sorted({str(path.relative_to(PACKAGE)) for one in patterns for path in PACKAGE.glob(one)})
        waiting[area] = [position for module in modules for position in mutants_of(area, module)]
        rng.shuffle(waiting[area])
    chosen: list[Mutant] = []
    while len(chosen) < count and any(waiting.values()):
        for positions in waiting.values():
            mutant = next((m for m in _first_of_each(positions, rng) if _changes_something(m)), None)
            if mutant is not None and len(chosen) < count:
                chosen.append(mutant)
    return sorted(chosen, key=lambda one: (one.area, one.module, one.line))


def _first_of_each(positions: list[list[Mutant]], rng: random.Random):
    while positions:
        yield rng.choice(positions.pop())


def _changes_something(mutant: Mutant) -> bool:
    before = meaning((PACKAGE / mutant.module).read_text(encoding="utf-8"))
    try:
        return meaning(mutant.code()) != before
    except SyntaxError:
        return False


class Trial:
    """Runs tests on a copy of the package, in forked processes."""

    def __init__(self, copy: Path) -> None:
        self.copy = copy
        shutil.copytree(PACKAGE, copy / "refinefuse", ignore=shutil.ignore_patterns("__pycache__"))
        for name in PRELOADED:
            __import__(name)
        from hypothesis import Phase, settings

        # Without shrinking: one failing example is enough.
        settings.register_profile(
            "mutants", deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
        )

    def run(self, tests: list[str], limit: float, module: str | None = None, code: str = "") -> tuple[str, float]:
        """`passed`, `failed` or `too slow`, and the seconds that it took."""
        target = self.copy / "refinefuse" / (module or "__init__.py")
        before = target.read_text(encoding="utf-8")
        for compiled in (target.parent / "__pycache__").glob(f"{target.stem}.*"):
            compiled.unlink()
        if module:
            target.write_text(code, encoding="utf-8")
        start = time.monotonic()
        process = os.fork()
        if not process:
            self._test(tests, compile_files=module is None)
        try:
            verdict = _verdict(process, start + limit)
        finally:
            target.write_text(before, encoding="utf-8")
        return verdict, time.monotonic() - start

    def _test(self, tests: list[str], compile_files: bool) -> None:
        """In the forked process: run pytest and end."""
        import pytest

        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        os.chdir(ROOT)
        sys.dont_write_bytecode = not compile_files
        sys.path.insert(0, str(self.copy))
        os.environ["PYTHONPATH"] = str(self.copy)
        options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of libraries that are loaded already
        code = 1
        try:
            code = pytest.main([*options, *tests])
        finally:
            os._exit(int(code))


def _verdict(process: int, end: float) -> str:
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return "passed" if status == 0 else "failed"
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "too slow"


def reason_of(mutant: Mutant) -> str | None:
    """Why a mutant does what the code does, if somebody looked and wrote it down."""
    change = mutant.change()
    return next(
        (why for module, look, why in EQUIVALENT if module in (mutant.module, "*") and re.search(look, change)), None
    )


def summary(rows: list[dict]) -> str:
    """A table of areas, and the survivors."""
    lines = ["| area | mutants | equivalent | killed | of those that differ |", "|---|---|---|---|---|"]
    for area in [*AREAS, None]:
        of_area = [row for row in rows if area in (row["area"], None)]
        if not of_area:
            continue
        equal = sum(row["verdict"] == "equivalent" for row in of_area)
        killed = sum(row["verdict"] in ("failed", "too slow") for row in of_area)
        part = 100 * killed / max(1, len(of_area) - equal)
        lines.append(f"| {area or '**all**'} | {len(of_area)} | {equal} | {killed} | {part:.1f} % |")
    left = [row for row in rows if row["verdict"] == "passed"]
    lines += ["", f"Survivors: {len(left)}", *(f"- `{row['module']}:{row['line']}` {row['change']}" for row in left)]
    return "\n".join(lines)


def main() -> None:
    """Try the mutants and print the table; what was tried already for this sample is read from the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another sample (default: 0)")
    parser.add_argument("--areas", nargs="*", choices=AREAS, default=list(AREAS), help="only these areas")
    parser.add_argument("--resume", action="store_true", help="leave out what the report says was noticed")
    parser.add_argument("--report", type=Path, default=ROOT / "mutants.json", help="file of the results")
    options = parser.parse_args()
    earlier = json.loads(options.report.read_text()) if options.resume and options.report.exists() else []
    known = {(row["module"], row["operator"], row["occurrence"]): row for row in earlier if row["verdict"] != "passed"}
    rows, limits = [], {}
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder))
        for mutant in sample(options.sample, options.seed):
            row = {**asdict(mutant), "change": mutant.change()}
            old = known.get((mutant.module, mutant.operator, mutant.occurrence))
            if mutant.area not in options.areas:
                continue
            if reason_of(mutant):
                row["verdict"] = "equivalent"
            elif old:
                row = {**row, "verdict": old["verdict"], "seconds": old.get("seconds")}
            else:
                tests = AREAS[mutant.area][1]
                if mutant.area not in limits:
                    verdict, seconds = trial.run(tests, 600)
                    if verdict != "passed":
                        raise SystemExit(f"The tests of '{mutant.area}' do not pass as they are: {' '.join(tests)}")
                    limits[mutant.area] = SLOWEST * seconds + 30
                    print(f"{mutant.area}: {seconds:.0f} s without a mutant", flush=True)
                verdict, seconds = trial.run(tests, limits[mutant.area], mutant.module, mutant.code())
                row |= {"verdict": verdict, "seconds": round(seconds, 1)}
                print(f"{verdict:9} {seconds:5.1f} s  {mutant.module}:{mutant.line}  {row['change']}", flush=True)
            rows.append(row)
            options.report.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(summary(rows))


if __name__ == "__main__":
    main()
