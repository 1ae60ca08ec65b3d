"""Checksums of what a run writes, and runs whose committed files change, shrink or vanish."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.core.errors import RankFailed
from robotrove.manifests.shard_progress import ShardProgress
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
    sample,
    write_pipeline,
)


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """Three episodes of eight frames in one shard."""
    return write_pipeline(tmp_path, [sample(tmp_path, "demos.hdf5", episodes=3, frames=8)])


def assert_records(folder: Path, record: str) -> None:
    """Compare the checksums in a file with those of the files beside it, and its own with its text."""
    data = (folder / record).read_bytes()
    entry = json.loads(data)
    assert data.endswith(b', "sha256": "' + entry["sha256"].encode() + b'"}')
    assert entry["sha256"] == hashlib.sha256(data[:-79] + b"}").hexdigest()
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != record]
    found = {str(path.relative_to(folder)): [path.stat().st_size, digest(path)] for path in files}
    assert entry["checksums"] == found
    assert {Path(name).suffix for name in found} >= {".parquet", ".mp4"}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_shards_and_episodes_hold_the_checksums_of_their_files(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: ShardWriter, rank: int, progress: ShardProgress) -> None:
        raise OSError("stopped before the shard is finished")

    out, shards = tmp_path / "out", tmp_path / "out.run/shards"
    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "finish", stop)
        with pytest.raises(RankFailed, match="stopped before"):
            run_here(pipeline, out)
    episodes = sorted((shards / "00000.partial").iterdir())
    assert [episode.name for episode in episodes] == ["e0000000", "e0000001", "e0000002"]
    for episode in episodes:
        assert_records(episode, "episode.json")
    assert run_here(pipeline, out).kept == 3
    assert_records(shards / "00000", "shard.json")
