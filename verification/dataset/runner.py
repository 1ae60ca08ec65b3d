"""Runner of all checks over a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import Damaged, UsageError
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.open_dataset import open_current
from ..check import Check, Consumer, Diagnostic, Severity
from . import CHECKS

MAX_FINDINGS = 20  # per check and severity; the rest is only counted

_COUNTS: Mapping[Severity, str] = {"error": "errors", "warning": "warnings", "note": "notes"}

NO_CONSUMERS: Mapping[str, Consumer] = {}

Progress = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """Result of all checks.

    Attributes:
        findings: In order of the checks; for one with more than 20 errors or warnings, the last says how
            many more there are.
        counts: Episodes, frames, tasks and cameras of the dataset, as far as they can be read, and
            the number of all errors, warnings and notes, those not listed included.
        consumers: Consumers with checks among them.
    """

    findings: tuple[Diagnostic, ...]
    counts: Mapping[str, int]
    consumers: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if there is no error; warnings do not count."""
        return not self.counts["errors"]


def verify(
    dataset: Path,
    *,
    deep: bool = False,
    consumers: Mapping[str, Consumer] = NO_CONSUMERS,
    progress: Progress | None = None,
) -> Report:
    """Run every check over a LeRobot dataset; memory does not grow with its size, but for some bytes per episode.

    Args:
        dataset: Its folder.
        deep: Also decode every frame and recompute everything that takes long.
        consumers: Name to consumer; its checks follow those of the dataset's version.
        progress: Called with the name of the check and the file it is about to read.

    Raises:
        UsageError: If there is no such folder, or its info.json names a version that is not known.
    """
    if not dataset.is_dir():
        raise UsageError(str(dataset), "does not exist", "a LeRobot dataset")
    running = ""

    def opened(path: str) -> None:
        if progress is not None:
            progress(running, path)

    if not (dataset / paths_v30.INFO).exists():
        return _unreadable(Damaged(paths_v30.INFO, "does not exist"))
    try:
        existing = open_current(dataset, on_file=opened)
    except Damaged as exc:
        return _unreadable(exc)
    kept: list[Diagnostic] = []
    totals: dict[Severity, int] = dict.fromkeys(_COUNTS, 0)
    reported: set[tuple[str, str, str]] = set()
    for consumer, check in _planned(existing.version, consumers):
        running = f"{consumer} {check.name}".lstrip()
        found: dict[Severity, int] = dict.fromkeys(_COUNTS, 0)
        for finding in _findings(check, existing, deep):
            told = (finding.where, finding.message)
            if reported & {("", *told), (consumer, *told)}:
                continue  # damage that an earlier check has met
            totals[finding.severity] += 1
            found[finding.severity] += 1
            if found[finding.severity] <= MAX_FINDINGS:
                kept.append(replace(finding, consumer=consumer))
                reported.add((consumer, *told))
        for severity, count in found.items():
            if count > MAX_FINDINGS:
                kept.append(Diagnostic(check.name, "", f"and {count - MAX_FINDINGS} more", severity, consumer))
    counts = _counts(existing) | {_COUNTS[severity]: count for severity, count in totals.items()}
    return Report(tuple(kept), counts, tuple(consumers))


def _unreadable(damage: Damaged) -> Report:
    """Return the report on a dataset with a missing or unreadable info.json."""
    return Report((Diagnostic("structure", damage.place, damage.found),), {"errors": 1, "warnings": 0, "notes": 0})


def _planned(version: str, consumers: Mapping[str, Consumer]) -> Iterator[tuple[str, Check[Any]]]:
    """Yield (consumer, check): first those of the format, but for what a consumer's own checks say better."""
    covered = {name for consumer in consumers.values() for name in consumer.covers if version in consumer.reads}
    if consumers:
        covered |= frozenset.intersection(*(consumer.unread for consumer in consumers.values()))
    for name, check in CHECKS[version].items():
        if name not in covered:
            yield "", check()
    for name, consumer in consumers.items():
        yield from ((name, check) for check in consumer.checks_for(version))


def own_findings(dataset: Dataset, consumer: Consumer) -> Iterator[Diagnostic]:
    """Yield the errors and warnings of a consumer's own checks alone."""
    for check in consumer.checks_for(dataset.version):
        yield from _findings(check, dataset, deep=False)


def _findings(check: Check[Any], dataset: Dataset, deep: bool) -> Iterator[Diagnostic]:
    """Yield what a check finds, damage that ends it included."""
    try:
        yield from check.run(dataset, deep=deep)
    except Damaged as exc:
        yield check.damaged(exc)


def _counts(dataset: Dataset) -> dict[str, int]:
    counts: dict[str, int] = {}
    with suppress(Damaged):
        counts |= {"episodes": len(dataset.lengths), "frames": int(dataset.lengths.sum())}
    with suppress(Damaged):
        counts["tasks"] = len(dataset.task_texts)
    with suppress(Damaged):
        counts["cameras"] = len(dataset.cameras)
    return counts
