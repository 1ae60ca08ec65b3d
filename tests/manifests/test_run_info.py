"""The small files of a run: journals, progress, shards, reports, run.json."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from robotrove.core.checksums import FileSum
from robotrove.core.episode import Rejection
from robotrove.core.features import Feature
from robotrove.core.workspace import Workspace, episode_uid
from robotrove.manifests.events import EventReader, Journal
from robotrove.manifests.run_info import InputDataset, RunInfo, Skipped, skipped
from robotrove.manifests.run_report import RejectedLine, RunReport, write_rejected
from robotrove.manifests.shard import KeptEpisode, RejectedEpisode, Shard, ShardDamaged
from robotrove.manifests.shard_progress import ShardProgress


class TestJournal:
    def test_each_event_comes_back_once(self, tmp_path: Path) -> None:
        journal, reader = Journal(tmp_path), EventReader(tmp_path)
        journal.note("started", 3)
        assert [(event.kind, event.episode) for event in reader.read()] == [("started", 3)]
        journal.note("committed", 3, frames=40)
        assert [(event.kind, event.episode, event.frames) for event in reader.read()] == [("committed", 3, 40)]
        assert list(reader.read()) == []
        assert len(list(EventReader(tmp_path).read())) == 2

    def test_journals_that_nobody_writes_to_any_more_are_left_out(self, tmp_path: Path) -> None:
        Journal(tmp_path).note("started", 3)
        [path] = tmp_path.iterdir()
        reader = EventReader(tmp_path)
        os.utime(path, (1000, 1000))
        assert list(reader.read(since=1001)) == []
        assert [event.episode for event in reader.read(since=1000)] == [3]

    def test_a_line_that_a_full_disk_has_cut_takes_nothing_with_it(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path)
        journal.note("started", 1)
        [path] = tmp_path.iterdir()
        with open(path, "a") as stream:
            stream.write('{"time": 1.0, "kind": "comm')
        assert [event.episode for event in EventReader(tmp_path).read()] == [1]
        journal.note("started", 2)  # is appended to the cut line
        journal.note("started", 3)
        assert [event.episode for event in EventReader(tmp_path).read()] == [1, 3]

    def test_no_folder_is_no_events(self, tmp_path: Path) -> None:
        assert list(EventReader(tmp_path / "absent").read()) == []


@pytest.fixture
def progress(tmp_path: Path) -> ShardProgress:
    workspace = Workspace.for_output(tmp_path / "out")
    workspace.partial(2).mkdir(parents=True)
    return ShardProgress(workspace, 2)


class TestProgress:
    def test_an_episode_is_done_when_it_is_committed_or_rejected(self, progress: ShardProgress) -> None:
        assert not progress.is_done(5)
        (progress.folder / f"{episode_uid(5)}.host-1-abc.tmp").mkdir()
        assert not progress.is_done(5)
        progress.episode(5).mkdir()
        assert progress.is_done(5)
        progress.reject(6, Rejection("bad_image", "row 3 é", error=True))
        assert progress.is_done(6)
        assert progress.rejected(6) == RejectedEpisode(6, "bad_image", "row 3 é", True)
        assert progress.rejected(5) is None

    def test_reopen_forgets_bad_data_and_keeps_choices(self, progress: ShardProgress) -> None:
        progress.episode(1).mkdir()
        progress.reject(2, Rejection("bad_image", "", error=True))
        progress.reject(3, Rejection("too_short", "", error=False))
        progress.reopen()
        assert [progress.is_done(index) for index in (1, 2, 3)] == [True, False, True]

    def test_clear_removes_its_own_folder_and_what_killed_ones_left(self, progress: ShardProgress) -> None:
        other = progress.folder.with_name("00003.partial")
        other.mkdir()
        progress.episode(1).mkdir()
        (progress.folder.parent / "00002.partial.host-7-abcdef.tmp" / "e0000001").mkdir(parents=True)
        progress.clear()
        progress.clear()
        assert list(progress.folder.parent.iterdir()) == [other]

    def test_nothing_is_found_of_a_shard_without_retry(self, progress: ShardProgress) -> None:
        assert progress.previous is None
        assert progress.kept_before() == set()
        assert not progress.committed


def test_a_shard_comes_back(tmp_path: Path) -> None:
    kept, rejected = KeptEpisode(1, 30, 900, {"cam": 5}), RejectedEpisode(2, "bad", 'é, "histograms": {', True)
    sums = {"data/é.parquet": FileSum(4, "0a")}
    shard = Shard(4, [kept], [rejected], sums, {"cam": [[1, 2], [3, 4], [5, 6]]})
    shard.write(tmp_path)
    assert Shard.read(tmp_path) == shard
    assert Shard.read(tmp_path, pixels=False) == replace(shard, histograms={})
    assert shard.frames == 30


def test_a_damaged_shard_json_is_refused_however_it_is_read(tmp_path: Path) -> None:
    Shard(4, [KeptEpisode(1, 30, 900, {})], [], {"a": FileSum(1, "0a")}, {"cam": [[1, 2]]}).write(tmp_path)
    path = tmp_path / "shard.json"
    whole = path.read_bytes()
    # Each is JSON with all keys; in the histograms, in a count, and in the name of the digest itself.
    changes = [(b"[[1, 2]]", b"[[1, 3]]"), (b'"length": 30', b'"length": 31'), (b', "sha256"', b', "sha257"')]
    for old, new in changes:
        path.write_bytes(whole.replace(old, new))
        for pixels in (True, False):
            with pytest.raises(ShardDamaged) as caught:
                Shard.read(tmp_path, pixels=pixels)
            assert (caught.value.where, caught.value.folder) == (str(tmp_path), tmp_path)
            assert caught.value.found == "is damaged: shard.json differs from its own checksum"
    path.unlink()
    with pytest.raises(ShardDamaged, match=r"is damaged: shard\.json is missing"):
        Shard.read(tmp_path)


def test_shards_of_earlier_versions_are_read_without_checksums(tmp_path: Path) -> None:
    text = '{"rank": 1, "kept": [], "rejected": [], "histograms": {}}'  # as 0.2.1 writes it
    (tmp_path / "shard.json").write_text(text)
    assert Shard.read(tmp_path, is_sealed=False) == Shard(1, [], [], {}, {})
    with pytest.raises(ShardDamaged, match="checksum"):
        Shard.read(tmp_path)


def test_run_json_comes_back(tmp_path: Path) -> None:
    features = {"action": Feature("float32", (2,), ("a", "b")), "cam": Feature("video", (4, 6, 3))}
    inputs = [
        InputDataset("/data/é", 2, 60, "d", "i"),
        InputDataset("/b", 2, 9, "d", "i", (Skipped(1, 7, 4, 0, 1),)),
        InputDataset("/c", 9, 90, "d", "i", (Skipped(0, 0, 10), Skipped(2, 4, 50, count=5))),
    ]
    values = {"dataset_ranks": 3, "on_error": "reject", "spec_digest": "s", "notes": ["é"], "inputs": inputs}
    values |= {"accepted_code": ["c"], "stages": [("convert", 3, False), ("commit", 1, True)]}
    run = RunInfo("0123456789abcdef", "0.1", "pyav", "/out", features, 30, None, formats=["v3.0"], **values)  # type: ignore[arg-type]
    run.write(tmp_path / "run.json")
    assert RunInfo.read(tmp_path / "run.json") == run
    assert run.run_id == "0123456789ab"
    assert [(dataset.kept, dataset.kept_frames) for dataset in run.inputs] == [(2, 60), (1, 5), (3, 30)]
    assert skipped(run.inputs) == {"duplicate_episode": 1, "not_selected": 6}
    five = run.inputs[2].skipped[1]
    assert (list(five.positions), list(five.numbers)) == ([2, 3, 4, 5, 6], [4, 5, 6, 7, 8])


def test_an_output_is_the_dataset_or_holds_one_for_each_version() -> None:
    values = dict.fromkeys(("digest", "version", "encoder", "output", "features", "fps", "robot_type"), "")
    more = dict.fromkeys(("dataset_ranks", "on_error", "spec_digest", "notes", "inputs"), "")
    one, two = (RunInfo(**values, **more, formats=formats) for formats in (["v2.1"], ["v3.0", "v2.1"]))  # type: ignore[arg-type]
    assert one.dataset_folders(Path("/out")) == {"v2.1": Path("/out")}
    assert two.dataset_folders(Path("/out")) == {"v3.0": Path("/out/v3.0"), "v2.1": Path("/out/v2.1")}


def test_reports(tmp_path: Path) -> None:
    report = RunReport("/out", "/out.run", 3, 2, 60, {"bad_image": 1}, 1, ["note é"], 1.5)
    report.write(tmp_path / "report.json")
    assert RunReport.read(tmp_path / "report.json") == report
    assert report.exit_code == 1
    assert RunReport("", "", 3, 2, 60, {"too_short": 1}, 0).exit_code == 0
    write_rejected(tmp_path / "rejected.jsonl", [RejectedLine("a.hdf5", "demo_1", "bad_image", "line\nbreak é", True)])
    [line] = (tmp_path / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "source": "a.hdf5",
        "key": "demo_1",
        "reason": "bad_image",
        "detail": "line\nbreak é",
        "error": True,
    }


def test_sweep_leaves_the_locks_of_others_alone(tmp_path: Path) -> None:
    workspace = Workspace.for_output(tmp_path / "out")
    workspace.shards.mkdir(parents=True)
    for name in ("manifest.parquet.h-1-a.tmp", "run.lock.h-2-b.tmp", "run.json"):
        (workspace.run_dir / name).touch()
    workspace.plan("aggregator").mkdir(parents=True)
    for name in ("plan.json", "plan.json.h-3-c.tmp"):
        (workspace.plan("aggregator") / name).touch()
    workspace.sweep()
    assert sorted(os.listdir(workspace.run_dir)) == ["plans", "run.json", "run.lock.h-2-b.tmp", "shards"]
    assert os.listdir(workspace.run_dir / "plans" / "aggregator") == ["plan.json"]


def test_no_path_is_made_of_a_name_from_a_file() -> None:
    assert episode_uid(12) == "e0000012"
    workspace = Workspace.for_output(Path("/data/out"))
    assert workspace.run_dir == Path("/data/out.run")
    partial = workspace.output_partial("ab")
    assert partial.parent == Path("/data")
    assert partial.name.startswith("out.partial-ab-")
    other = Workspace.for_output(Path("/data/out"), Path("/data/elsewhere"))
    assert other.output_partial("ab") != partial  # two runs of the same into one output
    assert Workspace.for_output(Path("/data/out"), Path("/elsewhere/x")).run_dir == Path("/elsewhere/x")
