"""The command line: what each command is called, takes and prints."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ticketsvc import __version__
from ticketsvc.console import complain, print_facts, print_table, printable, progress, words
from ticketsvc.errors import NoDatabase, TicketsvcError, UsageError
from ticketsvc.settings import ROOT, Settings, load_settings

# The packages of the investigation are imported where they are used: `serve` works without
# them, and every command starts faster.

CLEAN, VIOLATION, BAD_USAGE, COULD_NOT_TELL, INTERRUPTED = 0, 1, 2, 3, 130

_Result = TypeVar("_Result")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
_FILE = click.Path(dir_okay=False, path_type=Path)


def main() -> NoReturn:
    """Run the command line: one clear line and exit 2 for what cannot be done as asked."""
    try:
        code = ticketsvc(prog_name="ticketsvc", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as problem:
        print(problem.format_message())
        code = BAD_USAGE
    except click.ClickException as problem:
        complain(problem.format_message())
        code = BAD_USAGE
    except TicketsvcError as problem:
        complain(str(problem))
        code = BAD_USAGE
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except Exception as problem:
        reason = _outside_reason(problem)
        if reason is None:
            raise
        complain(reason)
        code = BAD_USAGE
    sys.exit(code if isinstance(code, int) else CLEAN)


def _outside_reason(problem: Exception) -> str | None:
    """Say what the database, the system or a text beyond it refused; None for a bug of ours."""
    import psycopg

    if isinstance(problem, psycopg.Error):
        return f"the database refused it: {problem.diag.message_primary or problem}"
    if isinstance(problem, OSError):
        return f"{problem.strerror or problem}: {problem.filename or ''}".removesuffix(": ")
    if isinstance(problem, UnicodeError):
        return "an argument or variable is not text that can be used here (UTF-8)"
    return None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def ticketsvc() -> None:
    """See, reproduce, explain and close the oversell bug of a ticket service."""


@ticketsvc.group()
def db() -> None:
    """The embedded PostgreSQL server, kept between commands."""


@ticketsvc.command()
@click.option("--allocator", help="How tickets are allocated.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0: any free one.")
@click.option("--schema", help="original or fixed.")
@click.option("--pool-size", type=click.IntRange(1, 1000), help="Database connections.")
@click.option("--access-log/--no-access-log", default=True, help="Log each request.")
@click.option("--trace", type=_FILE, help="Write every statement to this file.")
@click.option("--end-with-input", is_flag=True, hidden=True)
@_as_json
def serve(
    allocator: str | None,
    host: str | None,
    port: int | None,
    schema: str | None,
    pool_size: int | None,
    access_log: bool,
    trace: Path | None,
    end_with_input: bool,
    as_json: bool,
) -> None:
    """Sell tickets over HTTP."""
    from ticketsvc.allocators import DEFAULT_ALLOCATOR
    from ticketsvc.database.locate import kept_database
    from ticketsvc.server import serve as run_server

    mechanism = _mechanism(allocator or DEFAULT_ALLOCATOR)
    served = schema or mechanism.schemas[0]
    if served not in mechanism.schemas:
        raise UsageError(
            f"--schema {served}: {mechanism.name} works on {' or '.join(mechanism.schemas)}"
        )
    chosen = {"host": host, "port": port, "pool_size": pool_size}
    settings = load_settings().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("ticketsvc").setLevel(logging.INFO)
    logging.getLogger("ticketsvc.access").setLevel(logging.INFO if access_log else logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

    def announce(url: str) -> None:
        if as_json:
            facts = {"url": url, "allocator": mechanism.name, "schema": served, "pid": os.getpid()}
            print(json.dumps(facts), flush=True)
            return
        print(f"ticketsvc listens on {url} (allocator {mechanism.name}, schema {served})")
        if not mechanism.safe:
            print(
                f"WARNING: {mechanism.name} is unsafe on purpose: {mechanism.summary}. "
                "Never sell real tickets with it.",
                file=sys.stderr,
            )
        sys.stdout.flush()

    with kept_database(settings) as conninfo:
        _prepare_schemas(conninfo)
        _run(
            run_server(
                conninfo=conninfo,
                settings=settings,
                allocator=mechanism.name,
                schema=_schema(served),
                announce=announce,
                trace=trace,
                end_with_input=end_with_input,
            )
        )


@ticketsvc.command()
@click.option("--event", help="Reset only this event.")
@click.option("--total", type=int, help="Its total, all of it available.")
@click.option("--schema", help="original or fixed; both if not given.")
@click.option("--recreate", is_flag=True, help="Drop and create the schemas first.")
@_as_json
def seed(
    event: str | None, total: int | None, schema: str | None, recreate: bool, as_json: bool
) -> None:
    """Fill the database with the six events, or reset one event."""
    from ticketsvc.database.schemas import SCHEMAS, reset_event, seed_six_events

    if (event is None) != (total is None):
        raise UsageError("--event and --total go together: which event, and how many tickets")
    chosen = SCHEMAS if schema is None else (_schema(schema),)
    with _connected(recreate=recreate) as connection:
        for name in chosen:
            if event is not None and total is not None:
                reset_event(connection, name, event, total)
            else:
                seed_six_events(connection, name)
        verdicts = _audit(connection, list(chosen), event)
    _print_verdicts(verdicts, as_json)


@ticketsvc.command()
@click.option("--url", "urls", multiple=True, help="A service; repeat for several.")
@click.option("--event", required=True, help="The event to buy of.")
@click.option("--purchases", type=click.IntRange(1, 1_000_000), default=30, show_default=True)
@click.option("--quantity", type=int, default=8, show_default=True, help="Tickets per purchase.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=30,
    show_default=True,
    help="Buyers at a time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option("--history", type=_FILE, help="Where the history goes; runs/ if not given.")
@_as_json
def stress(
    urls: tuple[str, ...],
    event: str,
    purchases: int,
    quantity: int,
    concurrency: int,
    timeout: float,
    history: Path | None,
    as_json: bool,
) -> None:
    """Fire purchases at any service that speaks the API, and count what it answers."""
    from ticketsvc.lab.history import Attempt, recording, summarise
    from ticketsvc.lab.workload import Workload, fire, purchase_url

    targets = urls or (f"http://127.0.0.1:{load_settings().port}",)
    for target in targets:
        purchase_url(target)
    workload = Workload(event, purchases, quantity, concurrency, timeout)
    file = history or ROOT / "runs" / f"stress-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.jsonl"
    with recording(file) as record, progress("purchases", purchases) as advance:

        def on_answer(attempt: Attempt) -> None:
            record(attempt)
            advance()

        attempts = _run(fire(targets, workload, on_answer=on_answer))
    summary = {**summarise(attempts), "history": str(file)}
    if as_json:
        print(json.dumps(summary))
    else:
        print_facts(f"{purchases} purchases of {quantity} of {event}", summary)
    unsent = [attempt for attempt in attempts if attempt.outcome == "failed"]
    if len(unsent) == purchases:
        raise UsageError(f"no purchase could be sent: {unsent[0].message}")
    if unsent:
        complain(f"{len(unsent)} purchases could not be sent: {unsent[0].message}")


@ticketsvc.command()
@click.option("--database-url", help="Another database than the suite's.")
@click.option("--schema", help="Any schema with the original's tables; ours if not given.")
@click.option("--event", help="Only this event.")
@click.option("--history", type=_FILE, help="A stress run's history: was all that was told kept?")
@_as_json
def audit(
    database_url: str | None,
    schema: str | None,
    event: str | None,
    history: Path | None,
    as_json: bool,
) -> None:
    """Check a ledger. Exit 0: clean, 1: violations, 3: could not tell."""
    from ticketsvc.lab.history import read_history
    from ticketsvc.lab.ledger import LedgerUnreadable, present_schemas

    attempts = read_history(history) if history else []
    try:
        with _connected(database_url, prepare=False) as connection:
            schemas = [schema] if schema else present_schemas(connection)
            if not schemas:
                raise LedgerUnreadable(
                    "the database has neither schema original nor fixed: "
                    "run `ticketsvc seed`, or name another with --schema"
                )
            verdicts = _audit(connection, schemas, event, attempts)
    except (TicketsvcError, OSError, UnicodeError, MemoryError) as problem:
        if isinstance(problem, UsageError) and not isinstance(
            problem, NoDatabase | LedgerUnreadable
        ):
            raise
        reason = str(problem) or type(problem).__name__
        if as_json:
            code = getattr(problem, "code", "could_not_tell")
            print(json.dumps({"error": reason, "code": code}))
        complain(f"could not tell: {reason}")
        raise click.exceptions.Exit(COULD_NOT_TELL) from None
    if event and not verdicts:
        complain(f"could not tell: no event {event!r} in schema {' or '.join(schemas)}")
        raise click.exceptions.Exit(COULD_NOT_TELL)
    _print_verdicts(verdicts, as_json)
    raise click.exceptions.Exit(VIOLATION if any(row["violations"] for row in verdicts) else CLEAN)


@db.command()
@_as_json
def start(as_json: bool) -> None:
    """Start the embedded server, to last until `ticketsvc db stop`."""
    from ticketsvc.database.embedded import find_kept, home, start_kept

    settings = _without_database_url("db start")
    folder = home(settings.home)
    server = find_kept(folder, binaries_folder=settings.postgres_bin)
    was_running = server is not None
    if server is None:
        server = start_kept(folder, binaries_folder=settings.postgres_bin, lasting=True)
        _prepare_schemas(server.url)
    facts = {"running": True, "was_running": was_running, "port": server.port}
    if as_json:
        print(json.dumps(facts))
    else:
        already = " already" if was_running else ""
        print(f"PostgreSQL runs{already} on 127.0.0.1:{server.port}; `db url` tells how")


@db.command()
@_as_json
def stop(as_json: bool) -> None:
    """Stop the embedded server."""
    from ticketsvc.database.embedded import home, stop_kept

    settings = _without_database_url("db stop")
    stopped = stop_kept(home(settings.home), binaries_folder=settings.postgres_bin)
    if as_json:
        print(json.dumps({"stopped": stopped}))
    else:
        print("PostgreSQL is stopped" if stopped else "PostgreSQL was not running")


@db.command()
@_as_json
def url(as_json: bool) -> None:
    """Print the database's address, password included."""
    address = _running_url()
    print(json.dumps({"url": address}) if as_json else address)


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database."""
    from ticketsvc.database.binaries import find_binaries
    from ticketsvc.database.embedded import home

    address = _running_url()
    settings = load_settings()
    program = find_binaries(settings.postgres_bin, home(settings.home)).program("psql")
    raise click.exceptions.Exit(_run_psql(program, address, list(arguments)))


def _run_psql(program: str, address: str, arguments: list[str]) -> int:
    from psycopg.conninfo import conninfo_to_dict

    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    names["dbname"] = "PGDATABASE"
    parts = conninfo_to_dict(address)
    known = {names[key]: str(value) for key, value in parts.items() if key in names and value}
    return subprocess.run(
        [program, *arguments], env={**os.environ, **known}, check=False
    ).returncode


def _running_url() -> str:
    from ticketsvc.database.embedded import find_kept, home
    from ticketsvc.database.locate import check_server

    settings = load_settings()
    if settings.database_url is not None:
        return check_server(settings.database_url.get_secret_value())
    server = find_kept(home(settings.home), binaries_folder=settings.postgres_bin)
    if server is None:
        raise NoDatabase("the embedded server is not running: start it with `ticketsvc db start`")
    return server.url


def _without_database_url(command: str) -> Settings:
    settings = load_settings()
    if settings.database_url is not None:
        raise UsageError(
            f"{command} concerns the embedded server, but DATABASE_URL is set and is used instead"
        )
    return settings


@contextlib.contextmanager
def _connected(
    database_url: str | None = None, *, prepare: bool = True, recreate: bool = False
) -> Iterator[Any]:
    import psycopg

    from ticketsvc.database.locate import check_server, kept_database

    with contextlib.ExitStack() as stack:
        if database_url:
            conninfo = check_server(database_url)
        else:
            conninfo = stack.enter_context(kept_database(load_settings()))
        if prepare:
            _prepare_schemas(conninfo, recreate=recreate)
        yield stack.enter_context(psycopg.connect(conninfo, autocommit=True))


def _prepare_schemas(conninfo: str, *, recreate: bool = False) -> None:
    import psycopg

    from ticketsvc.database.schemas import ensure_schemas

    with psycopg.connect(conninfo, autocommit=True) as connection:
        ensure_schemas(connection, recreate=recreate)


def _audit(
    connection: Any, schemas: list[str], event: str | None, history: Any = ()
) -> list[dict[str, Any]]:
    from ticketsvc.lab.checks import check_schemas
    from ticketsvc.lab.ledger import read_ledger

    ledgers = {schema: read_ledger(connection, schema, event) for schema in schemas}
    told = [attempt for attempt in history if event in (None, attempt.event)]
    return [
        {"schema": schema, **verdict.as_dict()} for schema, verdict in check_schemas(ledgers, told)
    ]


def _mechanism(name: str) -> Any:
    from ticketsvc.allocators import SERVABLE

    if name not in SERVABLE:
        raise UsageError(f"--allocator {name!r}: must be one of {', '.join(SERVABLE)}")
    return SERVABLE[name].mechanism


def _schema(name: str) -> Any:
    from ticketsvc.database.schemas import SCHEMAS

    if name not in SCHEMAS:
        raise UsageError(f"--schema {name!r}: must be one of {', '.join(SCHEMAS)}")
    return name


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    # psycopg cannot use Windows' default loop.
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def _print_verdicts(verdicts: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(verdicts))
        return
    names = ["schema", "event", "total", "available", "issued", "unique", "duplicates"]
    print_table(
        [*names, "verdict"],
        [
            [*(row[name] for name in names), "VIOLATION" if row["violations"] else "clean"]
            for row in verdicts
        ],
    )
    for row in verdicts:
        for violation in row["violations"]:
            where = f"{row['schema']} {printable(row['event'])}"
            print(f"{where}: {violation['kind']}: {violation['message']}")


@ticketsvc.command()
@click.option("--only", multiple=True, metavar="NN", help="Only this notebook; repeat for several.")
@click.option(
    "-p",
    "--parameter",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Another value for a parameter, wherever a notebook declares it.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "reports",
    show_default="reports",
    help="Where the pages go.",
)
@_as_json
def report(
    only: tuple[str, ...], parameters: tuple[tuple[str, str], ...], output: Path, as_json: bool
) -> None:
    """Run the notebooks into offline HTML pages. Exit 1: a notebook failed."""
    from ticketsvc.database.locate import fresh_database
    from ticketsvc.lab import reports
    from ticketsvc.lab.report_pages import gather_facts, write_index

    notebooks = reports.find_notebooks(reports.NOTEBOOKS, only)
    chosen = reports.choose_parameters(notebooks, parameters)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(f"--output {output}: {problem.strerror}") from None
    with fresh_database(load_settings()) as conninfo, _environment(DATABASE_URL=conninfo):
        _prepare_schemas(conninfo)
        with _steps(len(notebooks)) as (begin, end):
            results = reports.run_notebooks(
                notebooks,
                chosen,
                output,
                ROOT / "runs",
                on_start=lambda notebook: begin(notebook.stem),
                on_end=lambda result: end(f"{result.name}: {result.state}, {result.took}"),
            )
        index = write_index(
            results,
            output,
            facts=gather_facts(conninfo),
            known=[notebook.stem for notebook in reports.find_notebooks(reports.NOTEBOOKS)],
        )
    failed = sum(result.state == "failed" for result in results)
    if as_json:
        rows = [
            {
                "name": result.name,
                "state": result.state,
                "report": str(output / f"{result.name}.html"),
                "duration_s": result.duration_s,
                "verdict": result.verdict,
                "failure": result.failure and vars(result.failure),
            }
            for result in results
        ]
        print(json.dumps({"index": str(index), "failed": failed, "notebooks": rows}))
    else:
        _print_results(results)
        print(index)
    raise click.exceptions.Exit(VIOLATION if failed else CLEAN)


@ticketsvc.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Open JupyterLab on the notebooks, with the database ready; -- ARGS go to JupyterLab."""
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.reports import NOTEBOOKS

    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={NOTEBOOKS}", "--KernelManager.transport_encryption=auto"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command += ["--allow-root"]  # the suite works for root, so this does
    with kept_database(load_settings()) as conninfo:
        _prepare_schemas(conninfo)
        code = _run_in_front([*command, *arguments], {**os.environ, "DATABASE_URL": conninfo})
    raise click.exceptions.Exit(code)


