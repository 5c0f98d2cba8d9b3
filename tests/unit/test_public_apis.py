"""No private name of a third-party package is imported, overridden or patched.

That none is read or set is a rule of the linter's, which is held here too.
"""

import ast
import builtins
import inspect
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"ticketsvc", "tests", "conftest"}
STANDARD_LIBRARY = sys.stdlib_module_names | {"builtins"}
BY_NAME = {"getattr", "setattr", "delattr", "hasattr", "object"}  # `object` is mock's patch.object


def private(name):
    return name.startswith("_") and not name.startswith("__")


def foreign(module):
    return module.partition(".")[0] not in STANDARD_LIBRARY | OURS


class Source:
    """One Python file: its classes, and what its imports stand for."""

    def __init__(self, text):
        self.nodes = list(ast.walk(ast.parse(text)))
        self.classes = {node.name: node for node in self.nodes if isinstance(node, ast.ClassDef)}
        self.imports = {
            (alias.asname or alias.name).partition(".")[0]: node
            for node in self.nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }

    def value(self, expression):
        """Return the import that a dotted name stands for; None when it is none."""
        path = ast.unparse(expression)
        statement = self.imports.get(path.partition(".")[0])
        if statement is None:
            return getattr(builtins, path, None)
        names = {}
        try:
            exec(ast.unparse(statement), names)  # noqa: S102 - an import in our own files
            return eval(path, names)  # noqa: S307 - a name of it
        except (ImportError, AttributeError, SyntaxError):
            return None

    def foreign_bases(self, node):
        """Yield the third-party classes that a class derives from, through classes of ours too."""
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in self.classes:
                yield from self.foreign_bases(self.classes[base.id])
            known = self.value(base)
            if isinstance(known, type):
                yield from (each for each in known.__mro__ if foreign(each.__module__))


@cache
def private_names(base):
    """Return the private names that a class defines or sets on its instances."""
    names = {name for name in vars(base) if private(name)}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
    except (OSError, TypeError, SyntaxError):  # compiled
        return names
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return names | {
        node.attr for node in attributes if private(node.attr) and ast.unparse(node.value) == "self"
    }


def findings(text):
    """Return the line and the name of each use of a third-party package's private name."""
    source = Source(text)
    found = set()
    for node in source.nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(node.lineno, name) for name in _imported(node)}
        elif isinstance(node, ast.Call):
            found |= {(node.lineno, name) for name in _named_in_call(source, node)}
        elif isinstance(node, ast.ClassDef):
            found |= _overridden(source, node)
    return sorted(found)


def _imported(node):
    paths = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.level:
            return []
        paths = [f"{node.module}.{path}" for path in paths]
    return [path for path in paths if foreign(path) and any(map(private, path.split(".")))]


def _module_of(thing):
    if inspect.ismodule(thing):
        return thing.__name__
    return getattr(thing, "__module__", None) or type(thing).__module__


def _named_in_call(source, node):
    called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    if called not in BY_NAME | {"patch"} or not node.args:
        return
    for argument in node.args[:2]:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            path = argument.value.split(".")
            if any(map(private, path)):
                target = path[0] if len(path) > 1 else None
                owner = source.value(node.args[0]) if target is None else None
                module = target or (_module_of(owner) if owner is not None else "unknown")
                if foreign(module):
                    yield path[-1]


def _overridden(source, node):
    theirs = set()
    for base in source.foreign_bases(node):
        theirs |= private_names(base)
    if not theirs:
        return set()
    used = set()
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            used.add((part.lineno, part.name))
        elif isinstance(part, ast.Attribute) and ast.unparse(part.value) in {
            "self",
            "cls",
            "super()",
        }:
            used.add((part.lineno, part.attr))
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            used.add((part.lineno, part.id))
    return {(line, name) for line, name in used if name in theirs}


FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("ticketsvc", "tests", "notebooks", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


def test_public_names_only():
    found = {file: findings((ROOT / file).read_text("utf-8")) for file in FILES}
    assert {file: names for file, names in found.items() if names} == {}


CAUGHT = {
    "imported": ("from aiohttp.web_protocol import _ErrInfo", "aiohttp.web_protocol._ErrInfo"),
    "from a private module": ("import psycopg._tpc", "psycopg._tpc"),
    "overridden": (
        "from aiohttp import web\nclass R(web.AppRunner):\n    async def _make_server(self): ...",
        "_make_server",
    ),
    "set by a base's __init__": (
        "from psycopg_pool import AsyncConnectionPool\n"
        "class P(AsyncConnectionPool):\n    def f(self):\n        return self._pool",
        "_pool",
    ),
    "through a class of ours": (
        "from aiohttp import web\nclass A(web.AppRunner): ...\n"
        "class B(A):\n    def f(self):\n        return self._app",
        "_app",
    ),
    "by name": ("def f(request):\n    getattr(request, '_task')", "_task"),
    "patched": (
        "import aiohttp\ndef test(monkeypatch):\n"
        "    monkeypatch.setattr(aiohttp.ClientSession, '_request', None)",
        "_request",
    ),
    "patched by path": (
        "from unittest import mock\nmock.patch('aiohttp.ClientSession._request')",
        "_request",
    ),
}


@pytest.mark.parametrize(("text", "name"), CAUGHT.values(), ids=CAUGHT)
def test_a_private_name_is_caught(text, name):
    assert name in [found for _, found in findings(text)]


def test_the_linter_sees_what_is_read_and_set():
    lint = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "ticketsvc/any.py", "-"]
    for text in ("print(request._task)", "pool._nconns = 1", "web.Server._make_request"):
        ended = subprocess.run(
            lint, input=text, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert "SLF001" in ended.stdout


ALLOWED = {
    "ours": "class A:\n    def __init__(self, other):\n        self._x = other._x",
    "ours beside a foreign base": (
        "from aiohttp import web\nclass R(web.AppRunner):\n    def _mine(self): ..."
    ),
    "a dunder": "def f(kind):\n    return kind.__name__",
}


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED)
def test_the_rest_is_allowed(text):
    assert findings(text) == []
