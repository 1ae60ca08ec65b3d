"""Checksums of what a run writes, and runs whose committed files change, shrink or vanish."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import pytest

from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.core.errors import RankFailed
from robotrove.executors.stage import Stage
from robotrove.manifests.run_report import RunReport
from robotrove.manifests.shard_progress import ShardProgress
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent
from robotrove.tests.support.pipelines.runs import (
    Here,
    Workspace,
    assert_encoded_once,
    assert_same_dataset,
    events,
    load_pipeline,
    quick_disk,  # noqa: F401 - autouse
    run_cli,
    run_here,
    sample,
    write_pipeline,
)
from robotrove.verification.dataset.runner import verify

Damage = Callable[[Path], object]
SAMPLES = "robotrove.tests.support.blocks.sample_blocks"


@pytest.fixture(autouse=True)
def short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make two shards: episode 0 of ten frames, and episodes 1 and 2 of five and six."""
    monkeypatch.setattr("robotrove.manifests.manifest.MIN_SHARD_FRAMES", 10)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    files = [sample(folder, f"{name}.hdf5", 1, frames, seed=frames) for name, frames in (("a", 10), ("b", 5), ("c", 6))]
    return write_pipeline(folder, files)


@pytest.fixture(scope="module")
def right(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of an undisturbed run; shards leave no trace in it."""
    out = tmp_path_factory.mktemp("right") / "out"
    run_here(pipeline, out)
    return out


class DamagedBefore(Here):
    """Runs ranks in this process, and damages something once before a stage begins."""

    def __init__(self, stage: str, act: Callable[[], object]) -> None:
        self._stage = stage
        self._act = act

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        if stage.name == self._stage:
            self._stage = ""
            self._act()
        super().launch(stage, on_poll)


def run_damaged(pipeline: Path, out: Path, stage: str, act: Callable[[], object], **more: bool) -> RunReport:
    workspace = Workspace.for_output(out)
    return execute(load_pipeline(pipeline), workspace, DamagedBefore(stage, act), watcher=Silent(), **more)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def zero(path: Path) -> None:
    path.write_bytes(bytes(min(4096, path.stat().st_size)) + path.read_bytes()[4096:])


def same_times(act: Damage) -> Damage:
    """Damage as disks do it: the file keeps its times."""

    def damage(path: Path) -> None:
        before = path.stat()
        act(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return damage


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


FILES = {
    "data": "data/**/*.parquet",
    "video": "videos/**/*.mp4",
    "info.json": "meta/info.json",
    "tasks": "meta/tasks.parquet",
    "episodes": "meta/episodes/**/*.parquet",
    "provenance": "meta/robotrove/**/*.parquet",
    "shard.json": "shard.json",
}
DAMAGES: dict[str, tuple[Damage, str]] = {
    "flipped": (same_times(flip), "has other bytes than were written"),
    "zeroed": (same_times(zero), "has other bytes than were written"),
    "truncated": (truncate, "bytes instead of"),
    "deleted": (Path.unlink, "is missing"),
}


def damage_notes(report: RunReport) -> list[str]:
    return [note for note in report.notes if "damaged" in note]


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
    pipeline: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: ShardWriter, rank: int, progress: ShardProgress, seen: Collection[int]) -> None:
        raise OSError("stopped before the shard is finished")

    out, shards = tmp_path / "out", tmp_path / "out.run/shards"
    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "finish", stop)
        with pytest.raises(RankFailed, match="stopped before"):
            run_here(pipeline, out)
    episodes = sorted(shards.glob("*.partial/*"))
    assert [episode.name for episode in episodes] == ["e0000000", "e0000001", "e0000002"]
    for episode in episodes:
        assert_records(episode, "episode.json")
    assert run_here(pipeline, out).kept == 3
    assert_encoded_once(out)
    for shard in shards.iterdir():
        assert_records(shard, "shard.json")
    assert_same_dataset(out, right)


@pytest.mark.slow
class TestShards:
    """A shard that is damaged after it was committed is set aside and made again by the same command."""

    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("file", FILES)
    def test_before_it_is_planned_from(
        self, pipeline: Path, right: Path, tmp_path: Path, file: str, damage: str
    ) -> None:
        self._damaged(pipeline, right, tmp_path / "out", "1-aggregator.plan", file, damage)

    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("file", FILES)
    def test_before_it_is_copied(self, pipeline: Path, right: Path, tmp_path: Path, file: str, damage: str) -> None:
        self._damaged(pipeline, right, tmp_path / "out", "1-aggregator.process", file, damage)

    def _damaged(self, pipeline: Path, right: Path, out: Path, stage: str, file: str, damage: str) -> None:
        shards = out.with_name("out.run") / "shards"
        act, words = DAMAGES[damage]
        names: list[str] = []

        def once() -> None:
            path = sorted((shards / "00001").glob(FILES[file]))[0]
            names.append(path.relative_to(shards / "00001").as_posix())
            act(path)

        report = run_damaged(pipeline, out, stage, once)
        assert (report.kept, report.exit_code) == (3, 0)
        assert_same_dataset(out, right)
        assert_encoded_once(out, but={1, 2})
        assert sorted(path.name for path in shards.iterdir()) == ["00000", "00001", "00001.damaged-1"]
        [note] = damage_notes(report)
        if names[0] == "shard.json" and damage != "deleted":
            words = "differs from its own checksum"
        assert note.startswith(f"shard 00001 was damaged ({names[0]} ")
        assert words in note
        assert note.endswith(f") and was recreated; the damaged one is {shards / '00001.damaged-1'}")
        for rank in (0, 1):
            assert_records(shards / f"{rank:05d}", "shard.json")

    @pytest.mark.parametrize("file", ["data", "video", "shard.json"])
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_of_an_interrupted_run(self, pipeline: Path, right: Path, tmp_path: Path, file: str, damage: str) -> None:
        out = tmp_path / "out"

        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_damaged(pipeline, out, "1-aggregator.process", stop)
        DAMAGES[damage][0](next((tmp_path / "out.run/shards/00000").glob(FILES[file])))
        report = run_here(pipeline, out)
        assert len(damage_notes(report)) == 1
        assert_same_dataset(out, right)
        assert_encoded_once(out, but={0})

    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("file", ["data", "video", "info.json", "shard.json"])
    def test_in_a_run_that_makes_version_21(self, pipeline: Path, tmp_path: Path, file: str, damage: str) -> None:
        older = write_pipeline(tmp_path, sorted(pipeline.parent.glob("*.hdf5")), formats=["v2.1"])
        run_here(older, tmp_path / "right")
        out, shard = tmp_path / "out", tmp_path / "out.run/shards/00001"
        report = run_damaged(
            older, out, "1-downgrader.process", lambda: DAMAGES[damage][0](next(shard.glob(FILES[file])))
        )
        assert (report.kept, report.exit_code, len(damage_notes(report))) == (3, 0, 1)
        assert json.loads((out / "meta/info.json").read_text())["codebase_version"] == "v2.1"
        assert_same_dataset(out, tmp_path / "right")
        assert_encoded_once(out, but={1, 2})

    def test_both_versions(self, pipeline: Path, tmp_path: Path) -> None:
        both = write_pipeline(tmp_path, sorted(pipeline.parent.glob("*.hdf5")), formats=["v3.0", "v2.1"])
        run_here(both, tmp_path / "right")
        for number, (stage, file) in enumerate([("1-aggregator.process", "video"), ("3-downgrader.process", "data")]):
            out = tmp_path / f"out{number}"
            files = (tmp_path / f"out{number}.run/shards").glob(f"00001/{FILES[file]}")
            report = run_damaged(both, out, stage, partial(lambda files: flip(next(files)), files))
            assert len(damage_notes(report)) == 1
            assert_same_dataset(out, tmp_path / "right")

    def test_once_the_output_is_committed(self, pipeline: Path, right: Path, tmp_path: Path) -> None:
        """Its record is still needed for the report."""
        out = tmp_path / "out"
        report = run_damaged(pipeline, out, "report", lambda: flip(tmp_path / "out.run/shards/00001/shard.json"))
        assert (report.listed, report.kept, report.frames, len(damage_notes(report))) == (3, 3, 21, 1)
        assert_same_dataset(out, right)

    def test_by_workers(self, pipeline: Path, tmp_path: Path) -> None:
        """Real workers find it, and the same command line makes the shard again."""
        whole = run_cli(pipeline, tmp_path / "right", "--workers", "2", "--json")
        assert whole.returncode == 0, whole.stderr
        out = tmp_path / "out"
        shutil.copytree(tmp_path / "right.run", tmp_path / "out.run")
        (tmp_path / "out.run/report.json").unlink()
        identity = json.loads((tmp_path / "out.run/run.json").read_text())
        (tmp_path / "out.run/run.json").write_text(json.dumps(identity | {"output": str(out)}))
        flip(next((tmp_path / "out.run/shards/00000").glob(FILES["video"])))
        found = run_cli(pipeline, out, "--workers", "2", "--json")
        assert found.returncode == 0, found.stderr
        [note] = (note for note in json.loads(found.stdout)["notes"] if "damaged" in note)
        assert "has other bytes than were written" in note
        assert_same_dataset(out, tmp_path / "right")

    @pytest.mark.parametrize("moment", ["before the command", "before the rank", "while the rank works"])
    def test_from_which_a_retry_takes_episodes(
        self, pipeline: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        """Episode 1 is rejected at first; the shard that already holds episode 2 is damaged."""
        out, shards = tmp_path / "out", tmp_path / "out.run/shards"
        recording, away = pipeline.parent / "b.hdf5", pipeline.parent / "b.away"
        try:
            first = run_damaged(pipeline, out, "convert", lambda: recording.rename(away))
        finally:
            away.rename(recording)
        assert (first.kept, first.rejected) == (2, {"source_changed": 1})
        if moment == "before the command":
            truncate(next((shards / "00001").glob(FILES["video"])))
            report = run_here(pipeline, out, retry_rejected=True)
        else:
            previous = shards / "00001.partial/previous"
            original = ShardWriter.write

            def write(self: ShardWriter, ep: object, row: object, progress: ShardProgress) -> int:
                if previous.exists() and moment == "while the rank works":
                    flip(next(previous.glob(FILES["video"])))
                return original(self, ep, row, progress)  # type: ignore[arg-type]

            def act() -> None:
                if moment == "before the rank":
                    flip(previous / "shard.json")

            monkeypatch.setattr(ShardWriter, "write", write)
            report = run_damaged(pipeline, out, "convert", act, retry_rejected=True)
        assert (report.kept, report.rejected, len(damage_notes(report))) == (3, {}, 1)
        assert sorted(path.name for path in shards.iterdir()) == ["00000", "00001", "00001.damaged-1"]
        assert_same_dataset(out, right)

    def test_damage_in_each_attempt_ends_in_an_error(self, pipeline: Path, right: Path, tmp_path: Path) -> None:
        out, shards = tmp_path / "out", tmp_path / "out.run/shards"

        class Always(Here):
            def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
                if stage.name == "1-aggregator.plan":
                    flip(shards / "00000/meta/info.json")
                super().launch(stage, on_poll)

        with pytest.raises(RankFailed, match=r"00000: is damaged: meta/info\.json has other bytes") as caught:
            execute(load_pipeline(pipeline), Workspace.for_output(out), Always(), watcher=Silent())
        assert "resume with" in caught.value.todo
        names = sorted(path.name for path in shards.iterdir())
        assert names == ["00000.damaged-1", "00000.damaged-2", "00000.damaged-3", "00001"]
        assert len(damage_notes(run_here(pipeline, out))) == 3
        assert_same_dataset(out, right)


@pytest.mark.slow
class TestEpisodes:
    """A committed episode that is damaged or missing before its shard is finished is made again in the same rank."""

    @pytest.mark.parametrize("damage", [*DAMAGES, "folder"])
    @pytest.mark.parametrize("name", ["rows.parquet", "camera_0.mp4", "episode.json"])
    def test_within_the_rank(
        self, pipeline: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
    ) -> None:
        """Episode 1 is damaged when episode 2 of the same shard is being written."""
        out = tmp_path / "out"
        episode = tmp_path / "out.run/shards/00001.partial/e0000001"
        original = ShardWriter.write
        written: list[int] = []

        def write(self: ShardWriter, ep: object, row: object, progress: ShardProgress) -> int:
            index = row.index  # type: ignore[attr-defined]
            if index == 2:
                shutil.rmtree(episode) if damage == "folder" else DAMAGES[damage][0](episode / name)
            written.append(index)
            return original(self, ep, row, progress)  # type: ignore[arg-type]

        monkeypatch.setattr(ShardWriter, "write", write)
        report = run_here(pipeline, out)
        assert written == [0, 1, 2, 1]
        assert (report.kept, report.rejected, report.exit_code, damage_notes(report)) == (3, {}, 0, [])
        assert_same_dataset(out, right)

    def test_lost_again_and_again_the_shard_is_not_finished(
        self, pipeline: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, shards = tmp_path / "out", tmp_path / "out.run/shards"
        original = ShardWriter.write

        def write(self: ShardWriter, ep: object, row: object, progress: ShardProgress) -> int:
            frames = original(self, ep, row, progress)  # type: ignore[arg-type]
            if row.index == 1:  # type: ignore[attr-defined]
                lost.append(1)
                progress.episode(1).rename(tmp_path / f"lost{len(lost)}")
            return frames

        lost: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(ShardWriter, "write", write)
            with pytest.raises(RankFailed, match="lost_episode: it was committed") as caught:
                run_here(pipeline, out)
        assert str(caught.value).count("shard 1, b.hdf5:data/demo_0") == 1
        assert sorted(path.name for path in shards.iterdir()) == ["00000", "00001.partial"]
        assert not out.exists()
        report = run_here(pipeline, out)
        assert (report.kept, report.rejected, report.exit_code) == (3, {}, 0)
        assert_same_dataset(out, right)
        assert [event.episode for event in events(out) if event.kind == "committed"].count(2) == 1

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_of_an_interrupted_rank(
        self, pipeline: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
    ) -> None:
        out = tmp_path / "out"

        def stop(self: ShardWriter, rank: int, progress: ShardProgress, seen: Collection[int]) -> None:
            raise OSError("stopped before the shard is finished")

        with monkeypatch.context() as patch:
            patch.setattr(ShardWriter, "finish", stop)
            with pytest.raises(RankFailed):
                run_here(pipeline, out)
        DAMAGES[damage][0](tmp_path / "out.run/shards/00001.partial/e0000002/camera_0.mp4")
        assert run_here(pipeline, out).kept == 3
        assert_same_dataset(out, right)
        assert_encoded_once(out, but={2})


THIEF = """\
import os
import shutil
from pathlib import Path
from robotrove.blocks.episode_step import EpisodeFilter


class Thief(EpisodeFilter):
    name = "thief"

    def reject(self, ep):
        return None

    def run(self, data, rank=0, world_size=1):
        for ep in data:
            yield self.visit(ep)
            if "STEAL" in os.environ:  # the writer has committed it, and the reader does not know yet
                shutil.rmtree(Path(os.environ["STEAL"]), ignore_errors=True)
"""


@pytest.mark.slow
class TestMissingEpisodes:
    """An episode is dropped only if a stock filter did not pass it on."""

    def test_a_stock_filter_drops_an_episode(
        self, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another one, which vanished as soon as it was committed, is made again."""
        recordings = sorted(pipeline.parent.glob("*.hdf5"))
        fives = write_pipeline(tmp_path, recordings, steps=[{"use": f"{SAMPLES}:StockFilterOfFives"}])
        original = ShardWriter.write
        written: list[int] = []

        def write(self: ShardWriter, ep: object, row: object, progress: ShardProgress) -> int:
            written.append(row.index)  # type: ignore[attr-defined]
            frames = original(self, ep, row, progress)  # type: ignore[arg-type]
            if written == [0, 2, 0, 2]:
                shutil.rmtree(progress.episode(2))
            return frames

        monkeypatch.setattr(ShardWriter, "write", write)
        for name in ("right", "out"):
            report = run_here(fives, tmp_path / name)
            assert (report.kept, report.rejected, report.exit_code) == (2, {"dropped_by_step": 1}, 0)
        assert written == [0, 2, 0, 2, 2]
        assert_same_dataset(tmp_path / "out", tmp_path / "right")

    def test_no_other_step_may_drop_one(self, pipeline: Path, tmp_path: Path) -> None:
        recordings = sorted(pipeline.parent.glob("*.hdf5"))
        silent = write_pipeline(tmp_path, recordings, steps=[{"use": f"{SAMPLES}:SilentFilter"}])
        with pytest.raises(RankFailed, match=r"shard 1, b\.hdf5:data/demo_0: lost_episode: it did not come to the wri"):
            run_here(silent, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_by_the_command_line(self, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each time that the episode is made it vanishes; without the thief the same command makes it."""
        (tmp_path / "thief.py").write_text(THIEF)
        thief = write_pipeline(tmp_path, sorted(pipeline.parent.glob("*.hdf5")), steps=[{"use": "thief:Thief"}])
        assert run_cli(thief, tmp_path / "right").returncode == 0
        out = tmp_path / "out"
        monkeypatch.setenv("STEAL", str(tmp_path / "out.run/shards/00000.partial/e0000001"))
        failed = run_cli(thief, out)
        assert failed.returncode == 1
        assert "shard 0, b.hdf5:data/demo_0: lost_episode: it was committed, and its files are mi" in failed.stderr
        assert not out.exists()
        assert not (tmp_path / "out.run/shards/00000").exists()
        assert [event.episode for event in events(out) if event.kind == "committed"] == [0, 1, 2, 1, 1]
        monkeypatch.delenv("STEAL")
        assert run_cli(thief, out).returncode == 0
        assert [event.episode for event in events(out) if event.kind == "committed"] == [0, 1, 2, 1, 1, 1]
        assert_same_dataset(out, tmp_path / "right")


@pytest.mark.slow
class TestOutput:
    def test_a_file_that_is_damaged_before_the_commit_is_found(self, pipeline: Path, tmp_path: Path) -> None:
        """Its checksum was taken when it was written, not when it got its final name."""
        out = tmp_path / "out"
        run_damaged(pipeline, out, "commit", lambda: flip(next(tmp_path.glob(f"out.partial-*/{FILES['video']}"))))
        [video] = out.glob(FILES["video"])
        found = [(one.severity, one.where) for one in verify(out).findings if one.check == "checksums"]
        assert found == [("error", video.relative_to(out).as_posix())]

    def test_a_damaged_base_is_not_appended_to(self, pipeline: Path, right: Path, tmp_path: Path) -> None:
        base = Path(shutil.copytree(right, tmp_path / "base"))
        more = sample(tmp_path, "more.hdf5", 1, 7, seed=3)
        grown = write_pipeline(tmp_path, [more], append_to=str(base))
        flip(next(base.glob(FILES["video"])))
        with pytest.raises(RankFailed, match=r"file-000\.mp4: has other bytes than were written"):
            run_here(grown, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        shutil.copytree(right, base, dirs_exist_ok=True)
        assert run_here(grown, tmp_path / "out").kept == 1
        assert verify(tmp_path / "out").counts["errors"] == 0
