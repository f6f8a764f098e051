"""The cards in docs are those that the manifest gives."""

import pytest

from refinefuse.weights.store import shipped
from weights_cards import DOCS, card, write_cards


@pytest.mark.parametrize("name", shipped())
def test_card_says_all_that_the_manifest_knows(name):
    entry, text = shipped()[name], card(shipped()[name])
    for fact in (
        entry.intended_use,
        entry.sha256,
        entry.recipe,
        entry.commit,
        entry.license_note,
        *entry.limitations,
        *entry.scores,
    ):
        assert fact in text
    for part in entry.datasets:
        assert part["name"] in text
        assert part["license"] in text
    assert entry.limitations
    for table in text.split("\n\n"):
        if table.startswith("|"):
            assert len({line.count("|") for line in table.splitlines()}) == 1


def test_cards_in_docs_are_up_to_date(tmp_path):
    written = {path.name: path.read_text(encoding="utf-8") for path in write_cards(tmp_path)}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}, "run `make docs`"
