"""Every command of the documents is one that there is, and the code of the documents runs."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from blocks import DOCUMENTS, NOT_RUN, ROOT, clear_outputs, code_of, words_of, workspace

from refinefuse.cli import COMMANDS, main, parser_of

CODE = {str(path.relative_to(ROOT)): code_of(path) for path in DOCUMENTS}


SHOWN = [code for found in CODE.values() for code in found if code.language == "shell"]


@pytest.mark.parametrize("code", SHOWN, ids=[code.label for code in SHOWN])
def test_the_options_of_a_command_exist(code):
    words = words_of(code.text)
    command = next(" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS)
    known = parser_of(command)._option_string_actions
    assert [word for word in words if word.startswith("-") and word not in known] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, found in CODE.items() if any(not c.why_not for c in found)])
def test_the_code_runs(name, tmp_path, monkeypatch):
    """All of a document, in order, in one folder: later code may use what earlier code has made."""
    pytest.importorskip("av", reason="the documents speak of videos")
    pytest.importorskip("nibabel", reason="the documents speak of volumes")
    workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {"paths": sorted(Path("ir").iterdir())}  # which a snippet takes for granted
    for code in CODE[name]:
        if code.why_not:
            continue
        clear_outputs(code)
        if code.language == "python":
            exec(compile("\n" * (code.line - 1) + code.text, code.path, "exec"), names)  # noqa: S102
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            exit_code = main(words_of(code.text))
        assert exit_code == 0, f"{code.label}: {code.text}\n{said.getvalue()}"


def test_every_reason_is_needed():
    everything = [code.text for found in CODE.values() for code in found]
    assert [look for look in NOT_RUN if not any(re.search(look, text) for text in everything)] == []
