"""What a dataset says besides LeRobot's own keys is in every dataset made of it, or a note names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.version import MARK
from robotrove.formats.lerobot import paths_v21, paths_v30
from robotrove.formats.lerobot.dataset_files import arrow_values
from robotrove.manifests.run_report import RunReport
from robotrove.tests.support.datasets.numbered import aggregate, conversion, convert, make_both, quickly
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
)
from robotrove.verification.dataset.runner import verify

SIZES = {"observation.images.wrist": (32, 48)}
WRIST = "observation.images.wrist"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets one (of 3 episodes), two (of 2), and the same in v2.1 as one_v21 and two_v21."""
    folder = tmp_path_factory.mktemp("made")
    with quickly():
        make_both(folder, "one", [5, 4, 6], ["pick", "place"], 0, SIZES)
        make_both(folder, "two", [3, 7], ["push", "pick"], 100, SIZES)
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def change_lines(path: Path, change: Callable[[int, dict[str, Any]], Mapping[str, Any]]) -> None:
    changed = [line | change(number, line) for number, line in enumerate(lines(path))]
    path.write_text("".join(json.dumps(line) + "\n" for line in changed))


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def add_columns(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    pq.write_table(table, path)


def with_episodes(source: Path, target: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Copy a dataset and say more of its episodes; None for an episode that has no such key."""
    shutil.copytree(source, target)
    if (target / paths_v21.EPISODES).exists():
        given = [
            {name: values[at] for name, values in columns.items() if values[at] is not None}
            for at in range(len(next(iter(columns.values()))))
        ]
        change_lines(target / paths_v21.EPISODES, lambda number, line: given[number])
    else:
        add_columns(target / paths_v30.EPISODES, columns)
    return target


def episodes(dataset: Path, *names: str) -> list[list[Any]]:
    """The values of each episode for these keys, None where it has none."""
    if (dataset / paths_v21.EPISODES).exists():
        found = lines(dataset / paths_v21.EPISODES)
    else:
        found = pq.read_table(dataset / paths_v30.EPISODES).to_pylist()
    return [[episode.get(name) for name in names] for episode in found]


def tasks(dataset: Path, *names: str) -> dict[str, list[Any]]:
    v21 = dataset / paths_v21.TASKS
    found = lines(v21) if v21.exists() else pq.read_table(dataset / paths_v30.TASKS).to_pylist()
    return {task["task"]: [task.get(name) for name in names] for task in found}


def assert_sound(dataset: Path) -> None:
    assert [str(finding) for finding in verify(dataset).findings if finding.severity == "error"] == []


VALUES = {
    "scene": ["kitchen", "lab", "küche"],
    "score": [0.5, 1.0, -2.25],
    "operator_id": [7, 8, 9],
    "ok": [True, False, True],
    "tags": [["a", "b"], [], ["c"]],
    "pose": [{"x": 1, "y": [1.5]}, {"x": 2, "y": []}, {"x": 3, "y": [2.0, 3.0]}],
}


class TestEpisodes:
    @pytest.mark.parametrize("source", ["one", "one_v21"])
    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_keys_come_with_the_episode(self, made: Path, tmp_path: Path, source: str, version: str) -> None:
        with_episodes(made / source, tmp_path / "in", VALUES)
        report = convert(tmp_path / "in", version, tmp_path / "out")
        assert episodes(tmp_path / "out", *VALUES) == [list(row) for row in zip(*VALUES.values(), strict=True)]
        assert report.notes == []
        assert_sound(tmp_path / "out")

    @pytest.mark.parametrize(("first", "second"), [("one", "two_v21"), ("one_v21", "two"), ("one", "two")])
    def test_merge_of_datasets_with_other_keys(self, made: Path, tmp_path: Path, first: str, second: str) -> None:
        with_episodes(made / first, tmp_path / "a", {"scene": ["x", "y", "z"], "score": [1, 2, 3]})
        with_episodes(made / second, tmp_path / "b", {"score": [0.5, 1.5], "weather": ["sun", None]})
        report = aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
        assert report.notes == []
        assert episodes(tmp_path / "out", "scene", "score", "weather") == [
            ["x", 1.0, None],
            ["y", 2.0, None],
            ["z", 3.0, None],
            [None, 0.5, "sun"],
            [None, 1.5, None],
        ]
        assert_sound(tmp_path / "out")

    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_values_of_types_that_disagree_are_named(self, made: Path, tmp_path: Path, order: str) -> None:
        with_episodes(made / "one", tmp_path / "a", {"score": [1, 2, 3], "scene": ["x", "y", "z"]})
        with_episodes(made / "two_v21", tmp_path / "b", {"score": ["good", "bad"]})
        report = aggregate([tmp_path / name for name in order], tmp_path / "out")
        (note,) = report.notes
        assert note.startswith("not in the output: score of the episodes, because it is")
        assert str(tmp_path / order[1]) in note
        assert "score" not in pq.read_schema(tmp_path / "out" / paths_v30.EPISODES).names
        assert sorted(scene for (scene,) in episodes(tmp_path / "out", "scene") if scene) == ["x", "y", "z"]

    def test_values_of_several_types_in_one_key_are_texts_of_json(self, made: Path, tmp_path: Path) -> None:
        with_episodes(made / "one_v21", tmp_path / "in", {"mixed": [1, "two", [3]], "empty": [{}, {}, None]})
        convert(tmp_path / "in", "v3.0", tmp_path / "out")
        assert episodes(tmp_path / "out", "mixed", "empty") == [["1", "{}"], ['"two"', "{}"], ["[3]", None]]

    def test_what_json_cannot_hold_is_named(self, made: Path, tmp_path: Path) -> None:
        times = pa.array([1, 2, 3], pa.timestamp("us"))
        with_episodes(made / "one", tmp_path / "in", {"begun": times, "raw": [b"1", b"2", b"3"], "scene": ["x"] * 3})
        assert convert(tmp_path / "in", "v2.1", tmp_path / "old").notes == [
            f"not in the output: {name} of the episodes, because it is {kind} in {tmp_path / 'in'}, which JSON cannot "
            "hold"
            for name, kind in (("begun", "timestamp[us]"), ("raw", "binary"))
        ]
        assert episodes(tmp_path / "old", "scene", "begun") == [["x", None]] * 3
        aggregate([tmp_path / "in"], tmp_path / "new")
        assert pq.read_table(tmp_path / "new" / paths_v30.EPISODES)["begun"].combine_chunks() == times

    def test_not_a_number_is_null_in_json(self, made: Path, tmp_path: Path) -> None:
        with_episodes(made / "one", tmp_path / "in", {"score": [float("nan"), 1.0, float("inf")]})
        convert(tmp_path / "in", "v2.1", tmp_path / "out")
        text = (tmp_path / "out" / paths_v21.EPISODES).read_text()
        assert not {"NaN", "Infinity"} & set(text.replace(",", " ").replace("}", " ").split())
        assert episodes(tmp_path / "out", "score")[1] == [1.0]

    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_places_in_its_own_files_are_named_not_copied(self, made: Path, tmp_path: Path, version: str) -> None:
        strange = {"stats/action/median": [[1.0], [2.0], [3.0]], "videos/gone/file_index": [7, 7, 7]}
        with_episodes(made / "one", tmp_path / "in", strange)
        report = convert(tmp_path / "in", version, tmp_path / "out")
        assert [note.split(",")[0] for note in report.notes] == [
            f"not in the output: {name} of the episodes" for name in strange
        ]
        assert episodes(tmp_path / "out", *strange) == [[None, None]] * 3

    def test_append_keeps_those_of_the_base(self, made: Path, tmp_path: Path) -> None:
        with_episodes(made / "one", tmp_path / "base", {"scene": ["x", "y", "z"]})
        add_columns(tmp_path / "base" / paths_v30.TASKS, {"skill": ["p", "q"]})
        (tmp_path / "base/LICENSE").write_text("MIT")
        change_json(tmp_path / "base/meta/info.json", lambda info: info["features"]["action"].update(unit="rad"))
        more = conversion(made / "recorded/two.hdf5", append_to=tmp_path / "base")
        more.run(output=tmp_path / "out", executor=Here())
        assert episodes(tmp_path / "out", "scene") == [["x"], ["y"], ["z"], [None], [None]]
        assert tasks(tmp_path / "out", "skill") == {"pick": ["p"], "place": ["q"], "push": [None]}
        assert (tmp_path / "out/LICENSE").read_text() == "MIT"
        assert json.loads((tmp_path / "out/meta/info.json").read_text())["features"]["action"]["unit"] == "rad"
        assert_sound(tmp_path / "out")

    def test_more_episodes_than_are_held(self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Metadata and provenance come in other portions than the extra keys."""
        names = [f"scene {number}" for number in range(3)]
        with_episodes(made / "one_v21", tmp_path / "in", {"scene": names})
        monkeypatch.setattr("robotrove.formats.lerobot.datasets.dataset_v21.EPISODE_BATCH_ROWS", 2)
        aggregate([tmp_path / "in"], tmp_path / "out")
        assert episodes(tmp_path / "out", "scene") == [[name] for name in names]


class TestTasks:
    @pytest.mark.parametrize("source", ["one", "one_v21"])
    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_keys_come_with_the_task(self, made: Path, tmp_path: Path, source: str, version: str) -> None:
        shutil.copytree(made / source, tmp_path / "in")
        more = {"skill": ["grasp", "put"], "level": [1, 2]}
        if source == "one":
            add_columns(tmp_path / "in" / paths_v30.TASKS, more)
        else:
            change_lines(tmp_path / "in" / paths_v21.TASKS, lambda n, line: {k: v[n] for k, v in more.items()})
        report = convert(tmp_path / "in", version, tmp_path / "out")
        # LeRobot writes the number of a new task into every column, which a column of texts cannot hold.
        assert report.notes == [
            "meta/tasks.parquet has skill: LeRobot 0.4 and 0.6 can record more episodes of its tasks, but no new tasks"
        ] * (version == "v3.0")
        assert tasks(tmp_path / "out", *more) == {"pick": ["grasp", 1], "place": ["put", 2]}
        assert_sound(tmp_path / "out")

    def test_datasets_that_disagree_are_named(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made / "one_v21", tmp_path / "a")
        change_lines(tmp_path / "a" / paths_v21.TASKS, lambda n, line: {"skill": f"a{n}"})
        shutil.copytree(made / "two", tmp_path / "b")
        add_columns(tmp_path / "b" / paths_v30.TASKS, {"skill": ["b0", "b1"]})
        report = aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
        assert tasks(tmp_path / "out", "skill") == {"pick": ["a0"], "place": ["a1"], "push": ["b0"]}
        assert report.notes == [
            f"not in the output: skill of the task 'pick' in {tmp_path / 'b'}, because a dataset before has another "
            "value",
            "meta/tasks.parquet has skill: LeRobot 0.4 and 0.6 can record more episodes of its tasks, but no new tasks",
        ]


class TestInfo:
    @pytest.mark.parametrize("source", ["one", "one_v21"])
    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_keys_of_features(self, made: Path, tmp_path: Path, source: str, version: str) -> None:
        shutil.copytree(made / source, tmp_path / "in")

        def more(info: dict[str, Any]) -> None:
            info["features"]["action"] |= {
                "unit": "rad",
                "limits": {"low": [-1], "high": [1]},
                "info": {"frame": "base"},
            }
            info["features"][WRIST] |= {"mount": "left"}
            info["features"]["timestamp"] |= {"fps": 10}

        change_json(tmp_path / "in/meta/info.json", more)
        assert convert(tmp_path / "in", version, tmp_path / "out").notes == []
        found = json.loads((tmp_path / "out/meta/info.json").read_text())["features"]
        assert found["action"]["unit"] == "rad"
        assert (found["action"]["limits"], found["action"]["info"]) == ({"low": [-1], "high": [1]}, {"frame": "base"})
        assert (found[WRIST]["mount"], found["timestamp"]["fps"]) == ("left", 10)
        assert_sound(tmp_path / "out")

    def test_keys_of_a_folder_that_is_there_twice(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made / "one", tmp_path / "in")
        change_json(tmp_path / "in/meta/info.json", lambda info: info["features"]["action"].update(unit="rad"))
        (tmp_path / "in/LICENSE").write_text("MIT")
        report = aggregate([tmp_path / "in"] * 2, tmp_path / "out", on_duplicate="keep")
        assert report.notes == []
        assert json.loads((tmp_path / "out/meta/info.json").read_text())["features"]["action"]["unit"] == "rad"
        assert (tmp_path / "out/LICENSE").read_text() == "MIT"

    def test_keys_that_disagree_are_named(self, made: Path, tmp_path: Path) -> None:
        for name, unit in (("one", "rad"), ("two_v21", "deg")):
            shutil.copytree(made / name, tmp_path / name)
            change_json(
                tmp_path / name / "meta/info.json",
                lambda info, unit=unit: info["features"]["action"].update(unit=unit, kind="joint"),
            )
        change_json(tmp_path / "one/meta/info.json", lambda info: info["features"][WRIST].update(mount="left"))
        report = aggregate([tmp_path / "one", tmp_path / "two_v21"], tmp_path / "out")
        found = json.loads((tmp_path / "out/meta/info.json").read_text())["features"]
        assert ("unit" in found["action"], found["action"]["kind"], "mount" in found[WRIST]) == (False, "joint", False)
        assert report.notes == [
            f"not in the output: {key} of feature {feature} in meta/info.json of "
            f"{', '.join(str(tmp_path / name) for name in having)}, because the datasets differ"
            for feature, key, having in (("action", "unit", ["one", "two_v21"]), (WRIST, "mount", ["one"]))
        ]


class TestFiles:
    def test_those_of_the_folder_are_copied(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made / "one", tmp_path / "in")
        for name in ("README.md", "LICENSE", "meta/calibration.json", "meta/lab/notes.txt", "annotations/0.json"):
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).write_text(f"content of {name}")
        for version in ("v2.1", "v3.0"):
            report = convert(tmp_path / "in", version, tmp_path / version)
            assert report.notes == []
            for name in ("README.md", "LICENSE", "meta/calibration.json", "meta/lab/notes.txt", "annotations/0.json"):
                assert (tmp_path / version / name).read_text() == f"content of {name}"
            assert_sound(tmp_path / version)

    def test_those_that_disagree_are_named(self, made: Path, tmp_path: Path) -> None:
        for name, other in (("one", "a"), ("two_v21", "b")):
            shutil.copytree(made / name, tmp_path / name)
            (tmp_path / name / "README.md").write_text(other)
            (tmp_path / name / "LICENSE").write_text("MIT")
        (tmp_path / "one/CITATION.cff").write_text("cite")
        report = aggregate([tmp_path / "one", tmp_path / "two_v21"], tmp_path / "out")
        assert (tmp_path / "out/LICENSE").read_text() == "MIT"
        assert not (tmp_path / "out/README.md").exists()
        assert len(report.notes) == 2
        assert "CITATION.cff" in report.notes[0]
        assert "README.md" in report.notes[1]
        assert str(tmp_path / "two_v21") in report.notes[1]

    def test_a_file_where_others_have_a_folder(self, made: Path, tmp_path: Path) -> None:
        for name, path in (("one", "annotations/0"), ("two_v21", "annotations/0/grasp.json")):
            shutil.copytree(made / name, tmp_path / name)
            (tmp_path / name / path).parent.mkdir(parents=True)
            (tmp_path / name / path).write_text(name)
        report = aggregate([tmp_path / "one", tmp_path / "two_v21"], tmp_path / "out")
        assert (tmp_path / "out/annotations/0/grasp.json").read_text() == "two_v21"
        assert report.notes == [f"annotations/0 differs between the datasets: not copied from {tmp_path / 'one'}"]


def everything(dataset: Path, *, with_rows: bool = True) -> list[str]:
    """Put an unknown key or file at every place of a dataset; return what to look for."""
    is_v21 = (dataset / paths_v21.EPISODES).exists()
    places = ("", "meta/", "meta/deep/", "annotations/", "data/", "data/chunk-000/", "videos/", "images/", "raw/1/")
    files = [f"{place}unknown_{number}.txt" for number, place in enumerate(places)]
    stale = ("meta/episodes.jsonl", "meta/tasks.jsonl") if not is_v21 else ("meta/tasks.parquet",)  # other versions'
    stale += ("meta/relative_stats.json",)
    for name in (*files, *stale, f"videos/chunk-009/{WRIST}/unknown_clip.mp4"):
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset / name).write_text("{}")
    (dataset / "unknown_link.txt").symlink_to("/etc/hostname")
    (dataset / "meta/unknown_folder").symlink_to("/etc")
    change_json(
        dataset / "meta/info.json",
        lambda info: (
            info.update(unknown_info="x", splits={"train": "0:2", "unknown_split": "2:3"}),
            info["features"]["action"].update(unknown_of_feature="x"),
        ),
    )
    if is_v21:
        change_lines(dataset / paths_v21.EPISODES, lambda n, line: {"unknown_of_episode": n} if n else {})
        change_lines(dataset / paths_v21.TASKS, lambda n, line: {"unknown_of_task": n})
        change_lines(
            dataset / paths_v21.EPISODES_STATS,
            lambda n, line: {
                "unknown_of_stats": 1,
                "stats": {
                    **line["stats"],
                    "action": {**line["stats"]["action"], "unknown_stat": [1.0] * 3},
                    "unknown_feature": {"min": [0]},
                },
            },
        )
    else:
        count = pq.read_metadata(dataset / paths_v30.EPISODES).num_rows
        add_columns(
            dataset / paths_v30.EPISODES,
            {"unknown_of_episode": list(range(count)), "stats/action/unknown_stat": [[1.0]] * count},
        )
        add_columns(dataset / paths_v30.TASKS, {"unknown_of_task": [5, 6]})
    rows = sorted((dataset / "data").glob("*/*.parquet"))[-1]
    table = pq.read_table(rows)
    if with_rows:
        pq.write_table(table.append_column("unknown_of_rows", pa.nulls(len(table), pa.int64())), rows)
    names = [path.name for path in dataset.rglob("*unknown_*")]
    keys = ["info", "split", "of_feature", "of_episode", "of_task", "stat", *(["of_rows"] if with_rows else [])]
    return [
        *names,
        *stale,
        *(f"unknown_{key}" for key in keys),
        *(["unknown_of_stats", "unknown_feature"] if is_v21 else []),
    ]


