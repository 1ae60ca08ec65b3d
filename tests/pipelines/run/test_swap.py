"""`convert --in-place`: the result takes the dataset's name, at whichever change of the file system it is killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import pytest

from robotrove.core.workspace import Workspace
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.run.swap import swap
from robotrove.tests.support.command import Outcome, robotrove, run_robotrove  # noqa: F401 - a fixture
from robotrove.tests.support.pipelines.faults import killed_in
from robotrove.tests.support.pipelines.runs import assert_same_dataset, tree

Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, pipeline.yaml, the dataset cubes with its run, and what `convert -o` makes of it."""
    folder = tmp_path_factory.mktemp("swap")
    write_sample("aloha", folder / "rec", episodes=2, frames=6, height=48, width=48, cameras=("top",))
    pipeline = "source: {files: [rec], layout: aloha, task: t}\nwriter: {video: {codec: libx264}}\noutput: cubes\n"
    (folder / "pipeline.yaml").write_text(pipeline)
    for words in (
        ["run", folder / "pipeline.yaml"],
        ["convert", folder / "cubes", "--to", "v2.1", "-o", folder / "expected"],
        ["convert", folder / "expected", "--to", "v3.0", "-o", folder / "back"],
    ):
        done = run_robotrove(*words, "--workers", 1)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(made: Path) -> Path:
    """The folder as it was before each test: runs know their places."""
    kept = made.with_name(f"{made.name}.kept")
    if not kept.exists():
        shutil.copytree(made, kept, symlinks=True)
    shutil.rmtree(made)
    shutil.copytree(kept, made, symlinks=True)
    return made


def in_place(folder: Path, *more: object, version: str = "v2.1") -> list[object]:
    return ["convert", folder / "cubes", "--to", version, "--in-place", "--workers", 1, *more]


def version(dataset: Path) -> str:
    return str(json.loads((dataset / "meta/info.json").read_text())["codebase_version"])


def test_the_result_has_the_name_and_the_dataset_is_kept(folder: Path, robotrove: Command) -> None:  # noqa: F811
    before = tree(folder / "cubes")
    found = robotrove(*in_place(folder))
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert lines[0].startswith(f"{folder}/cubes: 2 episodes, 12 frames (done in ")
    assert f"  note: {folder}/cubes_v30 is the dataset before the conversion" in lines
    assert lines[-1] == f"  check: robotrove verify {folder}/cubes"
    assert_same_dataset(folder / "cubes", folder / "expected")
    assert tree(folder / "cubes_v30") == before
    assert {path.name for path in folder.glob("cubes*")} == {"cubes", "cubes.run", "cubes.to-v2.1.run", "cubes_v30"}
    changed = tree(folder / "cubes")
    again = robotrove(*in_place(folder), "--json")
    assert (again.code, again.json["was_finished"], again.json["output"]) == (0, True, f"{folder}/cubes")
    assert (again.json["inputs"], tree(folder / "cubes")) == ([f"{folder}/cubes_v30"], changed)
    state = robotrove("status", folder / "cubes.to-v2.1.run", "--json")
    assert (state.code, state.json["state"]) == (0, "finished")


def test_trace_and_verify_find_the_recordings_of_both(folder: Path, robotrove: Command) -> None:  # noqa: F811
    robotrove(*in_place(folder))
    path = folder / "rec/episode_1.hdf5"
    for name, inputs in (("cubes", [f"{folder}/cubes_v30"]), ("cubes_v30", [])):
        found = robotrove("trace", folder / name, 1, "--json").json
        assert (found["source_path"], found["source_is_there"]) == (str(path), True)
        assert [step["path"] for step in found["input_datasets"]] == inputs
        verify = robotrove("verify", folder / name, "--source", folder / "cubes.run", "--json")
        assert (verify.code, verify.json["source"]["episodes"]) == (0, 2), verify.err
    with h5py.File(path) as file:
        assert file["action"].shape == (6, 14)


def test_the_run_of_the_dataset_does_not_take_the_other_for_its_output(
    folder: Path,
    robotrove: Command,  # noqa: F811
) -> None:
    robotrove(*in_place(folder))
    before = tree(folder / "cubes")
    found = robotrove("run", folder / "pipeline.yaml", "--workers", 1)
    assert found.code == 2
    assert f"{folder}/cubes: already exists and is not the output of this run" in found.err
    assert tree(folder / "cubes") == before


