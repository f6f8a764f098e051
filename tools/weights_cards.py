"""Write the card of every shipped set of weights to `docs/weights` from the manifest, so that every fact is kept once.

Usage: python tools/weights_cards.py
"""

from __future__ import annotations

from pathlib import Path

from refinefuse.weights.store import Entry, shipped

DOCS = Path(__file__).parents[1] / "docs" / "weights"


def card(entry: Entry) -> str:
    """The card of one row as Markdown: purpose, data with licenses, recipe, commit, scores, limits."""
    parts = [
        f"# Weights `{entry.name}`",
        "<!-- Made from src/refinefuse/weights/manifest.json by `make docs`; change that. -->",
        f"For {entry.intended_use}. {entry.num_parameters:,} parameters.",
        f"| | |\n|---|---|\n| file | `{entry.file}` |\n| sha256 | `{entry.sha256}` |\n| recipe | {entry.recipe} |\n"
        f"| commit | `{entry.commit}` |",
        "## Data",
        _data(entry),
        entry.license_note,
        "## Scores",
        "Means over the images of each dataset, all by these weights, in the convention `cddfuse255` (SSIM at data "
        "range 255). The columns are explained in [metrics.md](../metrics.md).",
        _scores(entry),
        "## Limits",
        "\n".join(f"- {limit}" for limit in entry.limitations) or "None are recorded.",
    ]
    return "\n\n".join(parts) + "\n"


def write_cards(folder: Path) -> list[Path]:
    """Write the card of every shipped row as `NAME.md`, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, entry in shipped().items():
        paths.append(folder / f"{name}.md")
        paths[-1].write_text(card(entry), encoding="utf-8")
    return paths


def _data(entry: Entry) -> str:
    lines = ["| dataset | trained on | validated on | source | license |", "|---|---|---|---|---|"]
    for part in entry.datasets:
        cells = [str(part.get(key, "")) for key in ("name", "num_train", "num_val", "url", "license")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _scores(entry: Entry) -> str:
    if not entry.scores:
        return "Not recorded yet."
    keys = list(dict.fromkeys(key for scores in entry.scores.values() for key in scores))
    lines = [f"| dataset | {' | '.join(keys)} |", f"|---|{'---|' * len(keys)}"]
    for title, scores in entry.scores.items():
        lines.append(f"| {title} | {' | '.join(f'{scores[key]:.4g}' if key in scores else '' for key in keys)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    write_cards(DOCS)
