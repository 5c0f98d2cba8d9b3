"""Run every command that the documents show, and compare its output with what they show.

The blocks marked `sh` of a document run in order, in one shell. In a block

- a comment behind a command may say `exit N`; without it the command must end with 0;
- a comment line below a command is output that it must print (`…` stands for anything);
- a number from 3000 to 3999 is a port, `postgresql://…` a database (the test puts its own there);
- `serve` without a final `&` belongs to a terminal of its own: it runs until the document ends.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from ticketsvc.cli.root import ticketsvc
from ticketsvc.database.embedded import free_port

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "notebooks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
TIME_LIMIT_S = 300  # a deadline for what must end, never a measure of how fast

OWN = r"^(?:[A-Z_]+=\S+ )*python3 run\.py"
NOT_RUN = {
    rf"{OWN}$": "takes minutes: tests/notebooks runs each notebook",
    rf"{OWN} test\b": "runs this test",
    rf"{OWN} report\b": "takes minutes: tests/notebooks/ runs it on small notebooks",
    rf"{OWN} lab\b": "opens a browser",
    rf"{OWN} (faults|overload)\b": "takes minutes: tests/concurrency/test_faults.py runs them",
    rf"{OWN} bench\b": "takes minutes: tests/integration/bench/ runs it",
    rf"{OWN} db (start|stop)\b": "the test has a database: tests/integration/cli/ runs it",
    r"^\S*papermill ": "takes a minute: tests/notebooks runs each notebook",
    r"^TICKETSVC_FUZZ_REQUESTS=": "takes minutes: tests/integration/service/test_fuzz.py is it",
    r"^make (check|fix|lock)\b": "rewrites the checkout or takes minutes",
    r"^(docker|conda|pre-commit|\.ci/run)\b": "needs a tool or a machine that a test has not",
}
SMALLER = {  # added to a command that takes long at the size a reader wants
    "explore": {"--sample": ["--sample", "20"]},
}


@dataclass
class Command:
    """A command of a document, and what the document says of its end."""

    text: str
    code: int = 0
    output: list[str] = field(default_factory=list)

    @property
    def reason_not_to_run(self) -> str | None:
        return next((why for known, why in NOT_RUN.items() if re.search(known, self.text)), None)

    @property
    def serves(self) -> bool:
        return bool(re.search(rf"{OWN} serve\b", self.text)) and not self.text.endswith("&")


def blocks(document: str, language: str) -> list[str]:
    """Return the document's code blocks in *language*, those in lists included."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", document, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def commands(document: str) -> list[Command]:
    """Return the commands of the document's `sh` blocks, in order."""
    found: list[Command] = []
    for block in blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("#"):
                found[-1].output.append(line.removeprefix("#").strip())
            elif line.strip():
                text, _, comment = line.partition(" #")
                code = re.search(r"exit (\d+)", comment)
                found.append(Command(text.strip(), int(code[1]) if code else 0))
    return found


def unparsable(text: str) -> str | None:
    """Return what `--help` does not know in a call of ours, or None."""
    words = shlex.split(re.sub(r"^(?:[A-Z_]+=\S+ )+", "", text).removesuffix("&"))
    if words[:2] != ["python3", "run.py"] or words[2:3] in ([], ["test"]):
        return None
    command: click.Command = ticketsvc
    arguments = words[2:]
    try:
        while isinstance(command, click.Group):
            with command.make_context("run.py", arguments, allow_extra_args=True) as context:
                name, inner, arguments = command.resolve_command(context, arguments)
            assert inner is not None
            command = inner
        command.make_context(name, arguments).close()
    except click.ClickException as problem:
        return problem.format_message()
    return None


def mismatches(document: str, database: str, folder: Path) -> list[str]:
    """Run the document's commands in *folder*; return where it does not tell the truth."""
    listed = commands(document)
    problems = [f"{each.text}: {problem}" for each in listed if (problem := unparsable(each.text))]
    run = [each for each in listed if each.reason_not_to_run is None]
    for number, (command, (code, output)) in enumerate(
        zip(run, _results(run, database, folder), strict=True)
    ):
        if code != command.code:
            problems.append(f"{number}: {command.text}: exit {code}, not {command.code}: {output}")
        problems += [
            f"{number}: {command.text}: does not print {line!r}: {output}"
            for line in command.output
            if not re.search(_pattern(line), " ".join(output.split()))
        ]
    return problems


