"""Check: base class of all checks and consumers, and the diagnostics that checks yield."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import Damaged
from ..formats.lerobot import paths_v30
from ..formats.lerobot.datasets.dataset import Dataset

View = TypeVar("View", bound=Dataset)
Severity: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is not as it should be.

    Attributes:
        check: Name of the check.
        where: File relative to the dataset, and the place in it.
        message: What was found and what was expected.
        severity: ``error`` if LeRobot, or the consumer, fails on it or reads something wrong, ``note`` if nothing
            is wrong with it, else ``warning``.
        consumer: Who would trip over it; empty for LeRobot's own format.
    """

    check: str
    where: str
    message: str
    severity: Severity = "error"
    consumer: str = ""


class Check(ABC, Generic[View]):
    """Looks at one side of a dataset of one version, or of any where `View` is Dataset.

    Attributes:
        name: Name in reports.
    """

    name = "check"

    @abstractmethod
    def run(self, dataset: View, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong, as it is met.

        Args:
            dataset: May be damaged anywhere; what it raises ends this check with a finding.
            deep: Also look at everything that takes long, such as every frame of every video.

        Raises:
            Damaged: If the check cannot go on.
        """

    def error(self, where: str, message: str) -> Diagnostic:
        """Return a finding that makes the dataset wrong."""
        return Diagnostic(self.name, where, message)

    def warning(self, where: str, message: str) -> Diagnostic:
        """Return a finding that LeRobot can live with."""
        return Diagnostic(self.name, where, message, "warning")

    def note(self, where: str, message: str) -> Diagnostic:
        """Return a finding that may be as intended."""
        return Diagnostic(self.name, where, message, "note")

    def unknown(self, where: str) -> Diagnostic:
        """Return the finding for a column or an entry that LeRobot can live with, though info.json does not have it."""
        return self.warning(where, "is not a feature of info.json")

    def damaged(self, exc: Damaged) -> Diagnostic:
        """Return the finding that damage stands for."""
        return self.error(exc.place, exc.found)


class RowFaults:
    """Gathers faults of single rows of a file into one finding per kind: the first row, and how many.

    Args:
        check: The check that finds them.
        path: The file.
    """

    def __init__(self, check: Check[Any], path: str) -> None:
        self._check = check
        self._path = path
        self._first: dict[str, tuple[int, str, Severity]] = {}
        self._count: dict[str, int] = {}

    def note(
        self,
        kind: str,
        wrong: NDArray[np.bool_],
        first_row: int,
        describe: Callable[[int], str],
        severity: Severity = "error",
    ) -> None:
        """Take a batch: which of its rows are wrong, where it begins, and the words for one of them."""
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        if kind not in self._first:
            row = int(np.argmax(wrong))
            self._first[kind] = (first_row + row, describe(row), severity)
        self._count[kind] = self._count.get(kind, 0) + count

    def differences(self, name: str, found: NDArray[Any], expected: NDArray[Any], first_row: int) -> None:
        """Take a batch of a scalar column (n,) that should equal `expected`."""
        self.note(
            name, found != expected, first_row, lambda row: f"{name} is {found[row]!s} instead of {expected[row]!s}"
        )

    def findings(self) -> Iterator[Diagnostic]:
        """Yield one finding per kind."""
        for kind, (row, text, severity) in self._first.items():
            more = f" ({self._count[kind]} such rows in this file)" if self._count[kind] > 1 else ""
            yield Diagnostic(self._check.name, f"{self._path}, row {row}", text + more, severity)


class Repeated:
    """Gathers faults that are alike in many episodes into one finding per kind: the first place, and how many.

    Args:
        check: The check that finds them.
    """

    def __init__(self, check: Check[Any]) -> None:
        self._check = check
        self._first: dict[str, Diagnostic] = {}
        self._count: dict[str, int] = {}
        self._last: dict[str, str] = {}

    def note(self, kind: str, place: str, message: str, severity: Severity = "error") -> None:
        """Take one; those of a kind come place by place."""
        self._first.setdefault(kind, Diagnostic(self._check.name, place, message, severity))
        self._count[kind] = self._count.get(kind, 0) + (self._last.get(kind) != place)
        self._last[kind] = place

    def findings(self) -> Iterator[Diagnostic]:
        """Yield one finding per kind."""
        for kind, finding in self._first.items():
            more = f" (so in {self._count[kind]} episodes)" if self._count[kind] > 1 else ""
            yield replace(finding, message=finding.message + more)


@dataclass(frozen=True, slots=True)
class Consumer:
    """A program that reads LeRobot datasets.

    An error of its checks is something that it refuses or reads wrong, a warning something that it
    recomputes, reads slowly, or only reads in some environments.

    Attributes:
        title: Its name in sentences.
        reads: Versions of the format.
        checks: What it needs besides what every dataset of such a version needs.
        covers: Names of ordinary checks that say less exactly what its own say.
        unread: Names of ordinary checks of files that it does not read; left out if nobody asked for reads them.
        convert: Options of `robotrove convert` that it wants beside the version.
    """

    title: str
    reads: tuple[str, ...]
    checks: tuple[Check[Any], ...]
    covers: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    convert: str = ""

    def checks_for(self, version: str) -> tuple[Check[Any], ...]:
        """Return the checks of a dataset of a version; one that finds it wrong if it cannot be read."""
        return self.checks if version in self.reads else (_OtherVersion(self),)


class _OtherVersion(Check[Dataset]):
    """The dataset is of a version that the consumer does not read."""

    name = "version"

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield one error."""
        wanted = self._consumer.reads[-1]
        told = f"codebase_version is {dataset.version}, but {self._consumer.title} reads {wanted}"
        yield self.error(paths_v30.INFO, f"{told}: {converted(dataset, wanted, self._consumer.convert)}")


def converted(dataset: Dataset, version: str, options: str = "") -> str:
    """Return the command that writes a dataset in another version."""
    output = shlex.quote(f"{dataset.root}_{version.replace('.', '')}")
    command = f"robotrove convert {shlex.quote(str(dataset.root))} --to {version} -o {output} {options}"
    return f"`{command.rstrip()}`"
