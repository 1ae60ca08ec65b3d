"""Every episode of a merged or converted dataset leads back to its dataset, and to the recording behind it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import Damaged
from robotrove.formats.lerobot import paths_v21, paths_v30
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.formats.lerobot.datasets.provenance import origins
from robotrove.pipelines.run.trace import trace
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.datasets.numbered import Made, aggregate, conversion, convert, quickly, record
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
)

SIZES = {"observation.images.wrist": (32, 48)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Datasets a/cubes and b/cubes of 2 and 1 episodes."""
    folder = tmp_path_factory.mktemp("made")
    with quickly():
        return {
            "a": make(folder / "a", [5, 4], ["pick", "place"], 0),
            "b": make(folder / "b", [6], ["push"], 100),
        }


def make(folder: Path, lengths: Sequence[int], tasks: Sequence[str], first: int) -> Made:
    """Record episodes and convert them, with the run directory where commands have it."""
    source = folder / "recorded/cubes.hdf5"
    episodes = record(source, lengths, tasks, first, SIZES)
    conversion(source).run(output=folder / "cubes", executor=Here())
    return Made(folder / "cubes", episodes)


def chain(dataset: Path, episode: int) -> list[tuple[str, int, str | None]]:
    found = trace(dataset, episode)
    steps = found.origin.input_datasets or ()
    return [(s["dataset"], s["episode"], p) for s, p in zip(steps, found.datasets, strict=True)]


def foreign(source: Path, target: Path) -> Path:
    """Copy a dataset as another tool would have written it."""
    shutil.copytree(source, target)
    shutil.rmtree(target / "meta/robotrove")
    return target


class TestTrace:
    def test_a_recording_has_no_dataset_before(self, made: dict[str, Made]) -> None:
        found = trace(made["a"].root, 1)
        assert (found.origin.input_datasets, found.datasets) == (None, [])

    def test_merge_names_dataset_episode_and_recording(self, made: dict[str, Made], tmp_path: Path) -> None:
        a, b = made["a"].root, made["b"].root
        aggregate([b, a], tmp_path / "out")
        assert [chain(tmp_path / "out", episode) for episode in range(3)] == [
            [("b/cubes", 0, str(b))],
            [("a/cubes", 0, str(a))],
            [("a/cubes", 1, str(a))],
        ]
        for episode, (name, key) in enumerate([("b", "run_0"), ("a", "run_0"), ("a", "run_1")]):
            found = trace(tmp_path / "out", episode)
            recording = made[name].root.parent / "recorded/cubes.hdf5"
            assert (found.path, found.is_there) == (str(recording), True)
            assert found.origin.source_key.endswith(key)

    def test_chain_of_merge_conversion_and_merge(self, made: dict[str, Made], tmp_path: Path) -> None:
        a, b = made["a"].root, made["b"].root
        aggregate([a, b], tmp_path / "both")
        convert(tmp_path / "both", "v2.1", tmp_path / "old")
        aggregate([b, tmp_path / "old"], tmp_path / "all", on_duplicate="keep")
        assert chain(tmp_path / "all", 3) == [
            ("old", 2, str(tmp_path / "old")),
            ("both", 2, str(tmp_path / "both")),
            ("b/cubes", 0, str(b)),
        ]
        assert trace(tmp_path / "all", 2).path == str(a.parent / "recorded/cubes.hdf5")
        assert trace(tmp_path / "all", 2).origin.source_key.endswith("run_1")

    def test_a_foreign_dataset_is_named_with_its_episode(self, made: dict[str, Made], tmp_path: Path) -> None:
        source = foreign(made["a"].root, tmp_path / "foreign")
        aggregate([source], tmp_path / "out")
        assert chain(tmp_path / "out", 1) == [("foreign", 1, str(source))]
        assert trace(tmp_path / "out", 1).path is None
        found = run_robotrove("trace", tmp_path / "out", 1)
        assert f"foreign, episode 1 ({source})" in found.stdout
        assert "None" not in found.stdout

    def test_json_has_names_and_folders(self, made: dict[str, Made], tmp_path: Path) -> None:
        convert(made["a"].root, "v2.1", tmp_path / "out")
        found = json.loads(run_robotrove("trace", tmp_path / "out", 1, "--json").stdout)
        assert found["input_datasets"] == [{"dataset": "cubes", "episode": 1, "path": str(made["a"].root)}]
        assert found["source_path"] == str(made["a"].root.parent / "recorded/cubes.hdf5")

    def test_a_moved_dataset_still_names_them(self, made: dict[str, Made], tmp_path: Path) -> None:
        aggregate([made["b"].root], tmp_path / "out")
        (tmp_path / "out").rename(tmp_path / "moved")
        assert chain(tmp_path / "moved", 0) == [("cubes", 0, None)]
        assert "cubes, episode 0 (folder unknown)" in run_robotrove("trace", tmp_path / "moved", 0).stdout

    def test_appended_episodes_come_from_recordings(self, made: dict[str, Made], tmp_path: Path) -> None:
        aggregate([made["b"].root], tmp_path / "base")
        more = conversion(made["a"].root.parent / "recorded/cubes.hdf5", append_to=tmp_path / "base")
        more.run(output=tmp_path / "longer", executor=Here())
        assert chain(tmp_path / "longer", 0) == [("cubes", 0, str(made["b"].root))]
        assert chain(tmp_path / "longer", 2) == []
        assert trace(tmp_path / "longer", 0).path == str(made["b"].root.parent / "recorded/cubes.hdf5")


