"""Errors that users meet: where, what was found, what was expected, what to do; and helpers that word them."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .commit import exists_now

COMMAND_LINE = "ROBOTROVE_COMMAND_LINE"  # set while the command line runs, also for the processes that it starts
_MOST_SHOWN = 6  # numbers in a sentence
# C0 but tab and line feed, C1, separators of lines, and what reorders the letters around it (UAX #9).
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_PACKAGE = f"{Path(__file__).resolve().parent.parent}{os.sep}"


def option(name: str, value: str = "") -> str:
    """Return an option of a run as its user types it: `--run-dir DIR`, or `run_dir="DIR"` in Python."""
    if COMMAND_LINE in os.environ:
        return f"--{name} {value}".rstrip()
    return f"{name.replace('-', '_')}=" + (f'"{value}"' if value else "True")


class RobotroveError(Exception):
    """Root of all errors that robotrove raises on purpose: data, from which their text is made here.

    Attributes:
        where: File, key or block the error is about.
        found: What was found there.
        expected: What should have been there.
        todo: What the user can do about it, ideally the next command to type.
        see: Folder or file that says more.
    """

    exit_code = 1

    def __init__(self, where: str, found: str, expected: str = "", todo: str = "", see: str = "") -> None:
        super().__init__(where, found, expected, todo, see)
        self.where = where
        self.found = found
        self.expected = expected
        self.todo = todo
        self.see = see

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.found}" if self.where else self.found]
        more = {"expected": self.expected, "see": self.see, "to do": self.todo}
        return "\n".join([*lines, *(f"  {label}: {text}" for label, text in more.items() if text)])

    def to_json(self) -> dict[str, Any]:
        """Return the error as values that JSON can hold: its class, and every attribute that says something."""
        facts = {name: value for name, value in vars(self).items() if value}
        return {"error": type(self).__name__, **json.loads(json.dumps(facts, default=asdict))}

    def __reduce__(self) -> tuple[Callable[..., RobotroveError], tuple[Any, ...]]:
        return _restored, (type(self), self.args, self.__dict__)  # subclasses take other arguments


def _restored(cls: type[RobotroveError], args: tuple[Any, ...], attributes: dict[str, Any]) -> RobotroveError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


class UsageError(RobotroveError):
    """Bad usage, nothing readable, or an output that is not ours."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in a configuration file; `line` counts from 1, 0 where it has none."""

    line: int
    message: str


class ConfigError(UsageError):
    """All errors of one configuration, reported together."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: p.line)
        count = f"{len(problems)} error{'s' if len(problems) != 1 else ''}"
        lines = [f"{source}:{p.line}: {p.message}" if p.line else f"{source}: {p.message}" for p in self.problems]
        super().__init__(source, f"{count} found\n  " + "\n  ".join(lines), todo="fix the file and rerun the command")


class EpisodeRejected(RobotroveError):
    """An episode cannot be used; the run goes on without it.

    Args:
        reason: Short snake_case name under which rejections are counted.
        detail: One sentence for the person who looks into it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = printable(detail)
        super().__init__(reason, self.detail)


class RunLocked(UsageError):
    """Another process, or a job on a cluster, works on the same run directory."""

    def __init__(self, run_dir: str, holder: str, todo: str = "") -> None:
        wait = f"wait for it (robotrove status {shlex.quote(run_dir)}), or stop that process and rerun the command"
        super().__init__(
            run_dir, f"{holder} is working on this run", "one command at a time per run directory", todo or wait
        )


class RunChanged(UsageError):
    """The run directory belongs to another pipeline, version or set of sources.

    Args:
        run_dir: The run directory.
        differences: Lines that say what differs.
        other: What the run makes of what, if that is another dataset altogether: it is not to be moved aside for this.
    """

    def __init__(self, run_dir: str, differences: Iterable[str], other: str = "") -> None:
        super().__init__(
            run_dir,
            "was created with another pipeline, sources or versions:\n    " + "\n    ".join(differences),
            "the same pipeline, sources and versions as when the run was created",
            another_output(other)
            if other
            else f"{option('output', 'DIR')} for another dataset, {option('run-dir', 'DIR')} for a new run, or "
            f"{option('fresh')} to move this one aside and start over",
        )


def another_output(other: str) -> str:
    """Return what to do where the run directory belongs to another dataset."""
    return f"{option('output', 'DIR')} for this dataset: the one here is another ({other})"


class RunOfOtherVersion(RunChanged):
    """Another version of robotrove created the run directory; its plans and shards may have another format.

    Args:
        run_dir: The run directory.
        made_by: The version that made it.
        this: The running version.
        instead: What the user can do with the running version.
    """

    def __init__(self, run_dir: str, made_by: str, this: str, instead: str) -> None:
        UsageError.__init__(
            self,
            run_dir,
            f"was created by robotrove {made_by}, but this is robotrove {this}",
            f"a run of robotrove {this}",
            f"use robotrove {made_by}, or {instead}",
        )


class Damaged(RobotroveError):
    """Something in a dataset cannot be read as what it should be.

    Args:
        where: File relative to the dataset, and the place in it.
        found: What is wrong there.

    Attributes:
        place: `where`, also where the error names the dataset too.
    """

    def __init__(self, where: str, found: str) -> None:
        super().__init__(where, found)
        self.place = where


class DatasetDamaged(Damaged, UsageError):
    """A dataset cannot be read: `Damaged` with the dataset's folder and the command that checks it.

    Args:
        root: Folder of the dataset.
        where: As in `Damaged`.
        found: As in `Damaged`.
    """

    def __init__(self, root: Path, where: str, found: str) -> None:
        RobotroveError.__init__(self, str(root / where), found, "a complete LeRobot dataset", verify_command(root))
        self.place = where


