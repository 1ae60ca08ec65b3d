"""robotrove trace."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ...core.errors import naming_dataset, printable
from ...pipelines.run.trace import Trace, trace
from ..output import echo, echo_json


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("episode", type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def command(dataset: Path, episode: int, as_json: bool) -> None:
    """Show the recording of an episode.

    EPISODE is its number in the DATASET, from 0.
    """
    with naming_dataset(dataset):
        found = trace(dataset, episode)
    if as_json:
        steps = zip(found.origin.input_datasets or (), found.datasets, strict=True)
        inputs = {"input_datasets": [{**step, "path": path} for step, path in steps]}
        videos = {"videos": {key: asdict(window) for key, window in found.videos.items()}}
        source = {"source_path": found.path, "source_is_there": found.is_there}
        echo_json(asdict(found.origin) | source | inputs | videos)
    else:
        echo(_text(dataset, found))


def _text(dataset: Path, found: Trace) -> str:
    origin = found.origin
    steps = zip(origin.input_datasets or (), found.datasets, strict=True)
    inputs = [f"{step['dataset']}, episode {step['episode']} ({path or 'folder unknown'})" for step, path in steps]
    success = {True: "yes", False: "no", None: "not labelled"}[origin.success]
    unknown = f"no readable run directory {dataset}.run names the file"
    path = found.path or f"unknown: {unknown if origin.source_digest else 'the first dataset does not name it'}"
    facts = {
        "dataset": ", of ".join(inputs),
        "source": origin.source_name,
        "key": origin.source_key,
        "path": path + ("" if found.is_there or not found.path else " (missing)"),
        "rows": f"{origin.row_map}, {len(origin.row_map)} of {origin.source_length}",
        "success": success,
        "frame rate": "assumed" if origin.fps_assumed else "from the file or the pipeline",
        "digest": origin.source_digest,
        "run": origin.run_digest,
        "robotrove": origin.robotrove_version,
        "encoder": origin.encoder_version,
    }
    lines = [f"  {name + ':':<12} {text}" for name, text in facts.items() if text]
    lines += [f"  {'video:':<12} {printable(f'{key}: {window}')}" for key, window in found.videos.items()]
    return "\n".join([f"episode {origin.episode_index}", *lines])
