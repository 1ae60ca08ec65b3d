"""robotrove verify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click

from ..core.errors import UsageError
from ..formats.lerobot import paths
from ..formats.lerobot.checks.base import Finding
from ..formats.lerobot.checks.runner import Report, verify
from ..formats.lerobot.views import open_view
from ..formats.lerobot.with_lerobot import Seen, seen_by_lerobot
from ..pipelines.source_check import SourceReport, check_source
from .display import Bar
from .output import counted, echo, echo_json


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--source", "run_dir", type=click.Path(path_type=Path), help="Run directory: compare with the source files too."
)
@click.option("--deep", is_flag=True, help="Decode and compare every frame, recompute every statistic.")
@click.option("--with-lerobot", is_flag=True, help="Also go through it with the LeRobot that is installed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(
    ctx: click.Context, dataset: Path, run_dir: Path | None, deep: bool, with_lerobot: bool, as_json: bool
) -> None:
    """Check that a DATASET (v2.1 or v3.0) is what LeRobot expects and, with --source, what the recordings say.

    Exits with 0 if it is, 1 if something is wrong, 2 if it is no dataset.
    """
    if not (dataset / paths.INFO).is_file():
        raise UsageError(str(dataset), f"is not a dataset, it has no {paths.INFO}", "a LeRobot dataset")
    source = seen = None
    with Bar("checking") as bar:
        report = verify(dataset, deep=deep, progress=lambda check, path: bar.show(description=check, note=path))
        if run_dir is not None:
            bar.show(description="comparing", note="")
            source = check_source(dataset, run_dir, deep=deep, progress=bar.show)
        if with_lerobot:
            bar.show(description="iterating", note="with LeRobot")
            seen = seen_by_lerobot(open_view(dataset))
    problems = report.counts["errors"] + (source.n_problems if source else 0) + bool(seen and seen.problem)
    if as_json:
        echo_json(_document(dataset, report, source, seen, ok=not problems))
    else:
        echo("\n".join(_lines(dataset, report, source, seen, problems)))
    ctx.exit(1 if problems else 0)


def _document(
    dataset: Path, report: Report, source: SourceReport | None, seen: Seen | None, *, ok: bool
) -> dict[str, object]:
    return {
        "dataset": str(dataset),
        "ok": ok,
        "counts": dict(report.counts),
        "findings": [asdict(finding) for finding in report.findings],
        "source": asdict(source) if source else None,
        "lerobot": asdict(seen) if seen else None,
    }


def _lines(
    dataset: Path, report: Report, source: SourceReport | None, seen: Seen | None, problems: int
) -> Iterator[str]:
    counts = report.counts
    facts = [
        counted(counts[name], name.removesuffix("s"))
        for name in ("episodes", "frames", "tasks", "cameras")
        if name in counts
    ]
    yield f"{dataset}: {', '.join(facts)}"
    for check, findings in groupby(report.findings, key=lambda finding: finding.check):
        yield f"{check}:"
        yield from (f"  {_finding(finding)}" for finding in findings)
    if source is not None:
        yield from _source_lines(source)
    if seen is not None:
        yield f"LeRobot {seen.lerobot}: {seen.problem or counted(seen.frames, 'frame') + ' read'}"
    verdict = counted(problems, "problem") if problems else "nothing is wrong"
    yield f"{verdict}, {counted(counts['warnings'], 'warning')}" if counts["warnings"] else verdict


def _finding(finding: Finding) -> str:
    severity = "" if finding.severity == "error" else f"{finding.severity}: "
    where = f"{finding.where}: " if finding.where else ""
    return f"{severity}{where}{finding.message}"


def _source_lines(source: SourceReport) -> Iterator[str]:
    episodes, frames = counted(source.episodes, "episode"), counted(source.frames, "video frame")
    yield f"source: {episodes} and {frames} compared"
    if source.foreign:
        yield f"  {counted(source.foreign, 'episode')} of another run not compared"
    yield from (f"  {problem.where}: {problem.message}" for problem in source.problems)
    if (more := source.n_problems - len(source.problems)) > 0:
        yield f"  and {more} more"
