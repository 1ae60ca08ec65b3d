"""gr00t_files with a modality.json of one's own: checked, written whole, and never over another one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robotrove.blocks.dataset.gr00t_files import Gr00tFiles
from robotrove.core.errors import ConfigError, RunChanged, UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.pipelines.plan.append_base import workspace_of_append
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent
from robotrove.tests.support.command import Outcome, robotrove, run_robotrove
from robotrove.tests.support.pipelines.runs import Here, quick_disk, run_here, tree, write_pipeline
from robotrove.tests.support.pipelines.shipped_runs import run_shipped, shipped
from robotrove.verification.consumers import chosen
from robotrove.verification.dataset.runner import verify

from ...support.datasets.consumer_cases import CASES, RELEASES
from ...verification.consumers.conftest import MODALITIES, Copy, write_dataset

__all__ = ["quick_disk", "robotrove"]

MODALITY = "meta/modality.json"
# Of the sample of LeIsaac: five joints and a gripper, cut as no robot of ours does, and a section that only N1.7 knows.
PART = {"original_key": "observation.state", "start": 0, "end": 6}
OWN: dict[str, Any] = {
    "state": {"all": PART},
    "action": {"all": PART | {"original_key": "action", "absolute": False}},
    "video": {"wrist": {"original_key": "observation.images.wrist"}},
    "annotation": {"human.task": {"original_key": "task_index"}},
    "mask": {"object": {"original_key": "observation.masks.object"}},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sample("leisaac", tmp_path_factory.mktemp("files"), episodes=2, frames=12, height=48, width=64)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(OWN))
    return path


def blocks(**arguments: Any) -> tuple[str, str]:
    return "formats=[v2.1]", f"dataset={json.dumps(['downgrader', {'gr00t_files': arguments}])}"


def modality(dataset: Path) -> Any:
    return json.loads((dataset / MODALITY).read_text())


def test_the_file_is_written_whole(files: list[Path], own: Path, tmp_path: Path) -> None:
    run_shipped("leisaac_so101", files, tmp_path / "out", *blocks(modality=str(own)))
    assert modality(tmp_path / "out") == OWN
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert list(stats["action"]) == ["mean", "std", "min", "max", "q01", "q99"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, r"robot and modality: found nothing \(null\) for both"),
        ({"robot": "so101", "modality": "own.json"}, "robot and modality: found both"),
        ({"modality": "none.json"}, "none.json: cannot be read: No such file"),
    ],
)
def test_a_robot_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        Gr00tFiles(**arguments)
    with pytest.raises(ConfigError, match=rf"dataset\[1\] \(gr00t_files\): .*{words}"):
        run_shipped("leisaac_so101", [tmp_path], tmp_path / "out", *blocks(**arguments))
    assert list(tmp_path.iterdir()) == []


def test_it_is_refused_before_the_run_with_all_that_does_not_fit(
    files: list[Path], own: Path, tmp_path: Path, robotrove: Callable[..., Outcome]
) -> None:
    wrong = OWN | {"state": {"all": PART | {"end": 7}}, "video": {"top": {}}}
    own.write_text(json.dumps(wrong))
    pipeline = write_pipeline(
        tmp_path / "x", files, "leisaac", dataset=["downgrader", {"gr00t_files": {"modality": str(own)}}]
    )
    for command in ("plan", "run"):
        found = robotrove(command, pipeline, *(["--output", tmp_path / "out"] if command == "run" else []))
        assert found.code == 2
        assert f"{own}: 2 errors found" in found.err
        assert "state.all: start is 0 and end is 7, not a part of the 6 values of observation.state" in found.err
        assert "video.top: has no original_key, so GR00T N1 reads 'top', which is missing" in found.err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset that consumers' cases change."""
    return write_dataset(tmp_path_factory.mktemp("taken"))


SEEN_IN_THE_FILE = [name for name, case in CASES.items() if case.where.startswith(MODALITY) and "E" in case.expected]
# Other columns, values and files than a modality.json can tell of.
NOT_IN_THE_FILE = {
    *("no modality.json", "numbers that are no lists", "an instruction in a list", "an instruction that is no task"),
    "cameras of two sizes",
}


@pytest.mark.parametrize("name", [name for name in SEEN_IN_THE_FILE if name not in NOT_IN_THE_FILE])
def test_what_a_release_refuses_is_refused_in_the_words_of_verify(taken: Path, tmp_path: Path, name: str) -> None:
    copy = Copy(Path(shutil.copytree(taken, tmp_path / "dataset")))
    CASES[name].change(copy)
    shutil.copy(copy.root / MODALITY, tmp_path / "own.json")
    first = next(release for release, one in zip(RELEASES, CASES[name].expected, strict=True) if one == "E")
    report = verify(copy.root, consumers=chosen([first]))
    [error] = [one for one in report.findings if one.consumer == first and one.severity == "error"]
    place, words = error.where.removeprefix(f"{MODALITY}, "), error.message.split("; ")[0]
    with pytest.raises(ConfigError) as caught:
        Gr00tFiles(modality=str(tmp_path / "own.json")).content(open_dataset(copy.root).features)
    [problem] = caught.value.problems
    assert problem.message.startswith(f"{place}: {words}")


def test_an_annotation_of_texts_or_vectors(taken: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(MODALITIES | {"annotation": {"human.task": {"original_key": "action"}}}))
    with pytest.raises(ConfigError, match=r"annotation.human.task: is float32\[7\] instead of one whole number"):
        Gr00tFiles(modality=str(path)).content(open_dataset(taken).features)