def said(output: Path, report: RunReport) -> str:
    """All names of files and all texts of a dataset's metadata, and the notes."""
    found = [str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()]
    for path in (output / "meta").rglob("*"):
        if path.suffix in (".json", ".jsonl"):
            found.append(path.read_text())
        elif path.suffix == ".parquet":
            found += pq.read_schema(path).names
    return "\n".join([*found, *report.notes])


@pytest.mark.parametrize("source", ["one", "one_v21"])
@pytest.mark.parametrize("maker", ["v3.0", "v2.1", "merge", "merged last"])
def test_nothing_vanishes(made: Path, tmp_path: Path, source: str, maker: str) -> None:
    shutil.copytree(made / source, tmp_path / "in")
    wanted = everything(tmp_path / "in")
    inputs = {"merge": [tmp_path / "in", made / "two"], "merged last": [made / "two", tmp_path / "in"]}
    if maker in inputs:
        report = aggregate(inputs[maker], tmp_path / "out", on_mismatch="reencode")
    else:
        report = convert(tmp_path / "in", maker, tmp_path / "out")
    told = said(tmp_path / "out", report)
    assert [name for name in wanted if name not in told] == []
    if maker in inputs:  # each note names its dataset
        assert [note for note in report.notes if str(tmp_path / "in") not in note] == []
    assert_sound(tmp_path / "out")


