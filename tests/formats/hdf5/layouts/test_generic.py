"""Generic layout: files with episodes end to end, and places that recordings do not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import ConfigError, EpisodeRejected, UsageError
from robotrove.formats.hdf5 import LAYOUTS
from robotrove.formats.hdf5.hdf5_file import source_digests
from robotrove.formats.hdf5.layout import Layout
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.replay.action_export import export_actions
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.array_types import write_array
from robotrove.tests.support.pipelines.replay_reader import ReplayReader
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
    write_pipeline,
)
from robotrove.tests.support.places import SHARED_DATA, needs
from robotrove.verification.source.source_check import check_source

N = 40
ROWS = np.arange(N * 3, dtype=np.float32).reshape(N, 3)
ENDS = [4, 5, 16, 29]  # the last row of each episode; 30 to 39 have no end
FRAMES = np.broadcast_to(np.arange(N, dtype=np.uint8)[:, None, None, None] * 5, (N, 16, 16, 3))
COLUMNS = {"action": "actions", "observation.state": "obs/q", "observation.images.front": "obs/rgb"}


def flags(*rows: int, dtype: Any = bool) -> np.ndarray:
    values = np.zeros(N, dtype)
    values[list(rows)] = 1
    return values


def write(group: h5py.Group, offset: int = 0, **more: Any) -> h5py.Group:
    group["actions"], group["obs/q"], group["obs/rgb"] = ROWS + offset, ROWS * 2 + offset, FRAMES
    for name, rows in more.items():
        group[name] = rows
    return group


def layout(split: Any = ("terminals", "timeouts"), columns: Any = COLUMNS, **options: Any) -> Layout:
    specs = {key: ColumnSpec.model_validate(spec) for key, spec in columns.items()}
    return LAYOUTS["generic"](columns=specs, split=split, **options)


@pytest.fixture
def file(tmp_path: Path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        yield file


@pytest.mark.parametrize(
    ("terminals", "timeouts"),
    [
        (flags(4, 16, 29), flags(5)),
        (flags(4, 5, 16, 29, dtype="u1"), flags(5, dtype="f4")),
        (flags(4, 16, dtype="i8")[:, None], flags(5, 29)),
    ],
)
def test_either_flag_ends_an_episode_with_its_row(file: h5py.File, terminals: np.ndarray, timeouts: np.ndarray) -> None:
    write(file, terminals=terminals, timeouts=timeouts)
    flat = layout()
    keys = list(flat.list(file))
    assert keys == ["/[0:5]", "/[5:6]", "/[6:17]", "/[17:30]", "/[30:40]"]
    for key, (start, stop) in zip(keys, [(0, 5), (5, 6), (6, 17), (17, 30), (30, 40)], strict=True):
        ep = flat.open(file, key)
        assert (ep.length, ep.origin.start, ep.origin.key) == (stop - start, start, key)
        np.testing.assert_array_equal(ep["action"], ROWS[start:stop])
        np.testing.assert_array_equal(ep["observation.state"], ROWS[start:stop] * 2)
        np.testing.assert_array_equal(np.concatenate(list(ep.frames("observation.images.front"))), FRAMES[start:stop])
        has_no_end = any("has no end" in note for note in ep.origin.notes)
        assert has_no_end == (stop == N)
        again = flat.open(file, key, ep.origin.mapping)
        np.testing.assert_array_equal(again["action"], ROWS[start:stop])


def test_a_flag_in_the_last_row_ends_the_last_episode(file: h5py.File) -> None:
    write(file, terminals=flags(9, N - 1))
    flat = layout()
    assert list(flat.list(file)) == ["/[0:10]", "/[10:40]"]
    notes = flat.open(file, "/[10:40]").origin.notes
    assert not [note for note in notes if "no end" in note]
    assert [note for note in notes if note.startswith("split: timeouts is not in every episode")]


def test_a_flag_that_is_missing_is_named_with_what_there_is(file: h5py.File) -> None:
    write(file, terminals=flags(9), timeouts=flags(19))
    misspelt = layout(["terminals", "timeout"])
    assert list(misspelt.list(file)) == ["/[0:10]", "/[10:40]"]
    [note] = [note for note in misspelt.open(file, "/[0:10]").origin.notes if note.startswith("split: timeout")]
    assert note.endswith("/ has the datasets actions, obs/q, obs/rgb, terminals, timeouts")


def test_no_flag_at_all_is_one_episode(file: h5py.File) -> None:
    write(file, terminals=flags(), timeouts=flags())
    assert list(layout().list(file)) == ["/[0:40]"]
    assert layout().open(file, "/[0:40]").length == N


def test_groups_are_split_each_and_a_bad_one_is_a_rejection(file: h5py.File) -> None:
    write(file.create_group("data/run_10"), terminals=flags(19))
    write(file.create_group("data/run_2"), terminals=flags(9))
    write(file.create_group("data/run_3"))
    write(file.create_group("data/run_4"), terminals=flags()[:-1])
    write(file.create_group("data/run_5"), terminals=flags(3, dtype="u1") * 2)
    write(file.create_group("data/run_6"), terminals=["no"] * N)
    flat = layout(episodes="/data/run_*")
    assert list(flat.list(file)) == [
        "data/run_2[0:10]", "data/run_2[10:40]", "data/run_3", "data/run_4[0:39]", "data/run_5", "data/run_6",
        "data/run_10[0:20]", "data/run_10[20:40]",
    ]  # fmt: skip
    np.testing.assert_array_equal(flat.open(file, "data/run_10[20:40]")["action"], ROWS[20:])
    expected = {
        "data/run_3": ("missing_dataset", "no dataset 'terminals'"),
        "data/run_4[0:39]": ("unequal_lengths", "have 40 rows, the flags that end its episodes have 39"),
        "data/run_5": ("bad_dtype", "/data/run_5/terminals has 2, a flag is 0 or 1"),
        "data/run_6": ("bad_dtype", "/data/run_6/terminals is object"),
    }
    for key, (reason, words) in expected.items():
        scanned = flat.scan(file, key)
        assert scanned.rejection is not None
        assert (scanned.rejection.reason, words in scanned.rejection.detail) == (reason, True), scanned.rejection


def test_facts_of_each_episode(file: h5py.File) -> None:
    """What has a row per frame counts by the rows of the episode, what has not is for all of them."""
    tasks = np.array(["lift"] * 10 + ["pour"] * 10 + ["", "wipe"] * 10, object)
    file.create_dataset("tasks", data=tasks, dtype=h5py.string_dtype())
    success = h5py.enum_dtype({"no": 0, "yes": 1}, "i1")
    file.create_dataset("ok", data=[0] * 9 + [1] + [1] * 9 + [0] + [0] * 20, dtype=success)
    write(file, terminals=flags(9, 19), rate=[25])
    places = {"success": "dataset:ok", "task_from": "dataset:tasks", "fps_from": "dataset:rate"}
    flat = layout(["terminals"], **places)
    facts = [(ep.text, ep.success, ep.fps) for ep in (flat.open(file, key) for key in flat.list(file))]
    assert facts == [("lift", True, 25), ("pour", False, 25), ("wipe", False, 25)]


def test_rows_and_the_last_observation_are_cut_before_the_split(file: h5py.File) -> None:
    write(file, terminals=flags(9))
    file["after"] = np.concatenate([ROWS, ROWS[:1]]) + 500
    columns = {"action": "actions", "observation.state": {"from": "after", "rows": [1, None]}}
    ep = layout(["terminals"], columns).open(file, "/[10:40]")
    np.testing.assert_array_equal(ep["observation.state"], file["after"][11:41])
    columns = {"action": "actions", "observation.state": "after"}
    ep = layout(["terminals"], columns, last_observation="drop").open(file, "/[10:40]")
    np.testing.assert_array_equal(ep["observation.state"], file["after"][10:40])


def digests(path: Path, **options: Any) -> dict[str, str]:
    with h5py.File(path, "r") as file:
        flat = layout(["terminals"], **options)
        return {key: source_digests(flat.group(file, key))[0] for key in flat.list(file)}


def test_the_digest_is_of_the_episode_alone(tmp_path: Path) -> None:
    """Others may change, and more may follow; its own rows, and what all share, may not."""
    ends = flags(9, 19, 29, 39)

    def made(name: str, change: Any = lambda rows: None, rows: int = N, note: str = "") -> dict[str, str]:
        with h5py.File(tmp_path / name, "w") as file:
            actions, terminals = ROWS.copy(), ends.copy()
            change(actions)
            file["actions"], file["obs/q"], file["obs/rgb"] = actions[:rows], ROWS[:rows], FRAMES[:rows]
            file["terminals"] = terminals[:rows]
            file["camera_matrix"] = np.eye(3)
            file.attrs["note"] = note
        return digests(tmp_path / name)

    before = made("a.hdf5")
    assert len(set(before.values())) == 4
    assert made("b.hdf5") == before
    grown = made("c.hdf5", rows=30)
    assert grown == {key: digest for key, digest in before.items() if key != "/[30:40]"}

    def other(actions: np.ndarray) -> None:
        actions[25] += 1
        actions[19] += 1  # the last row of the second

    changed = made("d.hdf5", other)
    assert [key for key in before if before[key] != changed[key]] == ["/[10:20]"]
    assert not set(made("e.hdf5", note="x").values()) & set(before.values())


def test_flags_that_are_not_used_are_told(file: h5py.File) -> None:
    def notes(name: str, split: Any = (), **rows: Any) -> list[str]:
        write(file.create_group(name), **rows)
        flat = layout(split, episodes=f"/{name}")
        [key, *_] = flat.list(file)
        return [note for note in flat.open(file, key).origin.notes if "before its last row" in note]

    for number, name in enumerate(("terminals", "timeouts", "terminations", "truncations", "dones", "done")):
        [note] = notes(f"a{number}", **{name: flags(3, dtype="f4")})
        assert f"split: [{name}]" in note
    assert notes("last", terminals=flags(N - 1), dones=flags()) == []
    assert notes("other_length", terminals=flags(3)[:-1]) == []
    assert notes("two_axes", terminals=np.ones((N, 2))) == []
    assert notes("texts", done=["yes"] * N) == []
    assert notes("used", ["terminals"], terminals=flags(3)) == []
    [note] = notes("second", ["terminals"], terminals=flags(30), timeouts=flags(3))
    assert "timeouts" in note


@pytest.mark.parametrize("split", ["terminals", [3], [""], {"a": 1}.keys() - {"a"} | {""}])
def test_split_is_a_list_of_names(split: Any) -> None:
    with pytest.raises(UsageError, match="is not a list of datasets"):
        layout(split)


def column(dataset: Path, name: str) -> np.ndarray:
    return np.array(pq.read_table(dataset / "data", columns=[name]).column(name).to_pylist(), np.float32)


def test_a_flat_file_from_plan_to_export(tmp_path: Path) -> None:
    for name, offset in (("a", 0), ("b", 1000)):
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            write(file, offset, terminals=flags(14, 29))
    (tmp_path / "c.hdf5").write_bytes((tmp_path / "a.hdf5").read_bytes())
    source = {"columns": COLUMNS, "fps": 10, "options": {"split": ["terminals"]}}
    files = [tmp_path / f"{name}.hdf5" for name in "abc"]
    pipeline = write_pipeline(tmp_path, files, "generic", source=source, steps=[{"frame_trimmer": {"head": 2}}])
    plan = make_plan(load_pipeline(pipeline))
    assert [(row.start, row.source_length, row.reason) for row in plan.manifest.rows] == [
        (0, 15, ""), (15, 15, ""), (30, 10, ""),
        (0, 15, ""), (15, 15, ""), (30, 10, ""),
        *[(start, length, "duplicate_episode") for start, length in ((0, 15), (15, 15), (30, 10))],
    ]  # fmt: skip
    run_here(pipeline, tmp_path / "out")
    kept = [*range(2, 15), *range(17, 30), *range(32, 40)]
    np.testing.assert_array_equal(column(tmp_path / "out", "action"), np.concatenate([ROWS[kept], ROWS[kept] + 1000]))
    report = check_source(tmp_path / "out", finished_run(tmp_path / "out.run"), deep=True)
    assert (report.problems, report.episodes) == ((), 6)
    export_actions(tmp_path / "out", tmp_path / "actions.hdf5", run_dir=tmp_path / "out.run")
    exported = ReplayReader(tmp_path / "actions.hdf5").episodes["demo_1"].data["actions"]
    np.testing.assert_array_equal(exported, ROWS[17:30])
    provenance = pq.read_table(tmp_path / "out" / "meta/robotrove/episodes.parquet").to_pylist()
    assert [(row["source_key"], row["first_row"], row["last_row"]) for row in provenance[:2]] == [
        ("/[0:15]", 2, 14), ("/[15:30]", 2, 14),
    ]  # fmt: skip
    # The file has grown: what is in the dataset is known by its rows.
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        rows = np.concatenate([ROWS, ROWS[:5] + 7])
        file["actions"], file["obs/q"] = rows, rows * 2
        file["obs/rgb"] = np.concatenate([FRAMES, FRAMES[:5]])
        file["terminals"] = np.concatenate([flags(14, 29, 39), [False] * 5])
    source["columns"] = COLUMNS
    pipeline = write_pipeline(tmp_path / "more", [tmp_path / "d.hdf5"], "generic", source=source, steps=[],
                              append_to=str(tmp_path / "out"))  # fmt: skip
    rows_of_plan = make_plan(load_pipeline(pipeline)).manifest.rows
    assert [(row.key, row.reason) for row in rows_of_plan] == [
        ("/[0:15]", "already_in_dataset"), ("/[15:30]", "already_in_dataset"), ("/[30:40]", ""), ("/[40:45]", ""),
    ]  # fmt: skip


def test_types_of_hdf5_from_file_to_second_opinion(tmp_path: Path) -> None:
    """Also in a file with episodes end to end, with rows cut: the audit reads what the layout reads."""
    brain = h5py.h5t.IEEE_F32LE.copy()  # bfloat16
    brain.set_fields(15, 7, 8, 0, 7)
    brain.set_size(2)
    brain.set_ebias(127)
    wide = np.arange(N * 12, dtype="<f4").reshape(N, 3, 4)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        write_array(file, "big", wide[:, 0].astype(">f8"), h5py.h5t.IEEE_F64BE, (4,))
        write_array(file, "packed", wide[:, 1].astype("<i2"), h5py.h5t.STD_I16LE, (4,), chunks=(7,))
        write_array(file, "nested", wide, h5py.h5t.IEEE_F32LE, (3,), (4,))
        write_array(file, "pixels", np.array(FRAMES), h5py.h5t.STD_U8LE, (3,), chunks=(4, 16, 16))
        file.create_dataset("enum", data=np.arange(N) % 3, dtype=h5py.enum_dtype({"A": 0, "B": 1, "C": 2}, "i1"))
        h5py.h5d.create(file.id, b"brain", brain, h5py.h5s.create_simple((N,)))
        file["brain"][:] = np.arange(N, dtype=np.float32)
        file["long"] = np.arange(N, dtype=np.longdouble)
        file.create_dataset("words", data=[f"{row} é".encode() for row in range(N)], dtype=h5py.string_dtype("ascii"))
        file["after"] = np.arange(N + 1, dtype=np.float32)
        file["terminals"] = flags(5, 13)
    columns = {
        "action": {"from": "big", "slice": [1, 4]},
        "observation.state": ["packed", {"from": "big", "rows": [0, 99]}],
        "nested": "nested",
        "observation.images.front": "pixels",
        "enum": "enum",
        "brain": "brain",
        "long": {"from": "long", "dtype": "float64"},
        "words": "words",
        "after": {"from": "after", "rows": [1, None]},
        "before": "after",
    }
    for name, options in (("whole", {}), ("flat", {"split": ["terminals"]})):
        source = {"columns": columns, "fps": 10, "options": {"last_observation": "drop", **options}}
        run_here(
            write_pipeline(tmp_path / name, [tmp_path / "a.hdf5"], "generic", source=source), tmp_path / name / "out"
        )
        out = tmp_path / name / "out"
        expected = {
            "action": wide[:, 0, 1:], "observation.state": np.concatenate([wide[:, 1], wide[:, 0]], axis=1),
            "nested": wide, "enum": np.arange(N) % 3, "brain": np.arange(N), "long": np.arange(N),
            "after": np.arange(1, N + 1), "before": np.arange(N),
        }  # fmt: skip
        for key, values in expected.items():
            np.testing.assert_array_equal(column(out, key), values, err_msg=key)
        report = check_source(out, finished_run(tmp_path / name / "out.run"), deep=True)
        assert (report.problems, report.episodes) == ((), 1 if name == "whole" else 3)


def test_places_that_no_episode_has_stop_planning(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for number in range(3):
            write(file.create_group(f"ep_{number}")).attrs.update({"instruction": "lift", "length": 40})
        file["ep_0"].attrs["prompt"] = "only here"
        file["ep_1/rate"] = 20
    for option, place, words in (
        ("task_from", "attr:instruktion", ["/ep_0", "did you mean 'instruction'", "instruction, length"]),
        ("task_from", "dataset:obs/text", ["/ep_0", "actions, obs/q, obs/rgb"]),
        ("fps_from", "attr:hz", ["/ep_0", "instruction, length, prompt"]),
        ("fps_from", "dataset:obs", ["'dataset:obs' is missing in /ep_0"]),
    ):
        options = {"episodes": "/ep_*", option: place}
        source = {"columns": COLUMNS, "task": "t", "fps": 10, "options": options}
        with pytest.raises(UsageError) as caught:
            make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.hdf5"], "generic", source=source)))
        assert caught.value.exit_code == 2
        assert f"source.options.{option}" in str(caught.value)
        for word in words:
            assert word in str(caught.value)
    # Where some have it, the others are counted.
    options = {"episodes": "/ep_*", "task_from": "attr:prompt", "fps_from": "dataset:rate"}
    source = {"columns": COLUMNS, "task": "t", "fps": 20, "options": options}
    plan = make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.hdf5"], "generic", source=source)))
    assert [row.task for row in plan.manifest.rows] == ["only here", "t", "t"]
    [task, rate] = [note for note in plan.notes if "no such place" in note]
    assert "source.options.fps_from: some episodes have no such place (2 episodes, for example: " in task
    assert "'attr:prompt' is missing in /ep_1" in rate


def test_notes_of_many_episodes_are_one_line(tmp_path: Path) -> None:
    """Scores that are no label differ in each episode."""
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for number in range(5):
            write(file.create_group(f"ep_{number}"), number).attrs["score"] = 0.1 + number / 10
    source = {"columns": COLUMNS, "task": "t", "fps": 10, "options": {"episodes": "/ep_*", "success": "attr:score"}}
    plan = make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.hdf5"], "generic", source=source)))
    [note] = [note for note in plan.notes if "success" in note]
    assert "(5 episodes, for example: attribute 'score' of /ep_0 is 0.1)" in note
    source["options"] |= {"success_threshold": 0.35}
    plan = make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.hdf5"], "generic", source=source)))
    assert [row.success for row in plan.manifest.rows] == [False, False, False, True, True]
    source["options"] |= {"success_threshold": "high"}
    with pytest.raises(UsageError, match="success_threshold"):
        load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.hdf5"], "generic", source=source))


def test_rows_that_select_nothing_are_told_before_any_file_is_opened(tmp_path: Path) -> None:
    columns = {
        "action": {"from": "actions", "rows": [5, 2]},
        "state": [{"from": "a", "rows": [None, 0]}, {"from": "b", "rows": [1, None]}],
        "other": {"from": ["a", "b"], "rows": [1, None]},
        "good": {"from": "a", "rows": [None, -1]},
    }
    with pytest.raises(ConfigError) as caught:
        load_pipeline(write_pipeline(tmp_path, ["missing.h5"], "generic", source={"columns": columns}))
    hint = "select nothing; [1, null] drops the first row, [null, -1] the last"
    found = [problem.message.partition(" (hdf5_reader): ")[::2] for problem in caught.value.problems]
    assert sorted(found) == [
        ("source.columns.action.rows", f"rows [5, 2] {hint}"),
        ("source.columns.other", "with a list of sources write rows beside each: - {from: path, rows: [null, -1]}"),
        ("source.columns.state[0].rows", f"rows [null, 0] {hint}"),
    ]


D4RL = SHARED_DATA / "sims/other/d4rl_door-random.hdf5"


@needs(D4RL)
def test_a_file_of_d4rl() -> None:
    flat = layout(columns={"action": "actions", "observation.state": "observations"})
    with h5py.File(D4RL, "r") as file:
        starts = [0, *(np.flatnonzero(file["terminals"][:-1]) + 1), len(file["terminals"])]
        episodes = [flat.open(file, key) for key in flat.list(file)]
        assert len(episodes) == 12
        for ep, start, stop in zip(episodes, starts[:-1], starts[1:], strict=True):
            np.testing.assert_array_equal(ep["action"], file["actions"][start:stop])
            np.testing.assert_array_equal(ep["observation.state"], file["observations"][start:stop])
        whole = layout((), columns={"action": "actions", "observation.state": "observations"}).open(file, "/")
    assert [note for note in whole.origin.notes if "split: [terminals]" in note]


def test_a_key_in_brackets_is_a_name_where_nothing_is_split(file: h5py.File) -> None:
    write(file.create_group("a[0:5]"))
    whole = layout((), episodes="/a*")
    assert list(whole.list(file)) == ["a[0:5]"]
    assert whole.open(file, "a[0:5]").length == N
    assert json.loads(whole.open(file, "a[0:5]").origin.mapping)["columns"]["action"] == {"from": "actions"}
    file["a[0:5]/terminals"] = flags(4)
    flat = layout(["terminals"], episodes="/a*")
    assert list(flat.list(file)) == ["a[0:5][0:5]", "a[0:5][5:40]"]
    np.testing.assert_array_equal(flat.open(file, "a[0:5][5:40]")["action"], ROWS[5:])
    with pytest.raises(EpisodeRejected):
        flat.open(file, "a[0:5][5:50]")