def verify_command(root: Path) -> str:
    """Return the command that checks a dataset."""
    return f"robotrove verify {shlex.quote(str(root))}"


class RankFailed(RobotroveError):
    """Some ranks of a stage failed; the others finished."""

    def __init__(self, stage: str, failures: dict[int, str], logs: str, resume: str) -> None:
        self.failures = failures
        shown = [f"rank {rank}: {why}" for rank, why in sorted(failures.items())[:5]]
        more = [f"and {len(failures) - 5} more"] if len(failures) > 5 else []
        super().__init__(
            f"stage {stage}",
            f"{len(failures)} rank(s) failed\n    " + "\n    ".join(shown + more),
            todo=f"fix the cause, then resume with: {resume}",
            see=logs,
        )


class Superseded(RobotroveError):
    """Another process finished the same shard or file first; its result stands."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "superseded: another process finished it first", todo="nothing; its result is used")


def exists_already(target: Path, kind: str = "file", todo: str = "-o NAME, or move it away") -> UsageError:
    """Return the error for a file, or another kind of thing, that would be replaced."""
    return UsageError(str(target), "already exists", f"a {kind} that does not exist yet", todo)


def not_written(path: Path, exc: OSError, expected: str, todo: str = "") -> UsageError:
    """Return the error for a file or a folder that the file system does not take."""
    return UsageError(str(path), f"cannot be written: {exc.strerror or exc}", expected, todo)


def explained(exc: Exception) -> str:
    """Return an error for people: our own as they are, others after the name of their kind."""
    if isinstance(exc, EpisodeRejected):
        return f"{exc.reason}: {exc.detail}"
    return str(exc) if isinstance(exc, RobotroveError) else f"{type(exc).__name__}: {exc}"


def of_episode(exc: Exception, where: str) -> EpisodeRejected:
    """Return the rejection of an episode for an error of the code that works on it.

    Args:
        exc: The error. An OSError, a missing package and what robotrove raises on purpose are no fault of one episode:
            they are raised.
        where: Code that failed, for people.
    """
    if isinstance(exc, EpisodeRejected):
        return exc
    if isinstance(exc, OSError | ImportError | RobotroveError):
        raise exc
    if isinstance(exc, MemoryError):
        return EpisodeRejected("too_large", f"{where} needs more memory than there is: {exc}")
    return EpisodeRejected("step_failed", f"{where}: {type(exc).__name__}: {exc}, at {outside_frame(exc)}")


def outside_frame(exc: Exception) -> str:
    """Return file and line where code of the user raised an error, else where it was raised."""
    frames = traceback.extract_tb(exc.__traceback__)
    own = [
        frame for frame in frames if not frame.filename.startswith(_PACKAGE) and "site-packages" not in frame.filename
    ]
    return next((f"{frame.filename}:{frame.lineno}" for frame in reversed(own or frames)), "an unknown line")


def in_utf8(text: str) -> str:
    """Return text with what UTF-8 cannot hold written as escapes: names in files may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def check_utf8(path: str, todo: str) -> None:
    """Raise UsageError for a path that UTF-8 cannot hold."""
    if in_utf8(path) != path:
        raise UsageError(printable(path), "its name is not UTF-8", "a path in UTF-8", todo)


def printable(text: str) -> str:
    """Return text on one line, control characters written as escapes: names in files are not for terminals."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in in_utf8(text))


def without_controls(text: str) -> str:
    """Return text with control characters, and those that reorder letters, as escapes; its lines and tabs stay."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the allowed name closest to `name`, or an empty string."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def some(numbers: Iterable[int]) -> str:
    """Return the smallest of some numbers, in order."""
    first = sorted(numbers)
    return ", ".join(map(str, first[:_MOST_SHOWN])) + (", …" if len(first) > _MOST_SHOWN else "")


@contextmanager
def naming_dataset(root: Path) -> Iterator[None]:
    """Turn damage of a dataset into an error that names its folder; errors of its videos say what to do.

    Raises:
        DatasetDamaged: For what is Damaged in the block.
    """
    try:
        yield
    except DatasetDamaged:
        raise
    except Damaged as exc:
        raise DatasetDamaged(root, exc.where, exc.found) from exc
    except RobotroveError as exc:
        if exc.where.startswith(str(root)):
            exc.todo = exc.todo or verify_command(root)
        raise


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn what a damaged or missing file of a run raises into an error that says how to go on."""
    exists_now(path)
    restore = f"restore it, or rerun the command that made it with {option('fresh')}, which moves this run aside"
    try:
        yield
    except FileNotFoundError as exc:
        found = f"is not visible on {socket.gethostname()}: {explained(exc)}"
        todo = f"rerun the command in a minute, as on NFS it may be on its way; if it stays missing, {restore}"
        raise RobotroveError(str(path), found, "the files as robotrove wrote them", todo) from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        found = f"is damaged: {explained(exc)}"
        raise RobotroveError(str(path), found, "the files as robotrove wrote them", restore) from exc


@contextmanager
def packages_needed() -> Iterator[None]:
    """Say in words which machine lacks a package, and what to do.

    Raises:
        RobotroveError: If the block could not import one.
    """
    try:
        yield
    except ImportError as exc:
        raise RobotroveError(
            f"{sys.executable} on {socket.gethostname()}",
            str(exc),
            "every package that robotrove needs",
            "install robotrove there or exclude that machine, then resume the run",
        ) from exc
