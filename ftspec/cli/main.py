"""`ftspec`: the commands, each imported when it is called."""

import errno
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from ftspec.cli.exits import ERROR, INTERRUPTED, USAGE

# What the system refuses, and no fault of ftspec: these end in one line, other OSErrors in a traceback.
REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}

# command -> one line of help; the module ftspec.cli.<command> holds a click command of that name.
COMMANDS = {
    "init": "Write a first spec.",
    "fmt": "Format specs; comments stay.",
    "validate": "Check specs and point at every fault.",
    "schema": "Print the JSON Schema of specs or plans.",
    "doctor": "Show machine, backends and what is missing.",
    "synth": "Have a language model write what a spec asks for.",
    "lock": "Write down what specs resolve to.",
    "plan": "Show what a spec would run here, and why.",
    "comment": "Post a plan to a pull request, or update it there.",
    "diff": "Show what a change costs: two specs, plans, runs or git revisions.",
    "apply": "Run a spec or a saved plan.",
    "eject": "Write a run as a folder that needs no ftspec.",
    "show": "Show a saved plan or a run.",
    "explain": "Explain a diagnostic code, or a value of a plan.",
    "runs": "List runs.",
    "logs": "Show the log of a run.",
    "eval": "Show the evidence of a run again.",
    "query": "Search with a model that was made here.",
    "backends": "Give backends environments of their own.",
    "models": "List, show, export and delete models.",
    "promote": "Point an environment to a version that is better.",
    "rollback": "Point an environment back to what it held before.",
    "history": "Show what was promoted where.",
    "gc": "Remove stored outputs and versions that nothing needs.",
    "sql": "Ask the ledger, read-only.",
    "drift": "Show what moved under the models that are in use.",
    "unlock": "List or remove the lease of a process that is gone.",
    "state": "Rebuild, verify or back up the ledger.",
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is used, so that `--help` and `validate` start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ftspec.cli.{cmd_name}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean `{close[0]}`?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """User faults are told while the command's context is there, which knows `--format`."""
        from ftspec.diagnostics.model import FtspecError
        from ftspec.driver.listening import surveys_shown

        try:
            with surveys_shown(_survey_view):
                return super().invoke(ctx)
        except FtspecError as error:
            from ftspec.cli.common import fail

            fail(error.diagnostics)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """As click's, with our exit codes: usage is 64, and user faults are rendered diagnostics."""
        extra["standalone_mode"] = False
        try:
            status = super().main(args, *more, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(USAGE)
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE if isinstance(error, click.UsageError) else ERROR)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader left, as `| head` does. Python would complain again when it flushes at exit.
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            place = f" ({error.filename})" if error.filename else ""
            click.echo(f"Error: {error.strerror}{place}", err=True)
            if error.errno == errno.ENOSPC:  # what a full stdout still holds would fail once more at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(ERROR)
        sys.exit(status if isinstance(status, int) else 0)


def _survey_view() -> "AbstractContextManager[Callable[[int, int, str], None]]":
    from ftspec.view.survey import survey_view

    return survey_view()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `ftspec init`, then `ftspec plan SPEC` and `ftspec apply SPEC`. "
    "Tab completion: `_FTSPEC_COMPLETE=bash_source ftspec` (or zsh_source, fish_source).",
)
@click.version_option(package_name="ftspec", message="%(prog)s %(version)s")
def cli() -> None:
    """A compiler for fine-tuning: YAML spec → plan → run → evidence."""


def main() -> None:
    gc.set_threshold(20_000)  # importing makes many objects and hardly any garbage
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # other packages have no say in what is valid
    _open_closed_streams()
    cli(prog_name="ftspec")


def _open_closed_streams() -> None:
    """A standard stream that the caller closed becomes the null device. Python leaves None in its place,
    and its number to the next file that is opened, which would then receive what is meant for a person."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open to the end
