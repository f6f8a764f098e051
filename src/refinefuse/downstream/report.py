"""Outputs of a downstream study: tables as Markdown, LaTeX and CSV, and an HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refinefuse.atomic import write_text_atomic
from refinefuse.benchmark.report import Section, as_html
from refinefuse.downstream.study import DownstreamStudy
from refinefuse.downstream.tables import task_tables
from refinefuse.scoring import rendering


def study_sections(study: DownstreamStudy) -> list[Section]:
    """Create one section per task; the first method is the reference."""
    folds = study.config.folds
    split = (
        f"{folds}-fold cross-validation on {study.num_test} images"
        if folds
        else (f"trained on {study.num_train} images, tested on {study.num_test}")
    )
    start = Path(study.config.segmenter).stem
    network = {
        "segmentation": f"{start} fine-tuned" if start else "U-Net trained from scratch",
        "detection": "YOLOX fine-tuned",
    }
    sections = [
        Section(f"{task.capitalize()}", task_tables(task, f"{network[task]}, {split}", rows, study.reference))
        for task, rows in study.evaluations.items()
        if rows
    ]
    for section in sections:
        section.remarks += [*study.remarks, *study.failures]
    return sections


def write_report(study: DownstreamStudy, sections: Sequence[Section], output: Path) -> Path:
    """Write all tables and report.html; return the path of the report."""
    for table in (table for section in sections for table in section.tables):
        path = output / "tables" / table.key
        write_text_atomic(path.with_suffix(".md"), f"{table.title}\n\n{rendering.markdown(table)}")
        write_text_atomic(path.with_suffix(".tex"), rendering.latex(table))
        write_text_atomic(path.with_suffix(".csv"), rendering.as_csv(table))
    report = output / "report.html"
    write_text_atomic(report, as_html(study.config.title, "", sections))
    return report
