"""Runs that make datasets of datasets, and runs that make several versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.core.errors import RankFailed, RobotroveError, RunChanged, UsageError
from robotrove.core.version import __version__
from robotrove.core.workspace import Workspace
from robotrove.formats.lerobot.writers.writer_v30 import WriterV30
from robotrove.manifests.run_info import RunInfo
from robotrove.manifests.run_report import RunReport
from robotrove.media.encode.encoder import encoder_version
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.video.probe import iter_frames
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.stages import stages
from robotrove.pipelines.run.status import RunStatus, Watcher, status_reader
from robotrove.pipelines.run.trace import trace
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import (
    WRITER,
    AtStart,
    Here,
    assert_no_leftovers,
    assert_same_dataset,
    quick_disk,  # noqa: F401 - autouse
    run_here,
    sample,
    tree,
    write_pipeline,
)
from robotrove.verification.check import Diagnostic
from robotrove.verification.dataset.runner import verify
from robotrove.verification.source.source_check import check_source


class Forgetful(Aggregator):
    """Loses an episode, and does not say so."""

    name = "forgetful"

    def finish(self) -> None:
        super().finish()
        path = self.root / "meta" / "info.json"
        info = json.loads(path.read_text())
        path.write_text(json.dumps(info | {"total_episodes": info["total_episodes"] - 1}))


class Observer(Watcher):
    def __init__(self) -> None:
        self.planned: list[tuple[int, int]] = []
        self.seen: list[RunStatus] = []

    def planning(self, done: int, total: int) -> None:
        self.planned.append((done, total))

    def started(self, status: RunStatus) -> None:
        self.seen.append(status)

    def progress(self, status: RunStatus) -> None:
        self.seen.append(status)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders one and two with datasets of 3 episodes of 10 frames and 2 of 8, and their recordings in data."""
    folder = tmp_path_factory.mktemp("made")
    for name, episodes, frames in (("one", 3, 10), ("two", 2, 8)):
        file = sample(folder / "data", f"{name}.hdf5", episodes, frames, seed=frames)
        writer = WRITER | {"robot_type": "arm"}
        run_here(write_pipeline(folder / "pipelines" / name, [file], writer=writer), folder / name)
    return folder


@pytest.fixture
def inputs(made: Path, tmp_path: Path) -> list[Path]:
    """Copies that a test may change."""
    for name in ("one", "two"):
        shutil.copytree(made / name, tmp_path / name)
    return [tmp_path / "one", tmp_path / "two"]


@pytest.fixture
def pipeline(inputs: list[Path], tmp_path: Path) -> Path:
    return write(tmp_path, {"aggregator": {"datasets": [str(path) for path in inputs]}}, "dataset_stats")


def write(folder: Path, *dataset: Any, **more: Any) -> Path:
    path = folder / "merge.yaml"
    path.write_text(yaml.safe_dump({"dataset": list(dataset), **more}))
    return path


def run_info(output: Path) -> RunInfo:
    return RunInfo.read(output.with_name(f"{output.name}.run") / "run.json")


