"""Messages name parameters, and the command line writes them as its options."""

import ast
import re
from pathlib import Path

import pytest

import refinefuse
from refinefuse.cli.session import session, to_stderr

PACKAGE = Path(refinefuse.__file__).parent
WRONG = re.compile(r"(?<!\S)\(?--[a-z][\w-]*|^  found: ", re.MULTILINE)  # an option, or another word for `got`
DOCUMENTS = {"network/pretrained.py"}  # the model card, which shows a command


def test_no_message_of_the_library_names_an_option_of_the_command_line_and_all_say_got():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("cli/") or name in DOCUMENTS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += [f"{name}:{node.lineno}: {wrong}" for wrong in WRONG.findall(node.value)]
    assert found == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Allow it (`overwrite`).", "Allow it (--overwrite)."),
        ("Try another `transform_type`, or `tile=off`.", "Try another --transform-type, or --tile off."),
        ("raise the limit: `REFINEFUSE_MAX_PIXELS`", "raise the limit: --max-pixels"),
        ("`a` and `b` differ; `frame_stride` and `refinefuse align` are of other commands", None),
    ],
)
def test_the_command_line_names_the_options_of_the_command(message, expected, monkeypatch, capsys):
    monkeypatch.setattr(session, "options", ["--overwrite", "--transform-type", "--tile", "--max-pixels"])
    to_stderr(message)
    assert capsys.readouterr().err == f"{expected or message}\n"
