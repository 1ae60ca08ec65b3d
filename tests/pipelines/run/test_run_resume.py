"""Running the same command again: finished, changed, fresh, retried."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import yaml

from robotrove.core.errors import COMMAND_LINE, RankFailed, RobotroveError, RunChanged, UsageError
from robotrove.core.workspace import Workspace
from robotrove.formats.hdf5.samples import write_sample
from robotrove.manifests.run_report import RunReport
from robotrove.tests.support.pipelines.runs import (
    AtStart,
    assert_encoded_once,
    assert_no_leftovers,
    assert_same_dataset,
    events,
    quick_disk,  # noqa: F401 - autouse
    run_cli,
    run_here,
    sample,
    tree,
    write_pipeline,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def two_files(tmp_path: Path) -> list[Path]:
    """Two files of three episodes of ten frames."""
    return [sample(tmp_path / "data", f"{name}.hdf5", 3, 10, seed=seed) for seed, name in enumerate("ab")]


@pytest.fixture
def pipeline(tmp_path: Path, two_files: list[Path]) -> Path:
    return write_pipeline(tmp_path, [tmp_path / "data" / "*.hdf5"])


class TestFinished:
    def test_it_says_so_and_encodes_nothing(self, pipeline: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        first = run_cli(pipeline, out, "--workers", "1")
        assert first.returncode == 0, first.stderr
        before, journal = tree(out), events(out)
        again = run_cli(pipeline, out, "--workers", "2")
        assert again.returncode == 0
        assert "already finished" in again.stdout
        assert tree(out) == before
        assert events(out) == journal
        assert_no_leftovers(out)

    def test_json_has_the_facts(self, pipeline: Path, tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "out")
        again = run_cli(pipeline, tmp_path / "out", "--json")
        report = json.loads(again.stdout)
        assert report["was_finished"] is True
        assert (report["listed"], report["kept"], report["frames"], report["rejected"]) == (6, 6, 60, {})

    def test_an_output_that_was_removed_is_made_again_without_encoding(self, pipeline: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        run_here(pipeline, out)
        out.rename(tmp_path / "kept")
        report = run_here(pipeline, out)
        assert not report.was_finished
        assert_same_dataset(out, tmp_path / "kept")
        assert_encoded_once(out)

    def test_shards_and_output_that_were_removed_are_made_again(self, pipeline: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        run_here(pipeline, out)
        out.rename(tmp_path / "kept")
        shutil.rmtree(tmp_path / "out.run" / "shards" / "00000")
        run_here(pipeline, out)
        assert_same_dataset(out, tmp_path / "kept")


class TestChanged:
    def _refused(self, pipeline: Path, out: Path) -> str:
        with pytest.raises(RunChanged) as caught:
            run_here(pipeline, out)
        assert caught.value.exit_code == 2
        assert "fresh=True" in str(caught.value), "it was started from Python"
        assert 'run_dir="DIR"' in str(caught.value)
        return str(caught.value)

    @pytest.fixture(params=["finished", "interrupted"])
    def started(self, request: pytest.FixtureRequest, pipeline: Path, tmp_path: Path) -> Path:
        out = tmp_path / "out"
        if request.param == "finished":
            run_here(pipeline, out)
        else:

            def stop() -> None:
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                run_here(pipeline, out, watcher=AtStart(stop))
        return out

    def test_another_argument_is_named_with_both_values(self, started: Path, pipeline: Path) -> None:
        content = yaml.safe_load(pipeline.read_text())
        content["writer"]["video"]["crf"] = 31
        pipeline.write_text(yaml.safe_dump(content))
        assert "writer.video.crf: 31 was 30" in self._refused(pipeline, started)

    def test_another_step_is_named(self, started: Path, pipeline: Path) -> None:
        pipeline.write_text(pipeline.read_text() + "steps: [success_filter]\n")
        assert "steps" in self._refused(pipeline, started)
        assert "success_filter" in self._refused(pipeline, started)

    def test_a_changed_source_is_named(self, started: Path, pipeline: Path, two_files: list[Path]) -> None:
        os.utime(two_files[1], ns=(1, 1))
        text = self._refused(pipeline, started)
        assert f"source {two_files[1]} was changed" in text
        assert str(two_files[0]) not in text

    def test_a_missing_source_is_named(self, started: Path, pipeline: Path, two_files: list[Path]) -> None:
        two_files[0].unlink()
        if started.exists():  # a finished run needs its sources no more: they may be archived
            assert run_here(pipeline, started).was_finished
        else:
            assert f"source {two_files[0]} is missing" in self._refused(pipeline, started)

    def test_a_new_source_is_named(self, started: Path, pipeline: Path, two_files: list[Path]) -> None:
        new = sample(two_files[0].parent, "c.hdf5", 1, 5, seed=9)
        assert f"source {new} is new" in self._refused(pipeline, started)

    def test_so_it_is_from_a_folder_from_which_others_are_not_found(
        self, tmp_path: Path, two_files: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        more = sample(tmp_path / "more", "d.hdf5", 1, 5, seed=8)
        pipeline = write_pipeline(tmp_path, ["data/*.hdf5", more.parent])
        out = tmp_path / "out"
        monkeypatch.chdir(tmp_path)
        run_here(pipeline, out)
        out.rename(tmp_path / "kept")  # so that it is not finished
        monkeypatch.chdir(tmp_path / "kept")
        new = sample(more.parent, "e.hdf5", 1, 5, seed=9)
        text = self._refused(pipeline, out)
        assert f"source {new} is new" in text
        assert str(two_files[0]) not in text

    def test_another_encoder_version_is_named(
        self, started: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("robotrove.pipelines.run.runner.encoder_version", lambda video: "pyav 99")
        assert "encoder pyav 99 was pyav" in self._refused(pipeline, started)

    def test_a_refused_retry_leaves_everything_as_it_was(self, pipeline: Path, two_files: list[Path]) -> None:
        out = pipeline.parent / "out"
        absent = two_files[1].with_suffix(".away")
        run_here(pipeline, out, watcher=AtStart(lambda: two_files[1].rename(absent)))
        before = tree(out)
        with pytest.raises(RunChanged):
            run_here(pipeline, out, retry_rejected=True)
        assert tree(out) == before


@pytest.mark.parametrize("files", [["data/b.hdf5", "data/a.hdf5"], ["data/*.hdf5"], []])
@pytest.mark.parametrize("door", ["command line", "Python"])
def test_the_frozen_pipeline_resumes_from_another_folder(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], door: str
) -> None:
    """The command, or the line of Python, that a failure prints must work as it is."""
    out = tmp_path / "out dir"
    if door == "command line":
        monkeypatch.setenv(COMMAND_LINE, "1")
    if files:
        pipeline = write_pipeline(tmp_path, files)
        monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "robotrove.blocks.writer.shard_writer.write_episode", _raise(OSError(28, "No space left on device"))
    )
    with pytest.raises(RankFailed) as caught:
        run_here(pipeline, out)
    monkeypatch.undo()
    text = str(caught.value)
    assert "rank 0: OSError: [Errno 28] No space left on device" in text
    resume = text.rpartition("resume with: ")[2]
    (tmp_path / "elsewhere").mkdir()
    if door == "command line":
        words = shlex.split(resume)
        assert words[0] == "robotrove"
        command = ["-m", "robotrove.cli", *words[1:]]
    else:
        command = ["-c", f"from robotrove import Pipeline\n{resume}"]
    done = subprocess.run([sys.executable, *command], cwd=tmp_path / "elsewhere", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "meta/info.json").exists()


def _raise(error: Exception) -> Callable[..., None]:
    def act(*args: object, **more: object) -> None:
        raise error

    return act


class TestFresh:
    def test_moves_run_and_output_aside_and_deletes_nothing(self, pipeline: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        run_here(pipeline, out)
        before, run_before = tree(out), tree(tmp_path / "out.run")
        report = run_here(pipeline, out, fresh=True)
        assert not report.was_finished
        assert tree(tmp_path / "out.old-1") == before
        assert tree(tmp_path / "out.run.old-1") == run_before
        assert_same_dataset(out, tmp_path / "out.old-1")
        run_here(pipeline, out, fresh=True)
        assert tree(tmp_path / "out.old-2") == before

    def test_takes_a_number_that_is_free_for_both(self, pipeline: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        (tmp_path / "out.old-1").mkdir()
        (tmp_path / "out.old-1" / "mine").write_text("x")
        run_here(pipeline, out)
        run_here(pipeline, out, fresh=True)
        assert (tmp_path / "out.old-1" / "mine").read_text() == "x"
        assert (tmp_path / "out.old-2" / "meta" / "info.json").exists()
        assert (tmp_path / "out.run.old-2").exists()

    def test_nothing_of_a_half_made_output_gets_into_the_new_one(self, tmp_path: Path, two_files: list[Path]) -> None:
        """The old run has the same name, as its inputs are the same, but lacks episodes that it could not read."""
        pipeline = write_pipeline(tmp_path, two_files)
        run_here(pipeline, tmp_path / "right")
        out, absent = tmp_path / "out", two_files[1].with_suffix(".away")
        run_here(pipeline, out, watcher=AtStart(lambda: two_files[1].rename(absent)))
        absent.rename(two_files[1])
        run_id = json.loads((tmp_path / "out.run" / "run.json").read_text())["digest"][:12]
        out.rename(Workspace.for_output(out).output_partial(run_id))  # as if killed before the last rename
        run_here(pipeline, out, fresh=True)
        assert_same_dataset(out, tmp_path / "right")

    def test_nor_when_the_run_directory_was_removed_by_hand(self, tmp_path: Path, two_files: list[Path]) -> None:
        pipeline = write_pipeline(tmp_path, two_files)
        run_here(pipeline, tmp_path / "right")
        out, absent = tmp_path / "out", two_files[1].with_suffix(".away")
        run_here(pipeline, out, watcher=AtStart(lambda: two_files[1].rename(absent)))
        absent.rename(two_files[1])
        run_id = json.loads((tmp_path / "out.run" / "run.json").read_text())["digest"][:12]
        out.rename(Workspace.for_output(out).output_partial(run_id))
        shutil.rmtree(tmp_path / "out.run")
        run_here(pipeline, out)
        assert_same_dataset(out, tmp_path / "right")

    def test_an_output_that_is_not_ours_stays(self, pipeline: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").write_text("x")
        for fresh in (False, True):
            with pytest.raises(UsageError, match="not the output of this run"):
                run_here(pipeline, tmp_path / "out", fresh=fresh)
        assert tree(tmp_path / "out") == {"thesis.tex": b"x"}


class TestRetryRejected:
    """A source that cannot be read for a while: its episodes are rejected by name, and later tried again."""

    @pytest.fixture
    def three_files(self, tmp_path: Path) -> list[Path]:
        """Kept and rejected episodes take turns, within one shard and over several."""
        return [sample(tmp_path / "data", f"{name}.hdf5", 6, 26, seed=seed) for seed, name in enumerate("abc")]

    def _without(self, absent: Path, pipeline: Path, out: Path, **more: bool) -> RunReport:
        away = absent.with_suffix(".away")
        try:
            return run_here(pipeline, out, watcher=AtStart(lambda: absent.rename(away)), **more)
        finally:
            away.rename(absent)

    def test_equals_an_undisturbed_run_and_encodes_only_what_was_missing(
        self, tmp_path: Path, three_files: list[Path]
    ) -> None:
        pipeline = write_pipeline(tmp_path, three_files)
        run_here(pipeline, tmp_path / "right")
        out = tmp_path / "out"
        report = self._without(three_files[1], pipeline, out)
        assert report.exit_code == 1
        assert (report.kept, report.rejected) == (12, {"source_changed": 6})
        lines = [json.loads(line) for line in (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines()]
        assert {line["source"] for line in lines} == {"b.hdf5"}
        kept_before = {event.episode for event in events(out) if event.kind == "committed"}
        assert kept_before == {0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17}
        report = run_here(pipeline, out, retry_rejected=True)
        assert (report.kept, report.rejected, report.exit_code, report.was_finished) == (18, {}, 0, False)
        assert_same_dataset(out, tmp_path / "right")
        assert_encoded_once(out)
        assert {event.episode for event in events(out) if event.kind == "committed"} - kept_before == set(range(6, 12))
        assert_no_leftovers(out)

    def test_a_shard_with_nothing_in_it_is_filled(self, tmp_path: Path, three_files: list[Path]) -> None:
        files = [sample(tmp_path / "data", "big.hdf5", 13, 26, seed=5), three_files[0]]
        pipeline = write_pipeline(tmp_path, files)  # a.hdf5 first: its 6 episodes and 6 of big, then 7 of big
        run_here(pipeline, tmp_path / "right")
        out = tmp_path / "out"
        report = self._without(files[0], pipeline, out)
        assert report.kept == 6
        run_here(pipeline, out, retry_rejected=True)
        assert_same_dataset(out, tmp_path / "right")

    def test_in_vain_it_ends_as_before(self, tmp_path: Path, three_files: list[Path]) -> None:
        pipeline = write_pipeline(tmp_path, three_files)
        out = tmp_path / "out"
        self._without(three_files[2], pipeline, out)
        before = tree(out)
        report = self._without(three_files[2], pipeline, out, retry_rejected=True)
        assert report.rejected == {"source_changed": 6}
        assert tree(out) == before
        assert_encoded_once(out)

    def test_with_nothing_to_retry_it_is_finished(self, tmp_path: Path, three_files: list[Path]) -> None:
        pipeline = write_pipeline(tmp_path, three_files[:1])
        run_here(pipeline, tmp_path / "out")
        assert run_here(pipeline, tmp_path / "out", retry_rejected=True).was_finished

    def test_rejections_of_an_unfinished_shard_are_retried_too(
        self, tmp_path: Path, three_files: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipeline = write_pipeline(tmp_path, three_files)
        run_here(pipeline, tmp_path / "right")
        out = tmp_path / "out"
        monkeypatch.setattr("robotrove.blocks.writer.shard_writer.ShardWriter.finish", _raise(OSError(5, "I/O error")))
        with pytest.raises(RankFailed):
            self._without(three_files[1], pipeline, out)
        monkeypatch.undo()
        report = run_here(pipeline, out, retry_rejected=True)
        assert report.rejected == {}
        assert_same_dataset(out, tmp_path / "right")
        assert_encoded_once(out)


class TestEverythingRejected:
    def test_while_running_ends_with_2_and_the_reasons(self, tmp_path: Path) -> None:
        [path] = write_sample("piper", tmp_path, episodes=2, frames=5, height=48, width=48, cameras=("front",))
        with h5py.File(path, "r+") as file:
            for name in file:
                file[name]["state"][2, 3] = float("nan")
        pipeline = write_pipeline(tmp_path, [path], "piper")
        out = tmp_path / "out"
        with pytest.raises(UsageError, match="all 2 episodes were rejected") as caught:
            run_here(pipeline, out)
        assert caught.value.exit_code == 2
        lines = [json.loads(line) for line in (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines()]
        assert [(line["key"], line["reason"]) for line in lines] == [
            ("episode_0", "non_finite"),
            ("episode_1", "non_finite"),
        ]
        assert not out.exists()


class TestOnErrorStop:
    def test_a_file_that_cannot_be_read_ends_the_run_before_it_begins(self, tmp_path: Path) -> None:
        good = sample(tmp_path, "good.hdf5", 1, 5)
        bad = tmp_path / "bad.hdf5"
        bad.write_bytes(b"nothing")
        pipeline = write_pipeline(tmp_path, [good, bad], on_error="stop")
        with pytest.raises(RobotroveError, match=r"bad\.hdf5.*not_hdf5") as caught:
            run_here(pipeline, tmp_path / "out")
        assert caught.value.exit_code == 1
        assert not (tmp_path / "out").exists()
