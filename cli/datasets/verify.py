"""robotrove verify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click

from ...core.errors import UsageError
from ...formats.lerobot.datasets.open_dataset import check_is_dataset, open_dataset
from ...pipelines.replay.replay_check import ReplayReport, check_replay
from ...pipelines.run.reopen import finished_run
from ...verification.check import Diagnostic
from ...verification.consumers import CONSUMERS, chosen
from ...verification.consumers.installed_lerobot import Seen, seen_by_lerobot
from ...verification.dataset.runner import Report, verify
from ...verification.source.source_check import Audited, SourceReport, check_source
from ..display import Bar
from ..output import counted, echo, echo_json


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--source", "run_dir", type=click.Path(path_type=Path), help="Run directory: also compare with the recordings."
)
@click.option("--replay", is_flag=True, help="With --source: also convert vectors back and compare.")
@click.option("--deep", is_flag=True, help="Decode and compare every frame, recompute every statistic.")
@click.option(
    "--for",
    "consumers",
    type=click.Choice(list(CONSUMERS)),
    multiple=True,
    help="Also report what this consumer refuses, misreads or recomputes; can be given several times.",
)
@click.option("--with-lerobot", is_flag=True, help="Also read the dataset with the installed LeRobot.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(
    ctx: click.Context,
    dataset: Path,
    run_dir: Path | None,
    replay: bool,
    deep: bool,
    consumers: tuple[str, ...],
    with_lerobot: bool,
    as_json: bool,
) -> None:
    """Check a dataset, also against its recordings.

    DATASET is a folder of LeRobot's format, v3.0 or v2.1. With --source the values must equal those of the
    recordings. --replay also converts vectors back to the order and the units of the simulator, by joint name and
    the inverse of the conversion, and compares them with the recordings.

    Exits with 0 without errors, 1 with errors, 2 if DATASET is not a dataset.
    """
    check_is_dataset(dataset)
    if replay and run_dir is None:
        raise UsageError("--replay", "needs the recordings", "--source RUN_DIR beside it")
    recordings = finished_run(run_dir) if run_dir is not None else None  # refused now, not after all other checks
    source = replayed = seen = None
    with Bar("checking") as bar:
        report = verify(
            dataset,
            deep=deep,
            consumers=chosen(consumers),
            progress=lambda check, path: bar.show(description=check, note=path),
        )
        if recordings is not None and replay:
            bar.show(description="taking back", note="")
            replayed = check_replay(dataset, recordings, progress=bar.show)
        if recordings is not None:
            bar.show(description="comparing", note="")
            source = check_source(dataset, recordings, deep=deep, progress=bar.show)
        if with_lerobot:
            bar.show(description="iterating", note="with LeRobot")
            seen = seen_by_lerobot(open_dataset(dataset))
    compared = sum(one.n_problems for one in (source, replayed) if one)
    problems = report.counts["errors"] + compared + bool(seen and seen.problem)
    if as_json:
        echo_json(_document(dataset, report, source, replayed, seen, ok=not problems))
    else:
        echo("\n".join(_lines(dataset, report, source, replayed, seen, problems)))
    ctx.exit(1 if problems else 0)


def _document(
    dataset: Path,
    report: Report,
    source: SourceReport | None,
    replayed: ReplayReport | None,
    seen: Seen | None,
    *,
    ok: bool,
) -> dict[str, object]:
    return {
        "dataset": str(dataset),
        "ok": ok,
        "counts": dict(report.counts),
        "for": report.consumers,
        "findings": [asdict(finding) for finding in report.findings],
        "source": asdict(source) if source else None,
        "replay": asdict(replayed) if replayed else None,
        "lerobot": asdict(seen) if seen else None,
    }


def _lines(
    dataset: Path,
    report: Report,
    source: SourceReport | None,
    replayed: ReplayReport | None,
    seen: Seen | None,
    problems: int,
) -> Iterator[str]:
    counts = report.counts
    facts = [
        counted(counts[name], name.removesuffix("s"))
        for name in ("episodes", "frames", "tasks", "cameras")
        if name in counts
    ]
    yield f"{dataset}: {', '.join(facts)}"
    for (consumer, check), findings in groupby(report.findings, key=lambda finding: (finding.consumer, finding.check)):
        yield f"{consumer}, {check}:" if consumer else f"{check}:"
        yield from (f"  {_finding(finding)}" for finding in findings)
    for consumer in report.consumers:
        if all(finding.consumer != consumer for finding in report.findings):
            yield f"{consumer}: no errors or warnings"
    if source is not None:
        yield f"source: {counted(source.episodes, 'episode')} and {counted(source.frames, 'video frame')} compared"
        yield from _audit_lines(source.audited)
        yield from _problem_lines(source)
    if replayed is not None:
        yield from _replay_lines(replayed)
    if seen is not None:
        yield f"LeRobot {seen.lerobot}: {seen.problem or counted(seen.frames, 'frame') + ' read'}"
    verdict = counted(problems, "error") if problems else "no errors"
    yield f"{verdict}, {counted(counts['warnings'], 'warning')}" if counts["warnings"] else verdict


def _finding(finding: Diagnostic) -> str:
    severity = "" if finding.severity == "error" else f"{finding.severity}: "
    where = f"{finding.where}: " if finding.where else ""
    return f"{severity}{where}{finding.message}"


def _audit_lines(audited: Audited) -> Iterator[str]:
    read = f"{counted(audited.pyfive, 'dataset')} read by pyfive, {audited.h5py} by h5py"
    yield f"second opinion: {counted(audited.episodes, 'episode')}, {read}"
    for key, loss in audited.losses.items():
        yield f"  {key}: {counted(loss.entries, 'entry')} changed by the cast, by up to {loss.largest:.2g}"
    if audited.without:
        yield f"  {counted(audited.without, 'episode')} without: the source has no mapping"


def _replay_lines(replayed: ReplayReport) -> Iterator[str]:
    episodes, rows = counted(replayed.episodes, "episode"), counted(replayed.rows, "row")
    yield f"replay: {episodes} and {rows} compared with the recordings"
    for key, column in replayed.columns.items():
        rounding = f"to within rounding (largest difference {column.largest_difference:.1e})"
        ways = [
            f"{counted(len(entries), 'entry')} {how}"
            for entries, how in ((column.exact, "exactly"), (column.rounded, rounding))
            if entries
        ]
        yield f"  {key}: {', '.join(ways) or 'nothing'}"
        if column.not_compared:
            yield f"    not compared, missing in the dataset: {', '.join(column.not_compared)}"
    if replayed.added:
        yield f"  not compared, not in the recordings: {', '.join(replayed.added)}"
    yield from _problem_lines(replayed)


def _problem_lines(report: SourceReport | ReplayReport) -> Iterator[str]:
    if report.foreign:
        yield f"  {counted(report.foreign, 'episode')} of another run not compared"
    if isinstance(report, SourceReport) and report.dropped:
        yield f"  {counted(report.dropped, 'episode')} of the run not in the dataset: an edit dropped episodes"
    yield from (f"  {problem.where}: {problem.message}" for problem in report.problems)
    if (more := report.n_problems - len(report.problems)) > 0:
        yield f"  and {more} more"
