"""The parts of `docs/compatibility.md` that are made."""

from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"


def write(mark: str, text: str) -> None:
    """Put text between two marks of the document."""
    before, _, rest = DOCUMENT.read_text().partition(f"<!-- {mark} -->\n")
    after = rest.partition(f"<!-- end of {mark} -->\n")[2]
    DOCUMENT.write_text(f"{before}<!-- {mark} -->\n{text}\n<!-- end of {mark} -->\n{after}")
