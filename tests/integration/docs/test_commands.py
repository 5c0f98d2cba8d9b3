"""Run every command that the documents show, and compare its output with what they show.

The blocks marked `sh` of a document run in order. In a block

- a comment behind a command may say `exit N`; without it the command must end with 0;
- a comment line below a command is output that it must print (`…` stands for anything);
- a number from 3000 to 3999 is a port, `postgresql://…` a database (the test puts its own there);
- `serve` without a final `&` belongs to a terminal of its own: it runs until the document ends.
"""

import contextlib
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from tests.support.commands import run_command_here, start_command
from ticketsvc.cli.root import ticketsvc
from ticketsvc.database.embedded import free_port

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "notebooks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
Run = Callable[[str, str], Iterator[tuple[int, str]]]

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


def mismatches(document: str, results: Iterator[tuple[int, str]]) -> list[str]:
    """Return where the document does not tell the truth of its commands, given their *results*."""
    listed = commands(document)
    problems = [f"{each.text}: {problem}" for each in listed if (problem := unparsable(each.text))]
    for command, (code, output) in zip(run_of(document), results, strict=True):
        if code != command.code:
            problems.append(f"{command.text}: exit {code}, not {command.code}: {output}")
        problems += [
            f"{command.text}: does not print {line!r}: {output}"
            for line in command.output
            if not re.search(_pattern(line), " ".join(output.split()))
        ]
    return problems


def run_of(document: str) -> list[Command]:
    """Return the commands of the document that are run here."""
    return [each for each in commands(document) if each.reason_not_to_run is None]


def _pattern(line: str) -> str:
    return ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))


@pytest.fixture
def run(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run a document's commands in what looks like the checkout; end its services afterwards.

    A service is a process of its own, and so is what is not ours. Our other commands run here.
    """
    assert shutil.which("bash"), "the documents' commands are for a POSIX shell"
    assert shutil.which("curl"), "the documents buy with curl"
    for name in ROOT.iterdir():
        if name.name not in ("runs", "reports", ".git"):
            (open_folder / name.name).symlink_to(name)
    monkeypatch.chdir(open_folder)
    with contextlib.ExitStack() as services:

        def results(document: str, database: str) -> Iterator[tuple[int, str]]:
            listed = run_of(document)
            used = re.findall(r"\b3\d{3}\b", " ".join(each.text for each in listed))
            ports = {port: str(free_port()) for port in {"3000", *used}}
            monkeypatch.setenv("DATABASE_URL", database)
            monkeypatch.setenv("PORT", ports["3000"])
            monkeypatch.setenv("TICKETSVC_HOME", str(open_folder / "home"))
            for command in listed:
                text = re.sub(r"\b3\d{3}\b", lambda found: ports[found[0]], command.text)
                text = re.sub(r"postgresql://\S*…\S*", shlex.quote(database), text)
                words = shlex.split(text)
                if words[0] == "export":
                    monkeypatch.setenv(*words[1].split("=", 1))
                    code = 0
                elif command.serves:
                    code = services.enter_context(_serving(words))
                elif words[:2] == ["python3", "run.py"]:
                    code = _run_here(monkeypatch, words[2:])
                else:
                    code = subprocess.run(["bash", "-c", text], check=False).returncode
                yield code, "".join(capfd.readouterr())

        yield results


@contextlib.contextmanager
def _serving(words: list[str]) -> Iterator[int]:
    """Start a service; return 0 once it listens, or the code with which it has ended."""
    start = words.index("python3")
    environment = dict(word.split("=", 1) for word in words[:start])
    with start_command(*words[start + 2 :], **environment) as process:
        try:
            said = process.stdout.readline()
            print(said or process.stderr.read())
            yield 0 if "listens on" in said else process.wait()
        finally:
            process.terminate()
            process.communicate()


def _run_here(patch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    result = run_command_here(patch, *arguments)
    print(result.stdout, result.stderr)
    return result.returncode


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_do_what_the_document_says(document: Path, database: str, run: Run) -> None:
    text = document.read_text()
    assert mismatches(text, run(text, database)) == []


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
def test_a_document_that_is_wrong_is_caught(block: str, run: Run) -> None:
    text = f"```sh\n{block}\n```\n"
    assert mismatches(text, run(text, "postgresql://127.0.0.1:1/none")) != []


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


def test_a_scenario_that_is_shown_is_an_example() -> None:
    shown = {block for document in DOCUMENTS for block in blocks(document.read_text(), "toml")}
    examples = {path.read_text() for path in (ROOT / "examples").rglob("*.toml")}
    assert shown
    assert shown <= examples
