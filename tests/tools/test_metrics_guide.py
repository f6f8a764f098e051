"""`docs/metrics.md` is what the table, the conventions and the measured experiment say."""

import json
from pathlib import Path

from metrics_guide import EXPERIMENT, guide, rank
from refinefuse.metrics import CONVENTIONS, METRICS

DOCS = Path(__file__).parents[2] / "docs"


def experiment():
    return json.loads(EXPERIMENT.read_text(encoding="utf-8"))


def test_the_guide_is_up_to_date():
    measured = experiment()
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert text == guide(measured["methods"], measured["title"]), "run `make docs`"


def test_it_names_everything():
    text = guide(experiment()["methods"], "any")
    for key in (*METRICS, *CONVENTIONS):
        assert key in text


def test_a_copy_beats_published_methods_and_the_diagnostics_show_it():
    methods = experiment()["methods"]
    for key in ("MI", "VIF"):
        assert min(rank(methods, key, name) for name in ("copy of A", "copy of B")) == 1
    assert methods["copy of A"]["edge_recall"] == methods["copy of B"]["edge_recall"] == 0
