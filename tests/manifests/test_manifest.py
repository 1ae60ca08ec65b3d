from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotrove.core.episode import Rejection
from robotrove.manifests.manifest import (
    MAX_SHARD_EPISODES,
    MAX_SHARD_FRAMES,
    MIN_SHARD_FRAMES,
    EpisodeRow,
    Manifest,
    cut_shards,
)


def _row(index: int, length: int = 10, **more: object) -> EpisodeRow:
    row = EpisodeRow(index, "/data/a.hdf5", "a.hdf5", f"demo_{index}", "d", length, length, 30, "pick", None, 9, 7)
    return dataclasses.replace(row, **more)  # type: ignore[arg-type]


def test_every_field_comes_back(tmp_path: Path) -> None:
    rows = [
        _row(0, task='größe 日本 "x"\n', success=True, shard=0),
        _row(1, success=False, shard=1, mtime_ns=2**62, size=2**40),
        _row(2).rejected(Rejection("too_short", "1 frame", error=False)),
        _row(3).rejected(Rejection("bad_image", "row 3", error=True)),
    ]
    path = tmp_path / "manifest.parquet"
    Manifest(rows).write(path)
    assert list(Manifest.read(path).rows) == rows
    assert list(Manifest.read(path, shard=1).rows) == rows[1:2]
    assert list(Manifest.read(path, shard=5).rows) == []
    assert [row.index for row in Manifest(rows).kept] == [0, 1]
    assert Manifest.columns(path, "shard", "length") == [[row.shard for row in rows], [row.length for row in rows]]
    assert Manifest(rows).n_shards == Manifest.shards(path) == 2
    assert Manifest(rows[2:]).n_shards == 0


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(table: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        Manifest([_row(0)]).write(tmp_path / "manifest.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_label_of_a_file_that_could_not_be_listed() -> None:
    assert _row(3).label == "a.hdf5:demo_3"
    assert _row(3, key="").label == "a.hdf5"


class TestShards:
    def test_close_at_300_frames_in_a_small_set(self) -> None:
        cut = cut_shards(_row(index, 100) for index in range(7))
        assert [row.shard for row in cut] == [0, 0, 0, 1, 1, 1, 2]

    def test_close_at_a_64th_of_a_large_set(self) -> None:
        cut = cut_shards(_row(index, 1000) for index in range(640))
        assert [row.shard for row in cut] == [index // 10 for index in range(640)]

    def test_never_hold_more_than_20_000_frames_but_for_the_last_episode(self) -> None:
        cut = cut_shards(_row(index, 19_999) for index in range(640))
        assert [row.shard for row in cut][:5] == [0, 0, 1, 1, 2]

    def test_close_at_128_episodes(self) -> None:
        cut = cut_shards(_row(index, 1) for index in range(130))
        assert [row.shard for row in cut] == [0] * 128 + [1] * 2

    def test_pass_over_what_is_rejected(self) -> None:
        bad = Rejection("x", "", error=True)
        rows = [_row(0, 300), _row(1, 300).rejected(bad), _row(2, 300), _row(3).rejected(bad)]
        assert [row.shard for row in cut_shards(rows)] == [0, -1, 1, -1]
        assert [row.shard for row in cut_shards(rows[3:])] == [-1]
        assert cut_shards([]) == []

    @given(st.lists(st.tuples(st.integers(1, 30_000), st.booleans()), max_size=300))
    def test_whatever_the_episodes_are(self, episodes: list[tuple[int, bool]]) -> None:
        bad = Rejection("x", "", error=True)
        rows = [_row(i, length) if keep else _row(i, length).rejected(bad) for i, (length, keep) in enumerate(episodes)]
        cut = cut_shards(rows)
        assert [row.index for row in cut] == list(range(len(rows)))
        assert all((row.shard == -1) == bool(row.reason) for row in cut)
        kept = [row for row in cut if not row.reason]
        limit = min(max(sum(row.length for row in kept) // 64, MIN_SHARD_FRAMES), MAX_SHARD_FRAMES)
        numbers = [row.shard for row in kept]
        assert numbers == sorted(numbers)
        assert sorted(set(numbers)) == list(range(len(set(numbers))))
        assert len(set(numbers)) <= 64 + len(kept) // MAX_SHARD_EPISODES + sum(r.length for r in kept) // limit
        for shard in set(numbers):
            members = [row for row in kept if row.shard == shard]
            assert len(members) <= MAX_SHARD_EPISODES
            assert sum(row.length for row in members[:-1]) < limit
            if shard != numbers[-1]:
                assert sum(row.length for row in members) >= limit or len(members) == MAX_SHARD_EPISODES
