"""robotrove export-actions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from ...core.episode import number_ranges
from ...core.errors import naming_dataset
from ...pipelines.replay.action_export import ActionExport, export_actions
from ..display import Bar
from ..output import counted, echo, echo_json


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="HDF5 file to write; it must not exist."
)
@click.option(
    "--source", "run_dir", type=click.Path(path_type=Path), help="Run directory: add the recordings' initial states."
)
@click.option("--robot", help="Robot manifest: name or YAML file; the dataset's robot_type by default.")
@click.option("--space", help="Joint space of the simulator in the manifest; `action` or the only one by default.")
@click.option("--episodes", help="Only these episodes, for example 0,3,7-9.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def command(
    dataset: Path,
    output: Path,
    run_dir: Path | None,
    robot: str | None,
    space: str | None,
    episodes: str | None,
    as_json: bool,
) -> None:
    """Write actions as HDF5 for a replay in the simulator.

    The replay scripts of Isaac Lab and LeIsaac read the file. Actions are in the order and the units of the
    simulator: joints by name, motor units converted back to radians. With --source each episode also has the initial
    state, the seed and the environment of its recording. A replay resets to them.
    """
    with Bar("exporting") as bar, naming_dataset(dataset):
        export = export_actions(
            dataset,
            output,
            robot=robot,
            space=space,
            run_dir=run_dir,
            episodes=None if episodes is None else number_ranges(episodes.split(","), "--episodes"),
            progress=bar.show,
        )
    echo_json(asdict(export)) if as_json else echo("\n".join(_lines(export, run_dir)))


def _lines(export: ActionExport, run_dir: Path | None) -> Iterator[str]:
    episodes, rows = counted(export.episodes, "episode"), counted(export.rows, "row")
    yield f"{export.path}: {episodes}, {rows} of {counted(len(export.joints), 'joint')}"
    if export.converted:
        taken = "" if run_dir else "; a dataset in radians needs --source RUN_DIR"
        yield f"  converted back from motor units: {', '.join(export.converted)}{taken}"
    if export.zeros:
        yield f"  zero, because the dataset has no such joints: {', '.join(export.zeros)}"
    if lacking := export.episodes - export.starts:
        hint = "" if run_dir else "; give --source RUN_DIR"
        yield f"  without an initial state for Isaac Lab's replay: {counted(lacking, 'episode')}{hint}"
    if export.shifted_starts:
        begun = counted(export.shifted_starts, "episode")
        yield f"  first rows dropped: {begun} begin with the state recorded at that row"
    if export.late_starts:
        begun = counted(export.late_starts, "episode")
        yield f"  first rows dropped: {begun} begin with the initial state, the only recorded one"
