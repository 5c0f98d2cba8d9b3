"""A mistake in an allocator's file: which file, which line, and what is wrong."""

import pytest

from ticketsvc.allocators.registry import find_allocators, naming_faults
from ticketsvc.errors import UsageError

RIGHT = """
from ticketsvc.allocators.protocol import Mechanism


class Late:
    mechanism = Mechanism(name="late", summary="", safe=False, schemas=("fixed",))

    def __init__(self, pool, schema):
        pass

    async def allocate(self, purchase):
        pass
"""
MISTAKES = {
    "syntax": ("class Late:", "class Late", "line 5: expected ':'"),
    "an import": ("import Mechanism", "import Mecanism", "line 2: ImportError"),
    "an exit": ("\n\nclass Late", "\nraise SystemExit(0)\nclass Late", "line 4: SystemExit: 0"),
    "a field": ("safe=False, ", "", r"line 6: TypeError: .*'safe'"),
    "no mechanism": ("mechanism = ", "other = ", "line 5: Late: it needs a class attribute"),
    "a foreign one": ('Mechanism(name="late"', 'dict(name="late"', "line 5: Late: it needs"),
    "no name": ('name="late"', 'name=["late"]', "must be a word, such as row_lock"),
    "a schema": ('("fixed",)', '"fixed"', "must be among original, fixed"),
    "no coroutine": ("async def", "def", r"line 5: .*async def allocate\(self, purchase\)"),
}


def find(tmp_path, monkeypatch, **modules):
    """Return the allocators of a package that has a file for each of *modules*."""
    folder = tmp_path / tmp_path.name  # no test finds the modules of another one
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return find_allocators(folder, folder.name)


def test_an_allocator_is_found(tmp_path, monkeypatch):
    assert list(find(tmp_path, monkeypatch, late=RIGHT)) == ["late"]


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place(tmp_path, monkeypatch, right, wrong, said):
    with pytest.raises(UsageError, match=rf"^{tmp_path}/\w+/late\.py, .*{said}"):
        find(tmp_path, monkeypatch, late=RIGHT.replace(right, wrong))


def test_an_error_of_its_own_is_told_with_its_place(tmp_path, monkeypatch):
    divides = RIGHT.replace("        pass\n", "        1 / 0\n", 1)
    late = find(tmp_path, monkeypatch, late=divides)["late"]
    place = rf"^{tmp_path}/\w+/late\.py, line"
    with pytest.raises(UsageError, match=f"{place} 9: late: ZeroDivision"), naming_faults(late):
        late(None, "fixed")
    with pytest.raises(UsageError, match=f"{place} 5: late: TypeError: "), naming_faults(late):
        late()


def test_two_of_one_name(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"'late': \w+\.a and \w+\.b"):
        find(tmp_path, monkeypatch, a=RIGHT, b=RIGHT)
