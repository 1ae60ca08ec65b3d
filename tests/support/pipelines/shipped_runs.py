"""Running shipped pipelines on small files: as a user would, but in this process and with a fast encoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robotrove.core.workspace import Workspace
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.plan.planner import Plan, make_plan
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent
from robotrove.pipelines.spec.resolved_pipeline import ResolvedPipeline, load_pipeline
from robotrove.tests.support.pipelines.runs import Here

FAST = ("writer.video={codec: libx264, preset: ultrafast, crf: 10}",)


def shipped(name: str, files: Sequence[Path], *overrides: str) -> ResolvedPipeline:
    """Load a shipped pipeline by its name; KEY=VALUE as on the command line."""
    given = f"source.files={json.dumps([str(file) for file in files])}"
    return load_pipeline(Path(name), [given, *FAST, *overrides])


def plan(name: str, files: Sequence[Path], *overrides: str) -> Plan:
    """Plan a shipped pipeline."""
    return make_plan(shipped(name, files, *overrides))


def run_shipped(name: str, files: Sequence[Path], output: Path, *overrides: str) -> RunReport:
    """Run a shipped pipeline."""
    return execute(shipped(name, files, *overrides), Workspace.for_output(output), Here(), watcher=Silent())


def rows(dataset: Path) -> pa.Table:
    """Return the rows of all data files of a dataset, in order."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(dataset.glob("data/*/*.parquet"))])


def column(table: pa.Table, key: str) -> np.ndarray:
    """Return a column as (rows, …) in its own dtype."""
    chunk = table[key].combine_chunks()
    while pa.types.is_nested(chunk.type):
        chunk = chunk.flatten()
    values = chunk.to_numpy(zero_copy_only=False)
    return values if len(values) == table.num_rows else values.reshape(table.num_rows, -1)


def info(dataset: Path) -> dict[str, Any]:
    """Return info.json."""
    content: dict[str, Any] = json.loads((dataset / "meta/info.json").read_text())
    return content


def names(dataset: Path, key: str) -> list[str]:
    """Return the names of a feature's entries."""
    found: list[str] = info(dataset)["features"][key]["names"]
    return found


def lines(dataset: Path, name: str) -> list[dict[str, Any]]:
    """Return the lines of a file of meta/ of version 2.1."""
    return [json.loads(line) for line in (dataset / "meta" / name).read_text().splitlines()]


def frames(path: Path) -> np.ndarray:
    """Return every frame of a video: (n, height, width, 3) uint8 RGB."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def videos(dataset: Path, key: str) -> np.ndarray:
    """Return every frame of a camera, over all of its files in order."""
    return np.concatenate([frames(path) for path in sorted(dataset.glob(f"videos/**/{key}/**/*.mp4"))])