def test_a_changed_file_is_a_changed_pipeline(files: list[Path], own: Path, tmp_path: Path) -> None:
    """Whether the run is finished or not; the same file elsewhere is another argument."""
    out = tmp_path / "out"
    run_shipped("leisaac_so101", files, out, *blocks(modality=str(own)))
    assert run_shipped("leisaac_so101", files, out, *blocks(modality=str(own))).was_finished
    own.write_text(json.dumps(OWN | {"mask": {}}))
    with pytest.raises(RunChanged):
        run_shipped("leisaac_so101", files, out, *blocks(modality=str(own)))


def test_a_relative_file_is_found_from_any_folder(
    files: list[Path], own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ["downgrader", {"gr00t_files": {"modality": "../own.json"}}]
    pipeline = write_pipeline(tmp_path / "x", files, "leisaac", dataset=dataset)
    run_here(pipeline, tmp_path / "out")
    frozen = (tmp_path / "out.run/pipeline.yaml").read_text()
    assert f"modality: {own}" in frozen
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run_here(pipeline, tmp_path / "out")
    assert modality(tmp_path / "out") == OWN


@pytest.mark.slow
def test_workers_and_a_restart_give_the_same_dataset(files: list[Path], own: Path, tmp_path: Path) -> None:
    """The run of real workers is stopped after its shards, by a file in the way of the second stage."""
    given = [f"source.files={json.dumps([str(file) for file in files])}", *blocks(modality=str(own))]
    video = "writer.video={codec: libx264, preset: ultrafast}"
    for name, workers in (("one", 1), ("two", 2)):
        found = run_robotrove("run", "leisaac_so101", *given, video, "--output", tmp_path / name, "--workers", workers)
        assert found.returncode == 0, found.stderr
    assert (tmp_path / "one" / MODALITY).read_bytes() == (tmp_path / "two" / MODALITY).read_bytes()
    shutil.rmtree(tmp_path / "two")
    found = run_robotrove("run", "leisaac_so101", *given, video, "--output", tmp_path / "two", "--workers", 2)
    assert found.returncode == 0, found.stderr
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert {name for name in one if one[name] != two[name]} <= {"meta/robotrove/run.json"}
    assert one.keys() == two.keys()


class TestAppend:
    """A dataset that grows keeps a modality.json that someone changed by hand."""

    @pytest.fixture
    def base(self, files: list[Path], tmp_path: Path) -> Path:
        run_shipped("leisaac_so101", files, tmp_path / "base", *blocks(robot="so101"))
        return tmp_path / "base"

    @pytest.fixture
    def new(self, tmp_path: Path) -> list[Path]:
        return write_sample("leisaac", tmp_path / "new", episodes=2, frames=15, height=48, width=64, seed=5)

    def test_an_equal_one_is_no_error(self, base: Path, new: list[Path], tmp_path: Path) -> None:
        (base / MODALITY).write_text(json.dumps(modality(base)))  # on one line
        append = f"append_to={base}"
        run_shipped("leisaac_so101", new, tmp_path / "longer", *blocks(robot="so101"), append)
        assert modality(tmp_path / "longer") == modality(base)

    @pytest.mark.parametrize(
        ("output", "is_kept"), [("longer", True), ("longer", False), ("base", True), ("base", False)]
    )
    def test_another_one_is_refused_and_kept_or_replaced_on_request(
        self, base: Path, new: list[Path], tmp_path: Path, output: str, is_kept: bool
    ) -> None:
        def append(**arguments: Any) -> None:
            pipeline = shipped("leisaac_so101", new, *blocks(**arguments), f"append_to={base}")
            workspace = workspace_of_append(pipeline.spec, tmp_path / output, None)
            execute(pipeline, workspace, Here(), watcher=Silent())

        robots = modality(base)
        (base / MODALITY).write_text(json.dumps(OWN))
        before = tree(base)
        with pytest.raises(UsageError) as caught:
            append(robot="so101")
        words = str(caught.value)
        assert f"{base / MODALITY}: differs from what robot so101 gives" in words
        assert "state.single_arm is missing" in words
        assert "state.all is unexpected" in words
        assert f"`modality: {base / MODALITY}`, `replace: true`" in words
        assert tree(base) == before
        append(**({"modality": str(base / MODALITY)} if is_kept else {"robot": "so101", "replace": True}))
        assert modality(tmp_path / output) == (OWN if is_kept else robots)


def test_convert_takes_a_file_and_keeps_that_of_the_source(
    files: list[Path], own: Path, tmp_path: Path, robotrove: Callable[..., Outcome]
) -> None:
    source, convert = tmp_path / "source", ("convert", tmp_path / "source", "--to", "v2.1", "--workers", 1)
    run_shipped("leisaac_so101", files, source, *blocks(robot="so101"))
    robots = modality(source)
    refused = robotrove(*convert, "--modality", own, "-o", tmp_path / "a")
    assert refused.code == 2
    assert f"{source / MODALITY}: differs from what {own} gives" in refused.err
    assert not (tmp_path / "a").exists()
    assert robotrove(*convert, "--modality", own, "--replace", "-o", tmp_path / "a").code == 0
    assert (modality(tmp_path / "a"), modality(source)) == (OWN, robots)
    assert robotrove(*convert, "--gr00t", "so101", "-o", tmp_path / "b").code == 0
    assert modality(tmp_path / "b") == robots
    both = robotrove(*convert, "--gr00t", "so101", "--modality", own, "-o", tmp_path / "c")
    assert (both.code, "robot and modality: found both" in both.err) == (2, True)
    for options in (["--modality", own], ["--replace"]):
        found = robotrove("convert", source, "--to", "v3.0", *options, "-o", tmp_path / "c")
        assert (found.code, "need --to v2.1" in found.err) == (2, True)
