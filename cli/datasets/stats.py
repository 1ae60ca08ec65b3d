"""robotrove stats."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ...blocks.dataset.gr00t_files import Gr00tFiles
from ...core.errors import UsageError, naming_dataset
from ...formats.lerobot.gr00t.modality import MODALITY
from ...formats.lerobot.recompute.dataset_recompute import StatsReport, complete_gr00t, open_v21, recompute
from ...formats.lerobot.stats.stats_comparison import FeatureDifferences, StatDifference
from ...hub.address import is_on_hub
from ...hub.source_files import local_dataset
from ..arguments import force_option
from ..display import Bar
from ..output import counted, echo, echo_json

_SHOWN_VALUES = 6


@click.command()
@click.argument("dataset", type=click.Path())
@click.option("--check", is_flag=True, help="Write nothing, report differences.")
@click.option("--cameras", is_flag=True, help="Recompute all cameras, also those without errors.")
@click.option("--gr00t", is_flag=True, help="v2.1: also write GR00T's meta/stats.json.")
@click.option(
    "--relative",
    type=click.Path(path_type=Path),
    metavar="CONFIG",
    help="v2.1: also write GR00T's meta/relative_stats.json, for the relative actions in CONFIG.",
)
@click.option("--robot", help="v2.1: write GR00T's files alone: meta/modality.json of this robot, and meta/stats.json.")
@click.option(
    "--modality",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="v2.1: write GR00T's files alone, with your own modality.json.",
)
@click.option("--replace", is_flag=True, help="With --robot or --modality: replace a modality.json that differs.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(
    ctx: click.Context,
    dataset: str,
    check: bool,
    cameras: bool,
    gr00t: bool,
    relative: Path | None,
    robot: str | None,
    modality: Path | None,
    replace: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Recompute or check the statistics of a dataset.

    DATASET is a folder of LeRobot's format, v3.0 or v2.1. With --check it may be hf://datasets/OWNER/NAME[@REVISION].

    Only files of statistics in the folder meta/ change. Rerun an interrupted command to complete them. With --robot or
    --modality only GR00T's files are written, those of them that are missing or differ. Exits with 0; with --check with
    1 if something differs.
    """
    if is_on_hub(dataset) and not check:
        raise UsageError(dataset, "is on the Hub and cannot be changed in place", "--check, or a folder")
    folder = local_dataset(dataset, force=force)
    given = {"--relative": relative, "--robot": robot, "--modality": modality}
    asked = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    is_gr00t = robot is not None or modality is not None or replace
    if is_gr00t and cameras:
        raise UsageError(
            "--cameras", "is for LeRobot's statistics", "a command of its own, without --robot, --modality"
        )
    with Bar("reading files") as bar, naming_dataset(folder):
        if is_gr00t:
            report = _complete(folder, robot, modality, relative, check=check, replace=replace)
        else:
            report = recompute(
                folder,
                check=check,
                cameras=cameras,
                gr00t=gr00t,
                relative=relative,
                progress=lambda what, done, total: bar.show(done, total, description=what),
            )
    asked += ["--gr00t"] * gr00t + ["--replace"] * (bool(report.modality) and (folder / MODALITY).exists())
    differs = bool(report.differences or report.modality)
    if as_json:
        echo_json({"dataset": dataset, "ok": not (check and differs), **asdict(report)})
    else:
        echo("\n".join(_lines(dataset, report, check, asked)))
    ctx.exit(1 if check and differs else 0)


def _complete(
    folder: Path, robot: str | None, modality: Path | None, relative: Path | None, *, check: bool, replace: bool
) -> StatsReport:
    own = str(modality) if modality is not None else None
    files = Gr00tFiles(robot=robot, modality=own, replace=replace or check)
    dataset = open_v21(folder)
    files.check_datasets(dataset.features, [folder])
    return complete_gr00t(dataset, files.content(dataset.features), check=check, relative=relative)


def _lines(dataset: str, report: StatsReport, check: bool, asked: Sequence[str]) -> Iterator[str]:
    name = shlex.quote(dataset)
    yield f"{dataset}: {counted(report.episodes, 'episode')}, {counted(report.frames, 'frame')}"
    yield f"recomputed: {counted(len(report.numbers), 'feature')} from the rows"
    for camera, why in report.cameras.items():
        yield f"recomputed: {camera} from its frames ({why})"
    for camera in report.kept:
        yield f"kept: {camera}, because depth is not decoded"
    for feature, found in report.differences.items():
        yield _summary(feature, found, check)
        if check:
            yield from (f"  {_told(difference)}" for difference in found.shown)
            if (more := found.count - len(found.shown)) > 0:
                yield f"  and {more:,} more"
    if check:
        yield from (f"{MODALITY}: {difference}" for difference in report.modality)
        total = sum(found.count for found in report.differences.values()) + len(report.modality)
        yield f"{counted(total, 'value')} {'differs' if total == 1 else 'differ'}" if total else "no differences"
        yield f"fix: robotrove stats {shlex.join([dataset, *asked])}" if total else f"check: robotrove verify {name}"
    else:
        yield f"written: {', '.join(report.written)}" if report.written else "nothing to do"
        yield f"check: robotrove verify {name}"


def _summary(feature: str, found: FeatureDifferences, check: bool) -> str:
    names = ", ".join(found.statistics)
    if found.missing == found.count:
        return f"{feature}: {counted(found.count, 'value')} {'missing' if check else 'added'} ({names})"
    missing = f", {found.missing:,} of them missing" if found.missing else ""
    verb = "changed" if not check else "differs" if found.count == 1 else "differ"
    return f"{feature}: {counted(found.count, 'value')} {verb} ({names}){missing}"


def _told(difference: StatDifference) -> str:
    where = difference.file if difference.episode is None else f"{difference.file}, episode {difference.episode}"
    found = "missing" if difference.found is None else _short(difference.found)
    return f"{where}: {difference.statistic} is {found}; expected {_short(difference.expected)}"


def _short(values: object) -> str:
    """Return nested lists of numbers as text, no longer than a line."""
    flat = list(_flat(values))
    more = f" … {len(flat)} values" if len(flat) > _SHOWN_VALUES else ""
    return "[" + ", ".join(f"{value:.9g}" for value in flat[:_SHOWN_VALUES]) + more + "]"


def _flat(values: object) -> Iterator[float]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    elif isinstance(values, int | float):
        yield values
