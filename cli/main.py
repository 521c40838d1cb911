"""The command `holdfast`: finds the command asked for, and says plainly what went wrong."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from cli.leaving import leave
from cli.surroundings import adopt_running_dev
from schemas.errors import HoldfastError, UnavailableError
from schemas.log_lines import LogLines, quiet_unconfigured

# name -> one line; the command itself is `command` in cli/NAME.py, imported only when it is asked for.
COMMANDS = {
    "dev": "The whole system on this machine, with demo data.",
    "worker": "One worker process, for production.",
    "web": "One web process, for production.",
    "sinks": "Stand-ins for every provider of messages, for trying things out.",
    "doctor": "Check every part and say what to do.",
    "migrate": "Bring the database to this version.",
    "demo": "Load the demo customer base.",
    "validate": "All problems of playbooks, policy, health models and templates.",
    "schema": "Write the JSON Schemas that editors use.",
    "graph": "A playbook as a picture, in Mermaid.",
    "score": "Health of given facts, and how well a model tells who leaves.",
    "match": "Which triggers hold for given facts.",
    "explain": "Why a trigger holds or doesn't, line by line.",
    "simulate": "Play one customer through a playbook on a virtual clock.",
    "backtest": "Play a playbook over the stored past.",
    "test": "Run the tests that lie beside the playbooks.",
    "new": "Write a commented playbook or step to start from.",
    "plan": "What publishing edited playbooks would change.",
    "apply": "Publish playbooks.",
    "versions": "The versions of a playbook.",
    "diff": "What two versions of a playbook differ in.",
    "rollback": "Make an earlier version of a playbook live again.",
    "correct": "Say what an event was really like, or that it never happened.",
    "trigger": "Enter one customer into a playbook.",
    "runs": "Runs and where they are.",
    "pause": "Let runs stand still.",
    "resume": "Let paused runs go on.",
    "stop": "End runs now.",
    "providers": "Who sends messages, who of them is parked, and using them again.",
    "complaints": "How many complained, where that has parked messages, and lifting it.",
    "suppress": "Never write to an address, and why; lift that, list it.",
    "erase": "Forget a customer for good; list whom, keep them out.",
    "export": "Everything known of one customer, as JSON.",
    "report": "What playbooks achieved.",
    "people": "Who may sign in: accounts, roles, one-time links.",
    "keys": "API keys of programs.",
    "churn": "Churn models on any table: fit, predict, evaluate.",
    "train": "Train the churn models on the history; list them, roll back.",
}
# Of each generation: so many more objects, or collections of the younger one, until it is looked through. What runs on
# and on (`worker`, `web`) sets its own.
GARBAGE_THRESHOLDS = (50_000, 20, 50)
# These run the system; all others talk to one that runs.
PROCESSES = ("dev", "worker", "web", "sinks")


class Commands(click.Group):
    """A group whose commands are imported when they are used, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--traceback", "show_traceback", is_flag=True, help="Print the whole traceback of an internal error."
)
@click.pass_context
def holdfast(context: click.Context, show_traceback: bool) -> None:
    """Durable interventions for customer success: playbooks in YAML, runs on Temporal.

    \b
    Examples:
      holdfast dev                      everything, with a demo customer base
      holdfast validate                 check the playbooks of this directory
      holdfast COMMAND --help           what a command does, with an example
    """
    context.obj = show_traceback
    if context.invoked_subcommand not in PROCESSES:
        adopt_running_dev(os.environ)


def run(arguments: Sequence[str]) -> int:
    """Carry out `arguments`; the exit status is 0 good, 1 problems, 2 used wrongly, 130 interrupted."""
    output = sys.stdout
    quiet_unconfigured()
    try:
        result = holdfast.main(list(arguments), prog_name="holdfast", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except HoldfastError as error:
        click.echo(f"holdfast: {error}", err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("holdfast: interrupted", err=True)
        return 130
    except SystemExit as error:
        # If whoever reads our output has seen enough, Click replaces it and leaves: no problem found.
        if sys.stdout is not output:
            return 0
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the outermost place: everything unforeseen ends here
        if _is_database_away(error):
            click.echo(f"holdfast: {UnavailableError(_DATABASE_AWAY)}", err=True)
            return 1
        return _tell_internal_error(error, "--traceback" in arguments)
    return result if isinstance(result, int) else 0


_DATABASE_AWAY = "the database that HOLDFAST_DATABASE_URL names can't be reached, or isn't migrated."


def _is_database_away(error: Exception) -> bool:
    """Whether a command failed because its database did; the database's module is only looked at if it was used."""
    database = sys.modules.get("store.database")
    return database is not None and isinstance(error, database.DATABASE_AWAY)


def _tell_internal_error(error: Exception, show: bool) -> int:
    # What is told ends in the logs of processes, and the file in reports: neither quotes anybody's data.
    lines = LogLines(os.environ)
    trace = "\n".join(["Traceback", *lines.describe(error)])
    if show:
        click.echo(lines.hide(trace), err=True)
        return 1
    with tempfile.NamedTemporaryFile(
        "w", prefix="holdfast-", suffix=".traceback.txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"{lines.hide(trace)}\n")
    click.echo(
        f"holdfast: internal error: {lines.name(error)[:300]} [HF000] The traceback is in "
        f"{Path(file.name)}; `holdfast --traceback …` prints it, HOLDFAST_LOG_ERRORS=full with all messages.",
        err=True,
    )
    return 1


def main() -> NoReturn:
    """The console script: carry out sys.argv and leave."""
    # What importing makes stays: to look through it again and again takes a fifth of a start.
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    leave(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
