"""The command line: one small file per command, imported when it is called."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

import click

from ..core.errors import COMMAND_LINE, EpisodeRejected, RobotroveError, UsageError, nearest, not_written
from ..core.machine import open_standard_streams
from .output import echo, terminal_json

# Name to the room that the command is in, and its line in the help.
COMMANDS = {
    "init": ("recordings", "Recognise the layout of files and write a pipeline file."),
    "import-config": ("recordings", "Write a pipeline file for another converter's options."),
    "plan": ("runs", "Show what a run would do, and change nothing."),
    "run": ("runs", "Run a pipeline, or resume an interrupted run."),
    "status": ("runs", "Show the progress and failures of a run."),
    "cancel": ("runs", "Cancel the jobs of a run, or its command."),
    "inspect": ("recordings", "Show HDF5 files, datasets, or one episode of a dataset."),
    "split": ("recordings", "Split an HDF5 file into one file per episode."),
    "repack": ("recordings", "Repack the episodes of HDF5 files into files of N episodes."),
    "aggregate": ("datasets", "Merge datasets into one v3.0 dataset."),
    "convert": ("datasets", "Convert a dataset to v2.1 or v3.0."),
    "edit": ("datasets", "Edit episodes, tasks and features in a new dataset."),
    "verify": ("datasets", "Check a dataset, also against its recordings."),
    "stats": ("datasets", "Recompute or check the statistics of a dataset."),
    "export-actions": ("datasets", "Write actions as HDF5 for a replay in the simulator."),
    "handoff": ("datasets", "Write the files that start training."),
    "push": ("datasets", "Push a dataset to the Hub or to OSMO."),
    "trace": ("runs", "Show the recording of an episode."),
    "sample": ("recordings", "Write small sample files of a layout."),
    "schema": ("runs", "Print the JSON Schema of a pipeline file."),
}

_INTERRUPTED = 130  # like a program that ended by SIGINT


class _Lazy(click.Group):
    """Knows the commands by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            ctx.fail(f"unknown command {cmd_name!r}{nearest(cmd_name, COMMANDS)}")
        room, _ = COMMANDS[cmd_name]
        command: click.Command = import_module(f".{room}.{cmd_name.replace('-', '_')}", __name__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="robotrove")
def _root() -> None:
    """Convert robot demonstrations in HDF5 to LeRobot datasets; merge, convert, verify and push them."""


def program() -> None:
    """Be the program: `main`, but what was imported is not taken apart, which takes longer than some commands do."""
    os._exit(_flushed_exit_code())


def main() -> None:
    """Run the command line; exit 0 when all is well, 1 when something failed, 2 for bad usage."""
    sys.exit(_flushed_exit_code())


def _flushed_exit_code() -> int:
    open_standard_streams()
    try:
        code = _exit_code()
        sys.stdout.flush()
    except OSError as exc:
        if traceback.extract_tb(exc.__traceback__)[-1].name not in ("echo", _flushed_exit_code.__name__):
            raise  # not of standard output
        if not isinstance(exc, BrokenPipeError):  # else its reader has seen enough
            todo = "rerun the command; finished work is kept"
            echo(f"error: {not_written(Path('standard output'), exc, 'a place with free space', todo)}", err=True)
        # Python must not complain about it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1  # as click does when it is the one to notice
    return code


def _exit_code() -> int:
    os.environ[COMMAND_LINE] = "1"
    try:
        return int(_root(prog_name="robotrove", standalone_mode=False) or 0)
    except click.ClickException as exc:
        exc.show()
        _echo_json(UsageError("", exc.format_message()))
        return 2
    except (click.Abort, KeyboardInterrupt):
        echo("interrupted", err=True)
        return _INTERRUPTED
    except EpisodeRejected as exc:  # outside of a run: the file that was asked for cannot be used
        echo(f"error: {exc.detail} ({exc.reason})", err=True)
        _echo_json(exc)
        return 2
    except RobotroveError as exc:
        echo(f"error: {exc}", err=True)
        _echo_json(exc)
        return exc.exit_code
    finally:
        del os.environ[COMMAND_LINE]


def _echo_json(error: RobotroveError) -> None:
    """Print an error as one line of JSON, the last one of standard error, where the command was asked for JSON."""
    if "--json" in sys.argv:
        echo(terminal_json(error.to_json()), err=True)
