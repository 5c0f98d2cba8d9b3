"""Find the allocators in a folder of modules, and say what is wrong with one that cannot serve."""

import importlib
import inspect
import pkgutil
import traceback
from pathlib import Path
from typing import Any

from ticketsvc.allocators.protocol import Allocator, Mechanism
from ticketsvc.database.schemas import SCHEMAS
from ticketsvc.errors import UsageError
from ticketsvc.interrupts import Interrupted


def find_allocators(folder: Path, package: str) -> dict[str, type[Allocator]]:
    """Return by name every class with a mechanism of its own in the modules of *folder*.

    Raise `UsageError` that names file, line and reason where a module cannot be imported, a class
    does not keep the protocol, or two have the same name.
    """
    classes: list[Any] = [
        one
        for module in pkgutil.iter_modules([str(folder)], f"{package}.")
        for one in vars(_imported(folder, module.name)).values()
        if inspect.isclass(one) and one.__module__ == module.name
    ]
    found: dict[str, type[Allocator]] = {}
    for one in filter(_is_allocator, classes):
        if fault := _fault(one):
            place = f"{inspect.getfile(one)}, line {inspect.getsourcelines(one)[1]}"
            raise UsageError(f"{place}: {one.__name__}: {fault}")
        other = found.setdefault(one.mechanism.name, one)
        if other is not one:
            files = f"{other.__module__} and {one.__module__}"
            raise UsageError(f"two allocators are named {one.mechanism.name!r}: {files}")
    return found


def _imported(folder: Path, name: str) -> Any:
    file = str(folder / f"{name.rpartition('.')[2]}.py")
    try:
        return importlib.import_module(name)
    except SyntaxError as problem:
        where = f"{problem.filename or file}, line {problem.lineno}"
        raise UsageError(f"{where}: {problem.msg}") from None
    except Interrupted:
        raise
    except (Exception, SystemExit) as problem:  # a file that ends the process is a mistake too
        calls = traceback.extract_tb(problem.__traceback__)
        line = [call.lineno for call in calls if call.filename == file][-1:] or [1]
        reason = f"{type(problem).__name__}: {problem}"
        raise UsageError(f"{file}, line {line[0]}: {reason}") from None


def _is_allocator(one: Any) -> bool:
    """Tell whether *one* is meant to serve: it has a mechanism, or allocates and is no base."""
    if "mechanism" in vars(one):
        return True
    return hasattr(one, "allocate") and one is not Allocator and not one.__subclasses__()


def _fault(one: Any) -> str:
    """Say where class *one* does not keep the protocol; "" where it does."""
    mechanism = vars(one).get("mechanism")
    if not isinstance(mechanism, Mechanism):
        return "it needs a class attribute: mechanism = Mechanism(name=…, …)"
    if not mechanism.schemas or not set(mechanism.schemas) <= set(SCHEMAS):
        return f"the schemas of its mechanism must be among {', '.join(SCHEMAS)}"
    if not _takes(one, "pool", "schema"):
        return "it needs the method: def __init__(self, pool, schema)"
    allocate = getattr(one, "allocate", None)
    if not inspect.iscoroutinefunction(allocate) or not _takes(allocate, "self", "purchase"):
        return "it needs the method: async def allocate(self, purchase)"
    return ""


def _takes(function: Any, *arguments: str) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    return True