def _pattern(line: str) -> str:
    return ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))


def _results(run: list[Command], database: str, folder: Path) -> list[tuple[int, str]]:
    """Run the commands in one shell; return the exit code and the output of each."""
    ports = {f"{port}": str(free_port()) for port in _ports(run)}
    script = [_PRELUDE]
    for number, command in enumerate(run):
        text = re.sub(r"\b3\d{3}\b", lambda found: ports[found[0]], command.text)
        text = re.sub(r"postgresql://\S*…\S*", shlex.quote(database), text)
        out, code = folder / f"{number}.out", folder / f"{number}.code"
        if command.serves:
            port = re.search(r"(?:--port |\bPORT=)(\d+)", text)
            text = f"serve_in_background {port[1] if port else '$PORT'} {shlex.quote(text)}"
        script.append(f"{{\n{text}\n}} >{out} 2>&1; echo $? >{code}")
    (folder / "script").write_text("\n".join(script))
    environment = {
        **os.environ,
        "PATH": f"{_shims(folder)}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": database,
        "PORT": ports["3000"],
        "TMPDIR": str(folder),
        "TICKETSVC_HOME": str(folder / "home"),
    }
    shell = subprocess.Popen(
        ["bash", str(folder / "script")],
        cwd=_checkout(folder),
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        shell.wait(TIME_LIMIT_S)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    return [
        (int((folder / f"{number}.code").read_text()), (folder / f"{number}.out").read_text())
        for number in range(len(run))
    ]


_PRELUDE = """
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
declare -A servers
serve_in_background() {
    if [ -n "${servers[$1]}" ]; then kill "${servers[$1]}"; wait "${servers[$1]}"; fi
    eval "exec env $2" &
    servers[$1]=$!
    until curl -sfo /dev/null "http://127.0.0.1:$1/healthz"; do
        kill -0 "${servers[$1]}" || return
        sleep 0.1
    done
}
"""


def _ports(run: list[Command]) -> set[str]:
    return {"3000", *re.findall(r"\b3\d{3}\b", " ".join(each.text for each in run))}


def _shims(folder: Path) -> Path:
    """Make a `python3` that takes this test's interpreter for run.py, and smaller samples."""
    shims = folder / "bin"
    shims.mkdir()
    smaller = "".join(
        f'case "$1 $*" in "{name} "*"{option} "*) set -- "$@" {shlex.join(added)};; esac\n'
        for name, options in SMALLER.items()
        for option, added in options.items()
    )
    (shims / "python3").write_text(
        f'#!/bin/sh\n[ "$1" = run.py ] || exec {sys.executable} "$@"\nshift\n{smaller}'
        f'exec {sys.executable} -m ticketsvc "$@"\n'
    )
    (shims / "python3").chmod(0o755)
    return shims


def _checkout(folder: Path) -> Path:
    """Make a folder that looks like the checkout, in which commands may write."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in ROOT.iterdir():
        if name.name not in ("runs", "reports", ".git"):
            (checkout / name.name).symlink_to(name)
    return checkout


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    """A folder for a document's commands, with a short path."""
    assert shutil.which("bash"), "the documents' commands are for a POSIX shell"
    assert shutil.which("curl"), "the documents buy with curl"
    yield open_folder


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_do_what_the_document_says(
    document: Path, database: str, folder: Path
) -> None:
    assert mismatches(document.read_text(), database, folder) == []


@pytest.mark.parametrize(
    "block",
    [
        "python3 run.py seed --evnt DEMO",
        "python3 run.py bench --repetition 1",
        "true    # exit 1",
        "echo 8 issued\n# 240 issued",
        "no-such-command",
    ],
)
def test_a_document_that_is_wrong_is_caught(block: str, folder: Path) -> None:
    assert mismatches(f"```sh\n{block}\n```\n", "postgresql://127.0.0.1:1/none", folder) != []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_stands_in_a_block_that_is_run(document: Path) -> None:
    text = document.read_text()
    others = blocks(text, "(?!sh\n)[a-z]*")
    assert not [block for block in others if re.search(OWN, block, flags=re.MULTILINE)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_sentences_exist(document: Path) -> None:
    found = re.findall(r"`((?:[A-Z_]+=\S+ )*python3 run\.py [^`…]*)`", document.read_text())
    assert [each for each in found if unparsable(each)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", document.read_text())
    assert [each for each in links if not (document.parent / each).exists()] == []
