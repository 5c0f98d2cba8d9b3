"""Find the allocators in a folder of modules, and say what is wrong with one that cannot serve."""

import contextlib
import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ticketsvc.allocators.protocol import Allocator, Mechanism
from ticketsvc.database.schemas import SCHEMAS
from ticketsvc.errors import TicketsvcError, UsageError
from ticketsvc.interrupts import Interrupted


def find_allocators(folder: Path, package: str) -> dict[str, type[Allocator]]:
    """Return by name every class in the modules of *folder* that has a mechanism or allocates.

    Raise `UsageError` that names file, line and reason where a module cannot be imported, a class
    does not keep the protocol, or two have the same name.
    """
    classes: list[Any] = [
        one
        for module in pkgutil.iter_modules([str(folder)], f"{package}.")
        for one in vars(_imported(folder, module.name)).values()
        if inspect.isclass(one) and one.__module__ == module.name and one is not Allocator
    ]
    found: dict[str, type[Allocator]] = {}
    for one in classes:
        if not (hasattr(one, "mechanism") or hasattr(one, "allocate")):
            continue
        if fault := _fault(one):
            raise UsageError(f"{_place(one)}: {one.__name__}: {fault}")
        other = found.setdefault(one.mechanism.name, one)
        if other is not one:
            files = f"{other.__module__} and {one.__module__}"
            raise UsageError(f"two allocators are named {one.mechanism.name!r}: {files}")
    return found


@contextlib.contextmanager
def naming_faults(allocator: type[Allocator]) -> Iterator[None]:
    """Raise `UsageError` with name, file, line and reason for an error that none may raise."""
    try:
        yield
    except TicketsvcError:
        raise
    except Exception as problem:
        reason = f"{type(problem).__name__}: {problem}"
        raise UsageError(
            f"{_place(allocator, problem)}: {allocator.mechanism.name}: {reason}"
        ) from problem


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
        reason = f"{type(problem).__name__}: {problem}"
        raise UsageError(f"{file}, line {_last_line(file, problem) or 1}: {reason}") from None


def _place(one: Any, problem: BaseException | None = None) -> str:
    """Return the file of class *one*, and the line of *problem* in it, or else of the class."""
    file = inspect.getfile(one)
    line = problem and _last_line(file, problem)
    return f"{file}, line {line or inspect.getsourcelines(one)[1]}"


def _last_line(file: str, problem: BaseException) -> int | None:
    calls = traceback.extract_tb(problem.__traceback__)
    return next((call.lineno for call in reversed(calls) if call.filename == file), None)


def _fault(one: Any) -> str:
    """Say where class *one* does not keep the protocol; "" where it does."""
    mechanism = vars(one).get("mechanism")
    if not isinstance(mechanism, Mechanism):
        return "it needs a class attribute: mechanism = Mechanism(name=…, …)"
    if not isinstance(mechanism.name, str) or not mechanism.name.isidentifier():
        return "the name of its mechanism must be a word, such as row_lock"
    if not mechanism.schemas or not set(mechanism.schemas) <= set(SCHEMAS):
        return f"the schemas of its mechanism must be among {', '.join(SCHEMAS)}"
    if not inspect.iscoroutinefunction(getattr(one, "allocate", None)):
        return "it needs the method: async def allocate(self, purchase)"
    return ""
