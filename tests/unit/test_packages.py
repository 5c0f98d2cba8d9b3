"""What is installed: the locks, the conda environment and the containers."""

import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ticketsvc"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Each lock holds all of the one before it, and what these extras of the project need.
LOCKS = {
    "requirements-service.lock": (),
    "requirements.lock": ("report",),
    "requirements-lab.lock": ("report", "lab"),
    "requirements-test.lock": ("report", "lab", "test"),
}


# Locks


def pinned(lock: Path) -> dict[str, Version]:
    """Return the version of each package in *lock*."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def lock_faults(text: str) -> list[str]:
    """Return what is wrong with a lock: a package without hash, or an index named."""
    entries = re.split(r"\n(?=\S)", "\n".join(_uncommented(text)))
    faults = [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    return faults + re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links", text)


def _uncommented(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#")


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_hashed_and_name_no_index(lock: str) -> None:
    assert lock_faults((ROOT / lock).read_text()) == []


def test_a_bad_lock_is_caught() -> None:
    good = "a==1 \\\n    --hash=sha256:00\n"
    assert lock_faults(good) == []
    assert lock_faults(good + "b==2\n    # via a\n") == ["b==2"]
    assert lock_faults(good + "# https://example.org/simple\n") != []
    assert lock_faults("--index-url x\n" + good) != []


def test_each_lock_holds_the_one_before_it() -> None:
    """A package has one version, whichever lock it is installed from."""
    versions = [pinned(ROOT / lock).items() for lock in LOCKS]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(versions))


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items(), ids=LOCKS)
def test_a_lock_holds_what_the_project_declares(lock: str, extras: tuple[str, ...]) -> None:
    declared = [*PROJECT["dependencies"]]
    declared += [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    names = {canonicalize_name(Requirement(line).name) for line in declared}
    assert unlocked(declared, pinned(ROOT / lock)) == []
    assert asked_for((ROOT / lock).read_text()) == names, "run `make lock`"


def asked_for(text: str) -> set[str]:
    """Return the packages that a lock holds for the project itself, not for another package."""
    entries = re.split(r"\n(?=\w)", text)
    return {entry.partition("==")[0] for entry in entries if f"{PACKAGE} (pyproject.toml)" in entry}


def test_what_is_locked_for_nobody_else_is_seen() -> None:
    text = "a==1 \\\n    # via ticketsvc (pyproject.toml)\nb==2\n    # via\n    #   a\n"
    assert asked_for(text) == {"a"}


def test_an_unlocked_dependency_is_caught() -> None:
    locked = {"a-b": Version("1.5")}
    assert unlocked(["A_b>=1.5"], locked) == []
    assert unlocked(["a-b>=2", "c"], locked) == ["a-b>=2", "c"]


def unlocked(lines: Iterable[str], locked: dict[str, Version]) -> list[str]:
    """Return the requirements that *locked* does not satisfy."""
    wanted = {line: Requirement(line) for line in lines}
    return [
        line
        for line, requirement in wanted.items()
        if (version := locked.get(canonicalize_name(requirement.name))) is None
        or version not in requirement.specifier
    ]


def test_conda_takes_python_and_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    specs = {spec.name.normalized: spec for spec in map(MatchSpec, conda)}
    assert environment["name"] == PACKAGE
    assert specs.keys() == {"python", "pip"}
    assert str(specs["python"].version) == PROJECT["requires-python"]
    assert last == {"pip": ["-r requirements-lab.lock"]}


# Who starts the service again


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deploy" / "ticketsvc.service").read_text()
    unit = tmp_path / "ticketsvc.service"
    for known, said in {"Restart=": "", "Restarts=": "Unknown key"}.items():
        there = text.replace("/opt/ticketsvc/.venv/bin/python", sys.executable)
        unit.write_text(there.replace("Restart=", known))
        command = ["systemd-analyze", "verify", str(unit)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert said in found.stderr if said else not found.stderr


# Containers


def test_compose_file_follows_the_specification(tmp_path: Path) -> None:
    compose, broken = ROOT / "docker-compose.yml", tmp_path / "broken.yml"
    broken.write_text(compose.read_text().replace("healthcheck:", "health:"))
    checked = ["--builtin-schema", "vendor.compose-spec", "--output-format", "json"]
    ended = CliRunner().invoke(check_jsonschema.main, [*checked, str(compose), str(broken)])
    found = json.loads(ended.stdout)
    assert {each["filename"] for each in found["errors"]} == {str(broken)}, found