def test_back_again(folder: Path, robotrove: Command) -> None:  # noqa: F811
    robotrove(*in_place(folder))
    found = robotrove(*in_place(folder, version="v3.0"))
    assert found.code == 0, found.err
    assert (version(folder / "cubes"), version(folder / "cubes_v21")) == ("v3.0", "v2.1")
    for part in ("data", "videos"):  # the provenance names the datasets of the way
        assert tree(folder / "cubes" / part) == tree(folder / "back" / part)
    found = robotrove("trace", folder / "cubes", 0, "--json").json
    assert found["source_path"] == str(folder / "rec/episode_0.hdf5")
    assert [step["path"] for step in found["input_datasets"]] == [f"{folder}/cubes_v21", f"{folder}/cubes_v30"]
    found = robotrove(*in_place(folder))
    assert (found.code, version(folder / "cubes")) == (2, "v3.0")
    assert f"{folder}/cubes_v30: already exists" in found.err


def test_a_symlink_is_renamed_and_what_it_leads_to_stays(folder: Path, robotrove: Command) -> None:  # noqa: F811
    (folder / "elsewhere").mkdir()
    (folder / "cubes").rename(folder / "elsewhere/there")
    (folder / "cubes").symlink_to("elsewhere/there")
    found = robotrove(*in_place(folder))
    assert found.code == 0, found.err
    assert (os.readlink(folder / "cubes_v30"), version(folder / "elsewhere/there")) == ("elsewhere/there", "v3.0")
    assert not (folder / "cubes").is_symlink()
    assert_same_dataset(folder / "cubes", folder / "expected")


def test_killed_before_each_change_of_the_swap(folder: Path, robotrove: Command) -> None:  # noqa: F811
    workspace = Workspace.for_output(folder / "cubes.to-v2.1")
    assert robotrove("convert", folder / "cubes", "--to", "v2.1", "-o", workspace.output, "--workers", 1).code == 0
    ready = folder.with_name(f"{folder.name}.ready")
    shutil.copytree(folder, ready)
    original = tree(folder / "cubes")
    act = partial(swap, folder / "cubes", folder / "cubes_v30", workspace)
    states = set()
    moment = 0
    while True:
        moment += 1
        code = killed_in(None, moment, act)
        states.add(tuple((folder / name).exists() for name in ("cubes", "cubes_v30", "cubes.to-v2.1")))
        found = robotrove(*in_place(folder), "--json")
        assert (found.code, found.json["output"]) == (0, f"{folder}/cubes"), found.err
        assert_same_dataset(folder / "cubes", folder / "expected")
        assert tree(folder / "cubes_v30") == original
        run = json.loads((folder / "cubes.to-v2.1.run/run.json").read_text())
        assert (run["output"], run["inputs"][0]["path"]) == (f"{folder}/cubes", f"{folder}/cubes_v30")
        assert robotrove("trace", folder / "cubes", 0).code == 0
        if code == 0:
            break
        assert code == -signal.SIGKILL
        shutil.rmtree(folder)
        shutil.copytree(ready, folder)
    shutil.rmtree(ready)
    assert states == {(True, False, True), (False, True, True), (True, True, False)}


def test_a_result_that_does_not_verify_changes_no_name(folder: Path, robotrove: Command) -> None:  # noqa: F811
    output = folder / "cubes.to-v2.1"
    assert robotrove("convert", folder / "cubes", "--to", "v2.1", "-o", output, "--workers", 1).code == 0
    [rows] = (output / "data").rglob("episode_000001.parquet")
    rows.write_bytes(rows.read_bytes()[:-50])
    before = tree(folder / "cubes")
    found = robotrove(*in_place(folder))
    assert found.code == 1
    assert "data/chunk-000/episode_000001.parquet" in found.err
    assert (tree(folder / "cubes"), (folder / "cubes_v30").exists()) == (before, False)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--to", "v3.0", "--in-place"], "already has version v3.0"),
        (["--to", "v2.1", "--in-place", "-o", "x"], "has both --in-place and --output"),
        (["--to", "v2.1"], "has neither --output nor --in-place"),
    ],
)
def test_refused(folder: Path, robotrove: Command, words: list[str], text: str) -> None:  # noqa: F811
    found = robotrove("convert", folder / "cubes", *words)
    assert (found.code, text in found.err) == (2, True), found.err
    found = robotrove("convert", "hf://datasets/lab/cubes", "--to", "v2.1", "--in-place")
    assert (found.code, "is on the Hub, and --in-place changes a folder" in found.err) == (2, True)


def test_a_name_that_is_taken_is_refused_before_anything_is_made(folder: Path, robotrove: Command) -> None:  # noqa: F811
    (folder / "cubes_v30").mkdir()
    digest = hashlib.sha256(repr(sorted(tree(folder).items())).encode()).hexdigest()
    found = robotrove(*in_place(folder))
    assert found.code == 2
    assert f"{folder}/cubes_v30: already exists" in found.err
    assert hashlib.sha256(repr(sorted(tree(folder).items())).encode()).hexdigest() == digest
