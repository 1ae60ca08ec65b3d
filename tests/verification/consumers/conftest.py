"""A dataset that every reader of v2.1 takes, written by a pipeline; copies of it that a test may change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.dataset.downgrader import Downgrader
from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.steps.annotator import Annotator
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.lerobot.gr00t.gr00t_stats import write_gr00t_stats
from robotrove.media.encode.settings import VideoSettings
from robotrove.pipelines.pipeline import Pipeline
from robotrove.verification.consumers import chosen
from robotrove.verification.dataset.runner import verify

FPS, EPISODES, FRAMES = 20, 2, 24
INFO, MODALITY, STATS, TASKS = "meta/info.json", "meta/modality.json", "meta/stats.json", "meta/tasks.jsonl"
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
NOTE = "annotation.human.action.task_description"
MODALITIES: dict[str, Any] = {
    "state": {
        "arm": {"original_key": "observation.state", "start": 0, "end": 6},
        "gripper": {"original_key": "observation.state", "start": 6, "end": 7},
    },
    "action": {
        "arm": {"original_key": "action", "start": 0, "end": 6},
        "gripper": {"original_key": "action", "start": 6, "end": 7},
    },
    "video": {"front": {"original_key": FRONT}, "wrist": {"original_key": WRIST}},
    "annotation": {"human.action.task_description": {"original_key": NOTE}},
}


def write_dataset(folder: Path) -> Path:
    """Convert a sample, and write modality.json by hand."""
    files = write_sample("isaaclab", folder, episodes=EPISODES, frames=FRAMES, height=48, width=64, fps=FPS)
    Pipeline(
        source=Hdf5Reader(files=[str(file) for file in files], layout="isaaclab", task="stack the cubes"),
        steps=[Annotator(columns=[NOTE])],
        writer=ShardWriter(video=VideoSettings(codec="libx264", crf=30)),
        dataset=[Downgrader(reference_exact=True)],
    ).run(output=folder / "dataset", workers=1)
    write_gr00t_stats(folder / "dataset")
    (folder / "dataset" / MODALITY).write_text(json.dumps(MODALITIES))
    return folder / "dataset"


class Copy:
    """A copy of a dataset that a test may change."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def json(self, path: str, change: Callable[[Any], Any]) -> None:
        content = json.loads((self.root / path).read_text())
        change(content)
        (self.root / path).write_text(json.dumps(content))

    def rows(self, change: Callable[[pa.Table], pa.Table]) -> None:
        """Change every data file."""
        for path in sorted((self.root / "data").rglob("*.parquet")):
            pq.write_table(change(pq.read_table(path)), path)

    def column(self, name: str, values: Callable[[np.ndarray], Any], kind: pa.DataType | None = None) -> None:
        """Replace or append a column by what becomes of the frame indices of each file."""

        def change(table: pa.Table) -> pa.Table:
            new = pa.array(values(table["frame_index"].to_numpy()), kind)
            at = table.schema.get_field_index(name)
            return table.append_column(name, new) if at < 0 else table.set_column(at, name, new)

        self.rows(change)

    def found(self, consumer: str) -> list[tuple[str, str, str]]:
        """(severity, place, message) of what a consumer's own checks find."""
        report = verify(self.root, consumers=chosen([consumer]))
        return [(one.severity, one.where, one.message) for one in report.findings if one.consumer == consumer]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("written"))


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Copy:
    shutil.copytree(written, tmp_path / "dataset")
    return Copy(tmp_path / "dataset")