def _run_in_front(command: list[str], environment: dict[str, str]) -> int:
    """Run a program until it ends by itself; signals are for it, and its exit code is ours."""
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: object) -> None:
        # A terminal's Ctrl-C reaches the program without us.
        if process and not (number == signal.SIGINT and sys.stdin.isatty()):
            process.send_signal(number)

    passed_on = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        passed_on.append(signal.SIGHUP)
    before = {number: signal.signal(number, pass_on) for number in passed_on}
    try:
        process = subprocess.Popen(command, env=environment)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _steps(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Give what to call when a step begins and when it ends.

    A line for each that ended; on a terminal also what runs now.
    """
    done = 0

    def end(line: str) -> None:
        nonlocal done
        done += 1
        words.print(f"{done}/{total} {line}", markup=False, highlight=False, soft_wrap=True)

    if not words.is_terminal:
        yield lambda _: None, end
        return
    with words.status("starting") as status:
        yield lambda name: status.update(f"{done + 1}/{total} {name} …"), end


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _print_results(results: Sequence[Any]) -> None:
    rows = []
    for result in results:
        held, claims = result.claims
        reason = result.failure.message if result.failure else result.sentence
        state = result.state.upper() if result.state == "failed" else result.state
        rows.append([result.name, state, f"{held}/{claims}", result.took, reason])
    print_table(["notebook", "verdict", "claims", "time", "in one sentence"], rows)
