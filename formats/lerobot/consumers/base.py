"""What a consumer is: the versions of the format that it reads, and its own checks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import paths_v30
from ..checks.base import Check, Finding
from ..datasets.dataset import DatasetView


@dataclass(frozen=True, slots=True)
class Consumer:
    """A program that reads LeRobot datasets.

    An error of its checks is something that it refuses or reads wrong, a warning something that it
    computes anew, is slow with, or only reads in some environments.

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


class _OtherVersion(Check[DatasetView]):
    """The dataset is of a version that the consumer does not read."""

    name = "version"

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield one error."""
        wanted = self._consumer.reads[-1]
        told = f"codebase_version is {dataset.version}, but {self._consumer.title} reads {wanted}"
        yield self.error(paths_v30.INFO, f"{told}: {converted(dataset, wanted, self._consumer.convert)}")


def converted(dataset: DatasetView, version: str, options: str = "") -> str:
    """Return the command that writes a dataset in another version."""
    output = shlex.quote(f"{dataset.root}_{version.replace('.', '')}")
    command = f"robotrove convert {shlex.quote(str(dataset.root))} --to {version} -o {output} {options}"
    return f"`{command.rstrip()}`"


def with_stats(dataset: DatasetView) -> str:
    """Return the command that writes the statistics that GR00T reads."""
    return f"`robotrove stats {shlex.quote(str(dataset.root))} --gr00t`"