class TestTables:
    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_one_of_an_earlier_version_works(self, made: dict[str, Made], tmp_path: Path, version: str) -> None:
        source = tmp_path / "before"
        if version == "v3.0":
            shutil.copytree(made["a"].root, source)
            path = source / paths_v30.PROVENANCE
            pq.write_table(pq.read_table(path).drop_columns(["input_datasets", "content_digest"]), path)
        else:
            convert(made["a"].root, "v2.1", source)
            path = source / paths_v21.PROVENANCE
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for line in lines:
                del line["input_datasets"]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert [origin.input_datasets for origin in origins(open_dataset(source))] == [None, None]
        aggregate([source], tmp_path / "out")
        assert chain(tmp_path / "out", 1) == [("before", 1, str(source))]

    @pytest.mark.parametrize("value", ["cubes", [["cubes", 1]], [{"dataset": "cubes"}], [{"dataset": 1, "episode": 1}]])
    def test_a_wrong_value_is_named(self, made: dict[str, Made], tmp_path: Path, value: object) -> None:
        convert(made["a"].root, "v2.1", tmp_path / "old")
        path = tmp_path / "old" / paths_v21.PROVENANCE
        first, second = (json.loads(line) for line in path.read_text().splitlines())
        path.write_text(json.dumps(first) + "\n" + json.dumps(second | {"input_datasets": value}) + "\n")
        with pytest.raises(Damaged, match=r"input_datasets has .* instead of a dataset and an episode") as caught:
            trace(tmp_path / "old", 1)
        assert f"{paths_v21.PROVENANCE}, line 2" in str(caught.value)

    def test_names_tell_datasets_apart_wherever_they_are(self, made: dict[str, Made], tmp_path: Path) -> None:
        def names(folders: Sequence[Path], output: Path) -> list[Any]:
            aggregate(folders, output)
            found: list[Any] = pq.read_table(output / paths_v30.PROVENANCE, columns=["input_datasets"]).to_pylist()
            return found

        here = names([made["a"].root, made["b"].root], tmp_path / "here")
        for name in "ab":
            shutil.copytree(made[name].root, tmp_path / "far" / name / "cubes")
        assert names([tmp_path / "far/a/cubes", tmp_path / "far/b/cubes"], tmp_path / "there") == here
