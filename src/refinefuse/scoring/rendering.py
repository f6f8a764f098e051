"""Tables of `score` and `benchmark`, rendered as text, Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from refinefuse.scoring.ranking import ranks_of

Mark: TypeAlias = Literal["", "best", "second"]
ARROWS = {True: "↑", False: "↓", None: "◦"}


@dataclass(frozen=True)
class Cell:
    """One table cell.

    Attributes:
        text: displayed text.
        value: sort key; NaN for an empty cell.
        mark: whether it is the best or second-best of its column.
        note: the confidence interval, as text.
    """

    text: str
    value: float = math.nan
    mark: Mark = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: base name of its files.
        title: heading.
        header: column names; the first is that of the row names.
        rows: name and cells of each row.
        notes: notes below the table.
        rules: rows above which a rule is drawn.
        ranked: rows that are ranked; None if the table has no ranks.
    """

    key: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()
    rules: frozenset[int] = frozenset()
    ranked: frozenset[str] | None = None


def format_value(value: float) -> str:
    """Format a number with a sensible number of digits."""
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def marks(penalties: Mapping[str, float]) -> dict[str, Mark]:
    """Mark the best and second-best of a column with at least two values."""
    of_rank: dict[int, Mark] = {1: "best", 2: "second"}
    found = ranks_of(penalties)
    return {name: of_rank.get(found.get(name, 0), "") for name in penalties}


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Format rows as CSV. Text that a spreadsheet would evaluate as a formula is prefixed with an apostrophe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: object) -> object:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def as_text(table: Table) -> str:
    """Render for the terminal: * marks the best, + the second-best."""
    marks = {"best": "*", "second": "+", "": " "}
    lines = [list(table.header), *([name, *(f"{c.text}{marks[c.mark]}" for c in cells)] for name, cells in table.rows)]
    sizes = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    texts = [
        "  ".join(
            [
                line[0].ljust(sizes[0]),
                *(cell.rjust(w) for cell, w in zip(line[1:], sizes[1:], strict=True)),
            ]
        )
        for line in lines
    ]
    return "\n".join([*(text.rstrip() for text in texts), *table.notes, ""])


def markdown(table: Table) -> str:
    """Render as Markdown: best in bold, second-best in italics."""
    wraps = {"best": "**{}**", "second": "*{}*", "": "{}"}
    lines = [f"| {' | '.join(table.header)} |", f"|{'---|' * len(table.header)}"]
    for name, cells in table.rows:
        lines.append(f"| {' | '.join([name, *(wraps[cell.mark].format(cell.text) for cell in cells)])} |")
    return "\n".join([*lines, "", *(f"{note}  " for note in table.notes)]).rstrip() + "\n"


def latex(table: Table, convention: str = "") -> str:
    """Render as a `booktabs` table: best in bold, second-best underlined."""
    wraps = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
    lines = [
        rf"% {table.title}{f'; convention {convention}' if convention else ''}. Requires \usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        " & ".join(map(escape_latex, table.header)) + r" \\",
        r"\midrule",
    ]
    for index, (name, cells) in enumerate(table.rows):
        lines += [r"\midrule"] if index in table.rules else []
        lines.append(
            " & ".join([escape_latex(name), *(wraps[cell.mark] % escape_latex(cell.text) for cell in cells)]) + r" \\"
        )
    width = len(table.header)
    lines.append(r"\bottomrule")
    lines += [rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {escape_latex(note)}}} \\" for note in table.notes]
    return "\n".join([*lines, r"\end{tabular}", ""])


_TEX = {
    **{c: rf"\{c}" for c in "_&%#${}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "◦": r"$\circ$", "†": r"$\dagger$", "•": r"$\bullet$", "–": "--",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Escape the special characters of LaTeX."""
    return "".join(_TEX.get(c, c) for c in text)


def as_csv(table: Table) -> str:
    """Render as CSV in full precision, with intervals if available."""
    with_notes = [any(cells[i].note for _, cells in table.rows) for i in range(len(table.header) - 1)]
    header = [table.header[0]]
    for name, noted in zip(table.header[1:], with_notes, strict=True):
        header += [name, f"{name} interval"] if noted else [name]
    rows = [header if table.ranked is None else [*header, "ranked"]]
    for name, cells in table.rows:
        row = [name]
        for cell, noted in zip(cells, with_notes, strict=True):
            row += [_number(cell), cell.note] if noted else [_number(cell)]
        rows.append(row if table.ranked is None else [*row, "yes" if name in table.ranked else "no"])
    return csv_text(rows)


def _number(cell: Cell) -> str:
    return "" if math.isnan(cell.value) else repr(float(cell.value))
