"""Read what Python source imports."""

import ast
from collections.abc import Container
from functools import cache


def imported(source: str, module: str, known: Container[str]) -> set[str]:
    """Return the dotted names that *source*, the text of *module*, imports, at any depth.

    `from a import b` names the module a.b where there is one, and else a.
    """
    names: set[str] = set()
    for node in _import_statements(source):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        else:
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                names.add(inner if inner in known else base)
    return names


@cache
def _import_statements(source: str) -> list[ast.Import | ast.ImportFrom]:
    nodes = ast.walk(ast.parse(source))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
