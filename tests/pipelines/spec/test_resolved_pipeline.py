"""Pipelines that are resolved once: how often blocks are built, and what a frozen pipeline is read as."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.core.workspace import Workspace
from robotrove.pipelines.spec.pipeline_file import shipped_names
from robotrove.pipelines.spec.resolved_pipeline import CONVERT, ResolvedPipeline, load_frozen, load_pipeline
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
    sample,
    start_cli,
)

COUNTED = """\
import os
from pathlib import Path

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.steps.length_filter import LengthFilter
from robotrove.blocks.writer.shard_writer import ShardWriter


class Counted:
    def __new__(cls, **arguments):
        with open(Path(__file__).with_name("built"), "a") as file:
            file.write(f"{os.getpid()} {cls.__name__}\\n")
        return super().__new__(cls)


class Reader(Counted, Hdf5Reader): ...
class Filter(Counted, LengthFilter): ...
class Writer(Counted, ShardWriter): ...
class Maker(Counted, Aggregator): ...
"""
PIPELINE = """\
source: {{use: "counted_blocks:Reader", files: [{file}], layout: isaaclab}}
steps: [{{use: "counted_blocks:Filter", min_length: 2}}]
writer: {{use: "counted_blocks:Writer", robot_type: arm, video: {{codec: libx264, preset: ultrafast}}}}
dataset: [{{use: "counted_blocks:Maker"}}, dataset_stats]
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pipeline of outside blocks that note when they are built, and by which process."""
    (tmp_path / "counted_blocks.py").write_text(COUNTED)
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE.format(file=sample(tmp_path, "a.hdf5", 2, 6)))
    monkeypatch.setattr(sys, "path", list(sys.path))  # loading outside code adds folders to it
    yield path
    sys.modules.pop("counted_blocks", None)


def test_the_parent_of_a_run_builds_each_block_once(pipeline: Path, tmp_path: Path) -> None:
    built = tmp_path / "built"
    for more in ((), ("--fresh",), ()):  # begun, begun again, and finished before
        built.unlink(missing_ok=True)
        run = start_cli(pipeline, tmp_path / "out", "--workers", "2", *more)
        _, stderr = run.communicate(timeout=300)
        assert run.returncode == 0, stderr
        lines = [line.split() for line in built.read_text().splitlines()]
        in_parent = Counter(name for process, name in lines if int(process) == run.pid)
        assert in_parent == {"Reader": 1, "Filter": 1, "Writer": 1, "Maker": 1}


def test_each_rank_has_blocks_of_its_own(pipeline: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    frozen = load_frozen(Workspace.for_output(tmp_path / "out"))
    assert isinstance(frozen, ResolvedPipeline)
    binding = object()
    one, two = (frozen.fresh_steps(CONVERT, binding) for _ in range(2))
    assert [type(step).__name__ for step in one] == ["Reader", "Filter", "Writer"]
    assert not set(map(id, one)) & set(map(id, two))
    assert [step.binding for step in (*one[::2], *two[::2])] == [binding] * 4
    assert frozen.reader is frozen.reader
    assert (frozen.robot_type, frozen.video.codec, frozen.formats) == ("arm", "libx264", ("v3.0",))


def test_a_frozen_pipeline_is_not_checked_again(pipeline: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    workspace = Workspace.for_output(tmp_path / "out")
    (tmp_path / "built").unlink()
    frozen = load_frozen(workspace)
    assert frozen.spec == load_pipeline(pipeline).spec
    assert frozen.digest == load_pipeline(pipeline).digest
    (tmp_path / "built").unlink()
    assert load_frozen(workspace).spec.dataset[0].use == "counted_blocks:Maker"
    assert not (tmp_path / "built").exists()
    for damaged in ("", "source: 1", "executor: local\ncode: []\nformats: 3", workspace.pipeline.read_text()[:200]):
        workspace.pipeline.write_text(damaged)
        with pytest.raises(RobotroveError, match=r"pipeline\.yaml"):
            load_frozen(workspace)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_pipelines_are_read_back_as_they_were_frozen(name: str, tmp_path: Path) -> None:
    resolved = load_pipeline(Path(name), ["source.files=[a.hdf5]", "executor={partition: gpu}", "publish=[]"])
    workspace = Workspace.for_output(tmp_path / "out")
    workspace.run_dir.mkdir()
    workspace.pipeline.write_text(resolved.spec.to_yaml(), encoding="utf-8")
    frozen = load_frozen(workspace)
    assert frozen.spec == resolved.spec
    assert frozen.spec.to_yaml() == resolved.spec.to_yaml()
    assert (frozen.digest, frozen.video, frozen.robot_type) == (resolved.digest, resolved.video, resolved.robot_type)
