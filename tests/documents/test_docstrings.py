"""What a docstring lists exists: a parameter or field that was renamed is renamed there too."""

import ast
from pathlib import Path

import pytest

import refinefuse

docstring_parser = pytest.importorskip("docstring_parser", reason="comes with jsonargparse[signatures]")
PACKAGE = Path(refinefuse.__file__).parent


def parameters(function):
    every = function.args
    named = [*every.posonlyargs, *every.args, *every.kwonlyargs, *filter(None, [every.vararg, every.kwarg])]
    return {one.arg for one in named}


def members(node):
    """Fields and methods of a class, parameters of its `__init__`, and attributes that its methods set."""
    functions = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    targets = [one for one in ast.walk(node) if isinstance(one, ast.Name | ast.Attribute)]
    names = {one.id if isinstance(one, ast.Name) else one.attr for one in targets if isinstance(one.ctx, ast.Store)}
    names |= {one.name for one in functions}
    return names.union(*(parameters(one) for one in functions if one.name == "__init__"))


def stale(path):
    """Names that docstrings of a module list and that nothing there has; a class may inherit some of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            known = parameters(node)
        elif isinstance(node, ast.ClassDef) and not node.bases:
            known = members(node)
        else:
            continue
        listed = docstring_parser.parse(ast.get_docstring(node) or "", docstring_parser.DocstringStyle.GOOGLE).params
        names = {name.strip("* ") for one in listed for name in one.arg_name.split(",")}
        yield from (f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}: {name}" for name in names - known)


def test_what_a_docstring_lists_exists():
    assert [found for path in sorted(PACKAGE.rglob("*.py")) for found in stale(path)] == []
