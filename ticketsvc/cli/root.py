"""The command `ticketsvc` itself, and what its subcommands share."""

import json
import math
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from ticketsvc import __version__, interrupts
from ticketsvc.cli.console import complain
from ticketsvc.cli.exit_codes import BAD_USAGE, CLEAN, CLOSED_PIPE, COULD_NOT_TELL
from ticketsvc.errors import TicketsvcError, UsageError
from ticketsvc.service.event_loop import new_event_loop

# The packages of the investigation are imported where they are used: `serve` works without
# them, and every command starts faster.

_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
durable_option = click.option(
    "--durable/--not-durable",
    default=True,
    help="Whether commits wait for their flush.",
)


def count_option(
    name: str, least: int, most: int | None, **more: Any
) -> Callable[[_Function], _Function]:
    """Return an option that takes a whole number between *least* and *most*."""
    return click.option(name, type=click.IntRange(least, most), **more)


class Finite(click.FloatRange):
    """A number in a range; "nan", which no range excludes, and "inf" are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or say what is wrong with it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


FILE = click.Path(dir_okay=False, path_type=Path)
scenario_argument = click.argument("scenario", metavar="[FILE.toml]", required=False, type=FILE)


class Command(click.Command):
    """A command that refuses an option without a value: `--event ""`, `--host " "`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; raise `UsageError` that names the empty option."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for option in self.params:
            if isinstance(option, click.Option) and _is_empty(given.get(str(option.name))):
                raise UsageError(f"{option.opts[-1]} is empty: give it a value, or leave it out")
        return super().parse_args(ctx, args)


def _is_empty(value: Any) -> bool:
    every = value if isinstance(value, list) else [value]
    return any(isinstance(one, str) and not one.strip() for one in every)


class Group(click.Group):
    """A command with subcommands, each of them a `Command`."""

    command_class = Command
    group_class = type


def main() -> NoReturn:
    """Run the command line: one clear line and exit 2 for what cannot be done as asked."""
    try:
        code = ticketsvc(prog_name="ticketsvc", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as problem:
        print(problem.format_message())
        code = BAD_USAGE
    except Exception as problem:
        reason = _reason(problem)
        if reason is None:
            raise
        complain(reason)
        code = BAD_USAGE
    except SystemExit as ended:
        if ended.code != 1:
            raise
        code = CLOSED_PIPE  # click and rich say 1, which means a violation here
    sys.exit(code if isinstance(code, int) else CLEAN)


def _reason(problem: Exception) -> str | None:
    """Say what was refused: by us, the database, the system or a text; None for a bug of ours."""
    import psycopg

    if isinstance(problem, click.ClickException):
        return problem.format_message()
    if isinstance(problem, TicketsvcError):
        return str(problem)
    if isinstance(problem, psycopg.Error):
        return f"the database refused it: {problem.diag.message_primary or problem}"
    if isinstance(problem, OSError):
        return f"{problem.strerror or problem}: {problem.filename or ''}".removesuffix(": ")
    if isinstance(problem, UnicodeError):
        return "an argument or variable is not text that can be used here (UTF-8)"
    return None


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__)
def ticketsvc() -> None:
    """See, reproduce, explain and close the oversell bug of a ticket service."""


def chosen_mechanism(name: str) -> Any:
    """Return what `serve` takes by this name; raise `UsageError` that names the others."""
    from ticketsvc.allocators import SERVABLE

    return SERVABLE[among(SERVABLE, "--allocator", name)].mechanism


def chosen_schema(name: str) -> Any:
    """Return the schema's name as our own; raise `UsageError` that names both."""
    from ticketsvc.database.schemas import SCHEMAS

    return among(SCHEMAS, "--schema", name)


def schema_of(mechanism: Any, name: str | None) -> Any:
    """Return the schema *name*, or else the mechanism's own; raise `UsageError` where it fails."""
    schema = chosen_schema(name or mechanism.schemas[0])
    if schema not in mechanism.schemas:
        on = " or ".join(mechanism.schemas)
        raise UsageError(f"--schema {schema}: {mechanism.name} works on {on}")
    return schema


def among(known: Iterable[str], option: str, name: str) -> str:
    """Return *name*; raise `UsageError` naming the *option* where it is none of *known*."""
    if name not in known:
        raise UsageError(f"{option} {name!r}: must be one of {', '.join(known)}")
    return name


def refuse_options(names: Iterable[str], why: str) -> None:
    """Raise `UsageError` for the first of these options that was typed, and say *why*."""
    context = click.get_current_context()
    for option in context.command.params:
        if (
            option.name in names
            and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
        ):
            raise UsageError(f"{option.opts[0]} {why}")


def could_not_tell(problem: Exception | str, as_json: bool) -> NoReturn:
    """Say that nothing could be told, and why; end the command.

    The code in JSON is that of an error of ours, such as `no_database`, else `could_not_tell`.
    """
    reason = str(problem) or type(problem).__name__
    if as_json:
        print(json.dumps({"error": reason, "code": getattr(problem, "code", "could_not_tell")}))
    complain(f"could not tell: {reason}")
    raise click.exceptions.Exit(COULD_NOT_TELL)


def run_async(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run *work* in a loop of its own; a signal cancels it, and waits until it has cleaned up."""
    return interrupts.run_async(work, new_event_loop)