@pytest.mark.parametrize("source", ["one", "one_v21"])
def test_nothing_vanishes_in_an_append(made: Path, tmp_path: Path, source: str) -> None:
    """More columns of rows are refused: new rows have none."""
    shutil.copytree(made / source, tmp_path / "base")
    wanted = everything(tmp_path / "base", with_rows=False)
    formats = ["v2.1" if source == "one_v21" else "v3.0"]
    more = conversion(made / "recorded/two.hdf5", append_to=tmp_path / "base", formats=formats)
    report = more.run(output=tmp_path / "out", executor=Here())
    told = said(tmp_path / "out", report)
    assert not list((tmp_path / "out").rglob("unknown_link*"))
    assert [name for name in wanted if name not in told] == []
    assert_sound(tmp_path / "out")


def test_a_card_that_push_wrote_is_left_to_the_next_push(made: Path, tmp_path: Path) -> None:
    for name, card in (("own", "5 episodes"), ("pushed", f"5 episodes\n{MARK}\n")):
        shutil.copytree(made / "one", tmp_path / name)
        (tmp_path / name / "README.md").write_text(card)
        report = convert(tmp_path / name, "v2.1", tmp_path / f"{name}.out")
        assert (tmp_path / f"{name}.out/README.md").exists() == (name == "own")
        assert not any("README" in note for note in report.notes)


def test_arrow_values() -> None:
    assert arrow_values([1, None, 2.5]).to_pylist() == [1.0, None, 2.5]
    assert arrow_values([[{}], None]).to_pylist() == ["[{}]", None]
    assert arrow_values([1 << 70, "\ud800"]).to_pylist() == [str(1 << 70), '"\\ud800"']
    for levels in (1, 32, 33, 60, 400):
        deep = json.loads("[" * levels + "7" + "]" * levels)
        [stored] = arrow_values([deep]).to_pylist()
        assert (stored if levels < 33 else json.loads(stored)) == deep
    alike, other = [{"a": 1, "b": [{"c": None}]}, None, {"a": 2.5, "b": []}], [{"a": 1}, {"b": 2}]
    assert arrow_values(alike).to_pylist() == alike
    assert [json.loads(text) for text in arrow_values(other).to_pylist()] == other
    assert [json.loads(text) for text in arrow_values([[{"a": [x]} for x in other]]).to_pylist()] == [
        [{"a": [x]} for x in other]
    ]