def info(dataset: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((dataset / "meta" / "info.json").read_text())
    return found


class TestRun:
    def test_it_is_a_run_like_any_other(self, pipeline: Path, inputs: list[Path], tmp_path: Path) -> None:
        before = [tree(path) for path in inputs]
        report = run_here(pipeline, tmp_path / "out")
        run_dir = tmp_path / "out.run"
        assert (report.listed, report.kept, report.frames, report.rejected) == (5, 5, 46, {})
        assert (report.inputs, report.datasets) == ([str(path) for path in inputs], [str(tmp_path / "out")])
        assert (info(tmp_path / "out")["total_episodes"], info(tmp_path / "out")["total_frames"]) == (5, 46)
        assert RunReport.read(run_dir / "report.json") == report
        assert (run_dir / "rejected.jsonl").read_bytes() == b""
        assert not (run_dir / "manifest.parquet").exists()
        assert sorted(os.listdir(run_dir / "logs")) == [
            "1-aggregator.finish", "1-aggregator.plan", "1-aggregator.process",
            "2-dataset_stats.finish", "2-dataset_stats.plan", "2-dataset_stats.process",
            "commit", "report",
        ]  # fmt: skip
        assert not yaml.safe_load((run_dir / "pipeline.yaml").read_text()).keys() & {"source", "steps", "writer"}
        assert_no_leftovers(tmp_path / "out")
        assert [tree(path) for path in inputs] == before

    def test_its_facts_come_from_the_inputs(
        self, pipeline: Path, made: Path, inputs: list[Path], tmp_path: Path
    ) -> None:
        run_here(pipeline, tmp_path / "out")
        run, first = run_info(tmp_path / "out"), RunInfo.read(made / "one.run" / "run.json")
        assert (run.fps, run.robot_type, run.features) == (first.fps, "arm", first.features)
        assert [(d.path, d.episodes, d.frames) for d in run.inputs] == [
            (str(inputs[0]), 3, 30),
            (str(inputs[1]), 2, 16),
        ]
        assert (run.formats, run.notes, run.version) == (["v3.0"], [], __version__)
        # Data, episodes, tasks, provenance and one camera, of each.
        assert run.dataset_ranks == 10

    def test_statistics_are_light(self, pipeline: Path, tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "out")
        found = {stage.name: (stage.ranks, stage.is_light) for stage in stages(Workspace.for_output(tmp_path / "out"))}
        assert found["1-aggregator.process"] == (10, False)
        assert found["2-dataset_stats.process"] == (10, True)
        assert found["2-dataset_stats.finish"] == (1, False)

    def test_python_is_the_same(self, pipeline: Path, inputs: list[Path], tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "out")
        python = Pipeline(dataset=[Aggregator(datasets=[str(path) for path in inputs]), DatasetStats()])
        assert python.spec == load_pipeline(pipeline).spec
        assert python.run(output=tmp_path / "out", executor=Here()).was_finished
        plan = python.plan()
        assert (plan.episodes, plan.frames, plan.fps) == (5, 46, run_info(tmp_path / "out").fps)  # type: ignore[union-attr]

    def test_relative_folders_are_those_beside_the_pipeline_file(self, inputs: list[Path], tmp_path: Path) -> None:
        pipeline = write(tmp_path, {"downgrader": {"datasets": ["one"]}})
        run_here(pipeline, tmp_path / "out")
        assert [dataset.path for dataset in run_info(tmp_path / "out").inputs] == [str(inputs[0])]
        assert info(tmp_path / "out")["codebase_version"] == "v2.1"

    def test_the_encoder_is_that_of_the_block(self, inputs: list[Path], tmp_path: Path) -> None:
        video = {"codec": "libx264", "preset": "ultrafast"}
        pipeline = write(tmp_path, {"aggregator": {"datasets": [str(inputs[0])], "video": video}})
        run_here(pipeline, tmp_path / "out")
        assert run_info(tmp_path / "out").encoder == encoder_version(VideoSettings(codec="libx264", preset="ultrafast"))
        run_here(write(tmp_path, {"aggregator": {"datasets": [str(inputs[0])]}}), tmp_path / "other")
        assert run_info(tmp_path / "other").encoder == encoder_version(VideoSettings())

    def test_an_episode_that_is_lost_on_the_way_is_noticed(self, inputs: list[Path], tmp_path: Path) -> None:
        block = {"use": f"{__spec__.name}:Forgetful", "datasets": [str(inputs[0])]}
        with pytest.raises(RobotroveError, match=r"books do not balance: listed 3, kept 3 .* in the dataset 2"):
            run_here(write(tmp_path, block), tmp_path / "out")
        assert not (tmp_path / "out.run" / "report.json").exists()

    def test_what_a_block_notes_is_reported(
        self, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admit = Aggregator.admit

        def counting(self: Aggregator, *episode: Any) -> Any:
            self._reencodings["a camera"] += 1
            return admit(self, *episode)

        monkeypatch.setattr(Aggregator, "admit", counting)
        assert run_here(pipeline, tmp_path / "out").notes == ["5 clips of a camera were re-encoded"]

    def test_progress_is_counted_in_ranks(self, pipeline: Path, tmp_path: Path) -> None:
        observer = Observer()
        run_here(pipeline, tmp_path / "out", watcher=observer)
        assert observer.planned == [(1, 2), (2, 2)]
        # Two blocks of one rank to plan, one to finish and ten between, the commit and the report.
        assert {(status.unit, status.total) for status in observer.seen} == {("ranks", 26)}
        assert [status.done for status in observer.seen] == [*range(27), 26]
        assert [status.kept for status in observer.seen][-3:] == [0, 5, 5]
        assert [status.state for status in observer.seen][-3:] == ["running", "finished", "finished"]
        last = status_reader(Workspace.for_output(tmp_path / "out")).read()
        assert (last.listed, last.kept, last.frames, last.total_frames, last.rejected) == (5, 5, 46, 46, {})


class TestResume:
    def test_a_finished_run_says_so(self, pipeline: Path, inputs: list[Path], tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "out")
        before = tree(tmp_path)
        assert run_here(pipeline, tmp_path / "out").was_finished
        assert tree(tmp_path) == before
        shutil.rmtree(inputs[1])  # which may be archived
        assert run_here(pipeline, tmp_path / "out").was_finished

    def test_an_output_that_was_removed_is_made_again(self, pipeline: Path, tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "out")
        (tmp_path / "out").rename(tmp_path / "kept")
        assert not run_here(pipeline, tmp_path / "out").was_finished
        assert_same_dataset(tmp_path / "out", tmp_path / "kept")

    @pytest.mark.parametrize(
        ("of", "phase"),
        [(Aggregator, "plan"), (WriterV30, "write"), (Aggregator, "finish")],
        ids=["plan", "write", "finish"],
    )
    def test_after_a_failure_it_goes_on(
        self, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: type, phase: str
    ) -> None:
        run_here(pipeline, tmp_path / "right")

        def fail(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(of, phase, fail)
        with pytest.raises(RankFailed, match="No space left"):
            run_here(pipeline, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        monkeypatch.undo()
        run_here(pipeline, tmp_path / "out")
        assert_same_dataset(tmp_path / "out", tmp_path / "right")
        assert_no_leftovers(tmp_path / "out")

    def test_the_frozen_pipeline_resumes_from_another_folder(
        self, inputs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        pipeline = write(tmp_path, {"aggregator": {"datasets": [path.name for path in inputs]}})
        run_here(pipeline, Path("right"))
        self._started(pipeline, tmp_path / "out")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        run_here(tmp_path / "out.run" / "pipeline.yaml", tmp_path / "out")
        assert_same_dataset(tmp_path / "out", tmp_path / "right")

    def test_workers_give_the_same(self, pipeline: Path, tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "right")
        command = [sys.executable, "-m", "robotrove.cli", "run", str(pipeline), "--output", str(tmp_path / "out")]
        done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1:] == [
            "  all episodes of 2 datasets",
            f"  check: robotrove verify {tmp_path / 'out'}",
        ]
        assert_same_dataset(tmp_path / "out", tmp_path / "right")

    def _started(self, pipeline: Path, output: Path) -> None:
        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_here(pipeline, output, watcher=AtStart(stop))

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (lambda path: os.utime(path / "data/chunk-000/file-000.parquet", ns=(1, 1)), "was changed"),
            (lambda path: (path / "meta/modality.json").write_text("{}"), "was changed"),
            (lambda path: (path / "meta/tasks.parquet").unlink(), "was changed"),
            (lambda path: (path / "meta/info.json").write_text("{"), "was changed"),
            (lambda path: shutil.rmtree(path), "is missing"),
            (lambda path: (path / "meta/info.json").unlink(), "is missing"),
        ],
    )
    def test_an_input_that_changed_is_named(
        self, pipeline: Path, inputs: list[Path], tmp_path: Path, change: Any, text: str
    ) -> None:
        self._started(pipeline, tmp_path / "out")
        change(inputs[1])
        with pytest.raises(RunChanged) as caught:
            run_here(pipeline, tmp_path / "out")
        assert f"dataset {inputs[1]} {text}" in str(caught.value)
        assert f"dataset {inputs[0]}" not in str(caught.value)

    def test_so_is_one_of_a_finished_run(self, pipeline: Path, inputs: list[Path], tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "out")
        os.utime(inputs[0] / "meta/info.json", ns=(1, 1))
        with pytest.raises(RunChanged, match=f"dataset {inputs[0]} was changed"):
            run_here(pipeline, tmp_path / "out")

    def test_a_folder_of_a_moved_pipeline_file_that_is_another_one_is_named(
        self, inputs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipeline = write(tmp_path, {"aggregator": {"datasets": ["one"]}})
        self._started(pipeline, tmp_path / "out")
        shutil.copytree(inputs[0], tmp_path / "elsewhere" / "one")
        monkeypatch.chdir(tmp_path / "elsewhere")
        run_here(pipeline, tmp_path / "other")  # the current folder does not count
        assert [dataset.path for dataset in run_info(tmp_path / "other").inputs] == [str(inputs[0])]
        pipeline = pipeline.rename(tmp_path / "elsewhere" / pipeline.name)
        with pytest.raises(RunChanged, match=f"dataset {tmp_path / 'elsewhere' / 'one'} was {inputs[0]}"):
            run_here(pipeline, tmp_path / "out")

    def test_other_datasets_are_named(self, pipeline: Path, inputs: list[Path], tmp_path: Path) -> None:
        self._started(pipeline, tmp_path / "out")
        write(tmp_path, {"aggregator": {"datasets": [str(inputs[0])]}}, "dataset_stats")
        with pytest.raises(RunChanged, match=r"dataset\[0\].datasets\[1\]: .*two\" is missing"):
            run_here(pipeline, tmp_path / "out")

    def test_the_run_id_depends_on_what_the_inputs_hold(
        self, pipeline: Path, inputs: list[Path], tmp_path: Path
    ) -> None:
        run_here(pipeline, tmp_path / "out")
        run_here(pipeline, tmp_path / "again")
        assert run_info(tmp_path / "out").run_id == run_info(tmp_path / "again").run_id
        os.utime(inputs[1] / "meta/stats.json", ns=(1, 1))
        run_here(pipeline, tmp_path / "later")
        assert run_info(tmp_path / "later").run_id != run_info(tmp_path / "out").run_id

    def test_fresh_moves_run_and_output_aside(self, pipeline: Path, tmp_path: Path) -> None:
        run_here(pipeline, tmp_path / "out")
        assert not run_here(pipeline, tmp_path / "out", fresh=True).was_finished
        assert_same_dataset(tmp_path / "out", tmp_path / "out.old-1")

    def test_there_is_nothing_to_retry(self, pipeline: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="rejects none"):
            run_here(pipeline, tmp_path / "out", retry_rejected=True)
        assert not (tmp_path / "out.run").exists()


class TestInputs:
    @pytest.mark.parametrize(
        ("output", "run_dir"),
        [
            ("one", None),
            ("one/merged", None),
            (".", "../apart"),
            ("link/merged", None),
            ("out", "one/run"),
            ("out", "."),
        ],
    )
    def test_they_are_never_in_the_way(
        self, pipeline: Path, inputs: list[Path], tmp_path: Path, output: str, run_dir: str | None
    ) -> None:
        (tmp_path / "link").symlink_to(inputs[0])
        before = tree(tmp_path)
        workspace = Workspace.for_output(tmp_path / output, tmp_path / run_dir if run_dir else tmp_path / "r")
        with pytest.raises(UsageError, match="one is in the other"):
            execute(load_pipeline(pipeline), workspace, Here(), fresh=True)
        assert tree(tmp_path) == before

    def test_a_folder_that_is_no_dataset_is_refused(self, inputs: list[Path], tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        pipeline = write(tmp_path, {"aggregator": {"datasets": [str(inputs[0]), str(tmp_path / "empty")]}})
        with pytest.raises(UsageError, match="empty: is no"):
            run_here(pipeline, tmp_path / "out")
        assert not (tmp_path / "out.run" / "run.json").exists()

    @pytest.mark.parametrize("content", ["{", "[]", '{"codebase_version": "v3.0"}'])
    def test_a_damaged_one_is_named(self, inputs: list[Path], tmp_path: Path, content: str) -> None:
        (inputs[1] / "meta/info.json").write_text(content)
        pipeline = write(tmp_path, {"aggregator": {"datasets": [str(path) for path in inputs]}})
        with pytest.raises(UsageError, match=r"two/meta/info\.json"):
            run_here(pipeline, tmp_path / "out")


class TestSeveralFormats:
    @pytest.fixture
    def both(self, made: Path, tmp_path: Path) -> Path:
        return write_pipeline(tmp_path, [made / "data" / "*.hdf5"], formats=["v3.0", "v2.1"])

    def test_each_gets_a_folder_and_all_appear_at_once(self, both: Path, tmp_path: Path) -> None:
        seen: list[bool] = []

        class Watching(Observer):
            def progress(self, status: RunStatus) -> None:
                seen.append((tmp_path / "out").exists())

        report = run_here(both, tmp_path / "out", watcher=Watching())
        assert seen[-4:] == [False, True, True, True], "when it is committed, reported, and at the end"
        assert sorted(os.listdir(tmp_path / "out")) == ["v2.1", "v3.0"]
        assert report.datasets == [str(tmp_path / "out" / "v3.0"), str(tmp_path / "out" / "v2.1")]
        assert (report.listed, report.kept, report.frames) == (5, 5, 46)
        lines = (tmp_path / "out" / "v2.1" / "meta" / "episodes_stats.jsonl").read_text().splitlines()
        counts = [feature["count"] for line in lines for feature in json.loads(line)["stats"].values()]
        assert {type(number) for count in counts for number in count} == {int}, "as LeRobot writes them"
        for version in ("v3.0", "v2.1"):
            found = info(tmp_path / "out" / version)
            assert (found["codebase_version"], found["total_episodes"], found["total_frames"]) == (version, 5, 46)
        assert (tmp_path / "out" / "v3.0" / "meta" / "stats.json").exists()
        assert run_info(tmp_path / "out").formats == ["v3.0", "v2.1"]
        assert_no_leftovers(tmp_path / "out")

    def test_each_is_what_it_is_alone(self, both: Path, made: Path, tmp_path: Path) -> None:
        run_here(both, tmp_path / "out")
        for version in ("v3.0", "v2.1"):
            alone = write_pipeline(tmp_path / version, [made / "data" / "*.hdf5"], formats=[version])
            run_here(alone, tmp_path / version / "alone")
            left, right = tree(tmp_path / "out" / version), tree(tmp_path / version / "alone")
            assert left.keys() == right.keys()
            # The identity of the run is in meta/robotrove alone.
            assert {name for name in left if left[name] != right[name]} <= {
                name for name in left if name.startswith("meta/robotrove/")
            }

    def test_again_it_is_finished(self, both: Path, tmp_path: Path) -> None:
        run_here(both, tmp_path / "out")
        assert run_here(both, tmp_path / "out").was_finished

    def test_an_output_with_something_else_in_it_is_not_ours(self, both: Path, tmp_path: Path) -> None:
        run_here(both, tmp_path / "out")
        shutil.rmtree(tmp_path / "out" / "v2.1")
        with pytest.raises(UsageError, match="not the output of this run"):
            run_here(both, tmp_path / "out")

    def test_a_version_that_no_block_made_is_noticed(
        self, both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("robotrove.blocks.dataset.downgrader.Downgrader.finish", lambda self: None)
        with pytest.raises(RobotroveError, match=r"no block made a dataset of version v2\.1"):
            run_here(both, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_totals_of_each_are_checked(self, made: Path, tmp_path: Path) -> None:
        blocks = [{"use": f"{__spec__.name}:Forgetful"}, "downgrader"]
        pipeline = write_pipeline(tmp_path, [made / "data" / "*.hdf5"], dataset=blocks)
        with pytest.raises(RobotroveError, match=r"v3\.0: the books do not balance"):
            run_here(pipeline, tmp_path / "out")

    def test_both_of_datasets(self, inputs: list[Path], tmp_path: Path) -> None:
        given = {"datasets": [str(path) for path in inputs]}
        report = run_here(write(tmp_path, {"downgrader": given}, "aggregator"), tmp_path / "out")
        assert (report.kept, sorted(os.listdir(tmp_path / "out"))) == (5, ["v2.1", "v3.0"])

    def test_episodes_of_each_are_traced(self, both: Path, made: Path, tmp_path: Path) -> None:
        run_here(both, tmp_path / "out")
        for version in ("v3.0", "v2.1"):
            assert trace(tmp_path / "out" / version, 4).path == str(made / "data" / "two.hdf5")


class TestTooLongForV21:
    @pytest.fixture
    def source(self, tmp_path: Path) -> dict[str, Any]:
        """Two episodes of bare numbers at 15 fps, the first of 1,100 s."""
        with h5py.File(tmp_path / "long.h5", "w") as file:
            for name, length in (("a", 16_500), ("b", 20)):
                file[f"runs/{name}/q"] = np.arange(2 * length, dtype=np.float32).reshape(length, 2)
        columns = {"action": "q", "observation.state": "q"}
        return {"options": {"episodes": "/runs/*"}, "columns": columns, "fps": 15, "task": "wait"}

    def _pipeline(self, tmp_path: Path, source: dict[str, Any], **more: Any) -> Path:
        return write_pipeline(tmp_path, [tmp_path / "long.h5"], "generic", source=source, **more)

    def test_it_is_left_out_by_name(self, tmp_path: Path, source: dict[str, Any]) -> None:
        report = run_here(self._pipeline(tmp_path, source, formats=["v3.0", "v2.1"]), tmp_path / "out")
        assert (report.kept, report.rejected, report.exit_code) == (1, {"too_long_for_v21": 1}, 0)
        [line] = map(json.loads, (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines())
        assert (line["key"], line["error"]) == ("runs/a", False)
        assert line["detail"].startswith("lasts 1100 s, 16500 frames: LeRobot 0.3.3 cannot load it")
        assert "downgrader: {allow_long: true}" in line["detail"]

    @pytest.mark.parametrize(
        "more", [{"formats": ["v3.0"]}, {"dataset": [{"downgrader": {"allow_long": True}}]}], ids=["v3.0", "allow_long"]
    )
    def test_unless_it_does_not_matter(self, tmp_path: Path, source: dict[str, Any], more: dict[str, Any]) -> None:
        plan = make_plan(load_pipeline(self._pipeline(tmp_path, source, **more)))
        assert [row.length for row in plan.manifest.kept] == [16_500, 20]


def _times(dataset: Path) -> NDArray[np.float32]:
    files = sorted((dataset / "data").glob("*/*.parquet"))
    return np.concatenate([pq.read_table(path)["timestamp"].to_numpy() for path in files])


def _errors(dataset: Path) -> list[Diagnostic]:
    return [finding for finding in verify(dataset).findings if finding.severity == "error"]


class TestBeyond4096Seconds:
    """float32 holds such times to half a millisecond only."""

    LENGTHS = (20, 61_600, 30)  # the second lasts 4,107 s at 15 fps

    @pytest.fixture
    def expected(self) -> NDArray[np.float32]:
        return np.concatenate([(np.arange(length) / 15).astype(np.float32) for length in self.LENGTHS])

    @pytest.fixture
    def pipeline(self, tmp_path: Path) -> Path:
        with h5py.File(tmp_path / "long.h5", "w") as file:
            for name, length in zip("abc", self.LENGTHS, strict=True):
                file[f"runs/{name}/q"] = np.arange(2 * length, dtype=np.float32).reshape(length, 2)
        columns = {"action": "q", "observation.state": "q"}
        source = {"options": {"episodes": "/runs/*"}, "columns": columns, "fps": 15, "task": "wait"}
        more = {
            "formats": ["v3.0", "v2.1"],
            "dataset": ["aggregator", {"downgrader": {"allow_long": True}}, "dataset_stats"],
        }
        return write_pipeline(tmp_path, [tmp_path / "long.h5"], "generic", source=source, **more)

    def test_both_versions_have_its_times(self, pipeline: Path, tmp_path: Path, expected: NDArray[np.float32]) -> None:
        report = run_here(pipeline, tmp_path / "out")
        assert (report.kept, report.frames, report.exit_code) == (3, sum(self.LENGTHS), 0)
        for version in ("v3.0", "v2.1"):
            assert np.array_equal(_times(tmp_path / "out" / version), expected)
        assert _errors(tmp_path / "out" / "v3.0") == []
        # LeRobot 0.3.3 cannot load it, and that is all.
        told = [finding.message for finding in _errors(tmp_path / "out" / "v2.1")]
        assert [message.partition(":")[0] for message in told] == ["too long"]

    def test_it_is_merged_and_converted(self, pipeline: Path, tmp_path: Path, expected: NDArray[np.float32]) -> None:
        run_here(pipeline, tmp_path / "out")
        for version in ("v3.0", "v2.1"):
            given = [str(tmp_path / "out" / version)]
            made = tmp_path / f"from_{version}"
            run_here(write(tmp_path, {"aggregator": {"datasets": given}}, "dataset_stats"), made)
            assert np.array_equal(_times(made), expected)
            assert _errors(made) == []
        with pytest.raises(RankFailed, match=r"episode 1: lasts 4107 s: LeRobot 0\.3\.3 refuses it"):
            run_here(write(tmp_path, {"downgrader": {"datasets": given}}), tmp_path / "down")

    @pytest.mark.parametrize("row", [20 + 61_500, 20 + 61_500 - 20_000])
    def test_a_wrong_time_in_it_is_found(self, pipeline: Path, tmp_path: Path, row: int) -> None:
        run_here(pipeline, tmp_path / "out")
        path = tmp_path / "out" / "v3.0" / "data" / "chunk-000" / "file-000.parquet"
        table = pq.read_table(path)
        times = table["timestamp"].to_numpy().copy()
        times[row] += np.float32(0.002)  # a thirtieth of a frame
        pq.write_table(table.set_column(table.column_names.index("timestamp"), "timestamp", pa.array(times)), path)
        changed, finding = _errors(path.parents[2])
        assert (changed.check, changed.where) == ("checksums", "data/chunk-000/file-000.parquet")
        assert (finding.check, finding.message) == (
            "timestamps",
            f"timestamp is {times[row]!s} instead of {np.float32((row - 20) / 15)!s}",
        )
        with pytest.raises(RobotroveError, match=rf", row {row}: timestamp is {times[row]}"):
            run_here(write(tmp_path, {"aggregator": {"datasets": [str(path.parents[2])]}}), tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize(("fps", "length"), [(15, 61_600), (50, 205_100)])
def test_frames_beyond_4096_seconds_are_at_their_times(tmp_path: Path, fps: int, length: int) -> None:
    greys = (np.arange(length) // 100 % 12 * 20).astype(np.uint8)
    with h5py.File(tmp_path / "long.h5", "w") as file:
        file["runs/a/q"] = np.arange(length, dtype=np.float32)[:, None]
        frames = np.broadcast_to(greys[:, None, None, None], (length, 16, 16, 3))
        file.create_dataset("runs/a/front", data=frames, chunks=(100, 16, 16, 3))
    columns = {"action": "q", "observation.state": "q", "observation.images.front": "front"}
    source = {"options": {"episodes": "/runs/*"}, "columns": columns, "fps": fps, "task": "wait"}
    files = [tmp_path / "long.h5"]
    run_here(write_pipeline(tmp_path, files, "generic", source=source, formats=["v3.0"]), tmp_path / "out")
    run_here(
        write(tmp_path, {"aggregator": {"datasets": [str(tmp_path / "out")]}}, "dataset_stats"), tmp_path / "again"
    )
    for made in (tmp_path / "out", tmp_path / "again"):
        assert _errors(made) == []
        assert np.array_equal(_times(made), (np.arange(length) / fps).astype(np.float32))
        [clip] = made.glob("videos/*/*/*.mp4")
        first = 4_098 * fps
        shown = [round(frame.mean()) for frame in iter_frames(clip, first, 100)]
        assert np.abs(np.subtract(shown, greys[first : first + 100])).max() <= 4


def test_a_run_of_datasets_has_no_recordings_to_compare_with(pipeline: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    with pytest.raises(UsageError, match="no recordings to compare with"):
        check_source(tmp_path / "out", finished_run(tmp_path / "out.run"))
