"""Facts of an episode: label, instruction and frame rate are what the file says, or what it says is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5 import LAYOUTS
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.support.demos import STATE, demo, rejected

COLUMNS = {"action": ColumnSpec(source="actions"), "observation.state": ColumnSpec(source="obs/joint_pos")}


@pytest.fixture
def file(tmp_path: Path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        yield file


def put(group: h5py.Group, place: str, name: str, value: Any, dtype: Any) -> None:
    """Write a fact as an attribute ("attr") or as a dataset."""
    if place == "attr":
        group.attrs.create(name, value, dtype=dtype)
    else:
        group.create_dataset(name, data=value, dtype=dtype)


OUTCOME = h5py.enum_dtype({"SUCCESS": 0, "Failure": 1, "aborted": 7}, "i1")
# Value, dtype in the file, label, and label with success_threshold 0.5.
LABELS: list[tuple[Any, Any, bool | None, bool | None]] = [
    (0, OUTCOME, True, True), (1, OUTCOME, False, False), (7, OUTCOME, None, None), (9, OUTCOME, None, None),
    ([1, 0], OUTCOME, True, True), (1, h5py.enum_dtype({"no": 1, "yes": 0}, "u8"), False, False),
    (True, None, True, True), (False, None, False, False), ([True, False], None, False, False),
    (1, "i8", True, True), (0, "u1", False, False), (1.0, "f4", True, True), (0.0, "f8", False, False),
    (2, "i4", None, True), (-1, "i4", None, False), (0.35, "f8", None, False), (0.5, "f2", None, True),
    (np.nan, "f8", None, None), (np.inf, "f4", None, True), (-0.0, "f8", False, False), ([0, 0.9], "f4", None, True),
    ("1.0", None, True, True), ("0", None, False, False), ("0.35", None, None, False), ("True", None, True, True),
    (b"failed", None, False, False), ("  Success ", None, True, True), ("nan", None, None, None),
    ("maybe", None, None, None), (b"\xff", None, None, None), (1j, None, None, None),
    ([False, True, True], None, True, True), (["no", "yes"], h5py.string_dtype(), True, True),
]  # fmt: skip


@pytest.mark.parametrize("place", ["attr", "dataset"])
@pytest.mark.parametrize("label", LABELS)
def test_a_label_counts_by_its_name_or_as_0_and_1(file: h5py.File, place: str, label: Any) -> None:
    value, dtype, expected, with_threshold = label
    put(demo(file), place, "result", value, dtype)
    options = {"columns": COLUMNS, "episodes": "/data/*", "success": f"{place}:result"}
    for threshold, right in ((None, expected), (0.5, with_threshold)):
        ep = LAYOUTS["generic"](**options, success_threshold=threshold).open(file, "data/demo_0")
        assert ep.success is right
        notes = [note for note in ep.origin.notes if "neither success nor failure" in note]
        assert len(notes) == (right is None)
        if right is None:
            kind = "attribute" if place == "attr" else "dataset"
            assert f"{kind} 'result' of /data/demo_0 is" in notes[0]
            assert "success_threshold" in notes[0]


def test_labels_that_say_nothing_need_no_note(file: h5py.File) -> None:
    group = demo(file)
    for value in ("", h5py.Empty("f4"), np.zeros(0)):
        group.attrs["success"] = value
        ep = LAYOUTS["isaaclab"]().open(file, "data/demo_0")
        assert (ep.success, [note for note in ep.origin.notes if "success" in note]) == (None, [])


@pytest.mark.parametrize("layout", ["isaaclab", "leisaac"])
def test_labels_of_recorders(file: h5py.File, layout: str) -> None:
    """A mapping of one's own, so that the robot does not matter."""
    for number, (value, dtype, expected, _) in enumerate(LABELS[:4]):
        demo(file, f"demo_{number}").attrs.create("success", value, dtype=dtype)
        made = LAYOUTS[layout](columns=COLUMNS)
        assert made.open(file, f"data/demo_{number}").success is expected
    demo(file, "demo_9").attrs["success"] = 3.5
    assert LAYOUTS[layout](columns=COLUMNS, success_threshold=3).open(file, "data/demo_9").success is True
    assert "3.5" in "".join(LAYOUTS[layout](columns=COLUMNS).open(file, "data/demo_9").origin.notes)


def test_dones_of_libero_that_are_no_label(tmp_path: Path) -> None:
    [path] = write_sample("libero", tmp_path, episodes=1, frames=3, height=48, width=48)
    with h5py.File(path, "a") as file:
        for last, threshold, expected in ((1, None, True), (0, None, False), (3, None, None), (3, 2, True)):
            file["data/demo_0/dones"][-1] = last
            assert LAYOUTS["libero"](success_threshold=threshold).open(file, "data/demo_0").success is expected


GBK, SJIS, LATIN = ("抓取方块".encode("gbk"), "つかむ".encode("shift_jis"), "là, pose-le".encode("latin-1"))
VLEN, ASCII = h5py.string_dtype(), h5py.string_dtype("ascii")
# Value, dtype in the file, the instruction, and how many different ones the note tells of.
TEXTS: list[tuple[Any, Any, str, int]] = [
    ("pick", None, "pick", 0), (np.bytes_(b"pick"), None, "pick", 0),
    (np.bytes_("抓取方块".encode()), None, "抓取方块", 0),
    ("抓取方块".encode(), ASCII, "抓取方块", 0), ("抓取".encode(), h5py.string_dtype("utf-8", 20), "抓取", 0),
    (b"pick  ", "S20", "pick", 0), (["pick"], VLEN, "pick", 0), (["pick", "grasp"], VLEN, "pick", 2),
    (["", " ", "pick", "grasp", "lift"], VLEN, "pick", 3), (["pick", "pick"], VLEN, "pick", 0),
    (np.array([[b"pick", b"grasp"]], "S9"), None, "pick", 2), (json.dumps(["pick", "grasp"]), None, "pick", 2),
    (json.dumps(["pick"]), None, "pick", 0), (json.dumps(["", "grasp"]), None, "grasp", 0),
    ("[not json", None, "[not json", 0), ("[1, 2]", None, "[1, 2]", 0), ('{"a": 1}', None, '{"a": 1}', 0),
]  # fmt: skip


def instructed(file: h5py.File, layout: str, place: str, value: Any, dtype: Any) -> tuple[str, dict[str, Any]]:
    """Write an instruction where a layout looks for it; return the key and the arguments of the layout."""
    group = file.require_group("ep_0") if layout in ("piper", "generic") else file
    if layout == "aloha":
        group["action"] = group["observations/qpos"] = STATE
    else:
        group["action"] = group["state"] = STATE
    if place == "attr":
        group.attrs.create("instruction", value, dtype=dtype)
    else:
        group.create_dataset("instruction", data=value, dtype=dtype)
    options: dict[str, Any] = {}
    if layout == "generic":
        columns = {"action": ColumnSpec(source="action"), "observation.state": ColumnSpec(source="state")}
        options = {"columns": columns, "episodes": "/ep_*", "task_from": f"{place}:instruction"}
    return "/" if layout == "aloha" else "ep_0", options


PLACES = [("piper", "attr"), ("aloha", "attr"), ("aloha", "dataset"), ("generic", "attr"), ("generic", "dataset")]


@pytest.mark.parametrize(("layout", "place"), PLACES)
@pytest.mark.parametrize("text", TEXTS)
def test_the_first_of_several_instructions_is_used_and_that_is_said(
    file: h5py.File, layout: str, place: str, text: Any
) -> None:
    value, dtype, expected, count = text
    key, options = instructed(file, layout, place, value, dtype)
    ep = LAYOUTS[layout](**options, task="other").open(file, key)
    assert (ep.text, ep.origin.task_source) == (expected, "file")
    notes = [note for note in ep.origin.notes if "instruction" in note]
    assert len(notes) == bool(count)
    if count:
        kind = "attribute" if place == "attr" else "dataset"
        assert f"{kind} 'instruction' of {'/' if key == '/' else '/ep_0'} has {count}" in notes[0]


@pytest.mark.parametrize(("layout", "place"), PLACES)
@pytest.mark.parametrize("text", ["[]", json.dumps(["", " "])])
def test_a_json_list_without_a_text_is_no_instruction(file: h5py.File, layout: str, place: str, text: str) -> None:
    key, options = instructed(file, layout, place, text, None)
    ep = LAYOUTS[layout](**options, task="other").open(file, key)
    assert (ep.text, ep.origin.task_source) == ("other", "pipeline")
    assert [note for note in ep.origin.notes if "instruction" in note] == []
    assert LAYOUTS[layout](**options).open(file, key).origin.task_source != "file"


# Value, dtype in the file, and what the message shows.
UNREADABLE: list[tuple[Any, Any, str]] = [
    (np.bytes_(GBK), None, "d7 a5 c8 a1"), (SJIS, VLEN, "82 c2"), (LATIN, ASCII, "6c e0 2c"),
    (LATIN, "S30", "6c e0 2c"),
    ([GBK, b"pick"], VLEN, "d7 a5"), (3, "i4", "is 3, not a text"), ([0.5, 2], "f8", "is 0.5, 2, not a text"),
    (True, None, "is True, not a text"),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "place"), PLACES)
@pytest.mark.parametrize("text", UNREADABLE)
def test_an_instruction_that_is_no_text_is_named(file: h5py.File, layout: str, place: str, text: Any) -> None:
    """With source.task that is used, and a note says so; without it the episode is rejected."""
    value, dtype, shown = text
    key, options = instructed(file, layout, place, value, dtype)
    error = rejected(file, layout, key, **options)
    assert error.reason == "bad_text"
    ep = LAYOUTS[layout](**options, task="other").open(file, key)
    assert (ep.text, ep.origin.task_source) == ("other", "pipeline")
    [note] = [note for note in ep.origin.notes if "source.task" in note]
    for said in (error.detail, note):
        assert "'instruction' of " in said
        assert shown in said
        assert "source.task" in said


def test_instructions_in_json(file: h5py.File) -> None:
    """RoboCasa's ep_meta and LIBERO's problem_info: the JSON may be in other bytes, and hold a list."""
    group = demo(file)
    layout, task = LAYOUTS["robomimic"](columns=COLUMNS), LAYOUTS["robomimic"](columns=COLUMNS, task="other")
    for facts, expected in (
        ({"lang": ["a", "b"]}, "a"),
        ({"lang": "抓取"}, "抓取"),
        ({"lang": None}, ""),
        ({"lang": " "}, ""),
    ):
        group.attrs["ep_meta"] = json.dumps(facts)
        assert layout.open(file, "data/demo_0").text == expected
    assert len([note for note in layout.open(file, "data/demo_0").origin.notes if "several" in note]) == 0
    for content in (
        b'{"lang": "\xd7\xa5\xc8\xa1\xb7\xbd"}',
        b'{"lang": 7}',
        b'{"lang": ["a", ["b"]]}',
        b'{"lang": "\\ud83d"}',
    ):
        group.attrs["ep_meta"] = np.bytes_(content)
        error = rejected(file, "robomimic", columns=COLUMNS)
        assert (error.reason, "lang in attribute 'ep_meta' of /data/demo_0" in error.detail) == ("bad_text", True)
        assert task.open(file, "data/demo_0").text == "other"
    file["data"].attrs["env_args"] = np.bytes_(b'{"env_name": "K\xfcche"}')
    group.attrs["ep_meta"] = "{}"
    ep = layout.open(file, "data/demo_0")
    assert (ep.text, ["4b fc 63" in note for note in ep.origin.notes]) == ("", [True])
    assert task.open(file, "data/demo_0").text == "other"
    file["data"].attrs["problem_info"] = json.dumps({"language_instruction": '"open it"'})
    assert LAYOUTS["libero"](columns=COLUMNS).open(file, "data/demo_0").text == "open it"


# What the file says, its dtype, and the rate that it is; None where it is none.
RATES: list[tuple[Any, Any, int | None]] = [
    ("30 Hz", None, 30), ("30hz", None, 30), (" 30 fps ", None, 30), ("25 Frames per second", None, 25),
    ("25 frames/s", None, 25), (b"30", "S9", 30),
    ("30.0", None, 30), ("60/2", None, 30), ("30000/1000 Hz", None, 30), (30.0, "f4", 30), (np.int8(30), None, 30),
    ([30], "i4", 30), ([30.0, 30.0, 30.0], "f8", 30), (["30 Hz", "30"], VLEN, 30), ([[15]], "f2", 15),
    ("29.97 fps", None, None), ("30000/1001", None, None), (29.97, "f8", None), ("30/0", None, None),
    (0, "i4", None),
    ("0", None, None), (-30, "i4", None), ("-30", None, None), (np.nan, "f8", None), (np.inf, "f4", None),
    ("nan", None, None),
    ("fast", None, None), ("33 ms", None, None), ("1.2.3", None, None), ([30, 25], "i4", None), (True, None, None),
    (["30", "fast"], VLEN, None), (0.5, "f8", None), (b"\xff", "S3", None), (30j, None, None),
]  # fmt: skip


@pytest.mark.parametrize("place", ["attr", "dataset"])
@pytest.mark.parametrize("said", RATES)
def test_a_rate_is_what_it_says_or_is_named(file: h5py.File, place: str, said: Any) -> None:
    value, dtype, expected = said
    put(demo(file), place, "rate", value, dtype)
    options = {"columns": COLUMNS, "episodes": "/data/*", "fps_from": f"{place}:rate"}
    if expected is not None:
        ep = LAYOUTS["generic"](**options, fps=7).open(file, "data/demo_0")
        assert (ep.fps, ep.origin.fps_source) == (expected, "file")
        assert not [note for note in ep.origin.notes if "fps" in note]
        return
    error = rejected(file, "generic", **options)
    assert error.reason == "bad_fps"
    ep = LAYOUTS["generic"](**options, fps=7).open(file, "data/demo_0")
    assert (ep.fps, ep.origin.fps_source) == (7, "pipeline")
    [note] = [note for note in ep.origin.notes if "source.fps" in note]
    for text in (error.detail, note):
        kind = "attribute" if place == "attr" else "dataset"
        assert f"{kind} 'rate' of /data/demo_0 is " in text
        assert "float()" not in text
        if isinstance(value, str):
            assert value in text


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"sim_args": {"dt": 0, "decimation": 5}}, "0 and 5"),
        ({"sim_args": {"dt": None, "decimation": 5}}, "None and 5"),
        ({"sim_args": {"dt": "fast", "decimation": 5}}, "'fast' and 5"),
        ({"sim_args": {"dt": -0.01, "decimation": 5}}, "-20"),
    ],
)
def test_a_rate_of_env_args_that_is_none(file: h5py.File, facts: Any, words: str) -> None:
    demo(file)
    file["data"].attrs["env_args"] = json.dumps(facts)
    error = rejected(file)
    assert error.reason == "bad_fps"
    assert words in error.detail
    assert "env_args" in error.detail
    assert LAYOUTS["isaaclab"](fps=12).open(file, "data/demo_0").fps == 12


def test_control_freq_may_have_a_unit(file: h5py.File) -> None:
    demo(file)
    for value, expected in (("20 Hz", 20), (20.0, 20), (None, 20), ([15], 15)):
        file["data"].attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": value}})
        ep = LAYOUTS["robomimic"](columns=COLUMNS).open(file, "data/demo_0")
        assert (ep.fps, ep.origin.fps_source) == (expected, "default" if value is None else "file")
    file["data"].attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 0}})
    assert "control_freq in attribute 'env_args' of /data is 0" in rejected(file, "robomimic", columns=COLUMNS).detail


def test_a_layout_of_one_s_own_may_return_values(file: h5py.File) -> None:
    class Lab(LAYOUTS["isaaclab"]):
        rate: Any = 12

        def success(self, group: h5py.Group) -> bool:
            return True

        def file_task(self, group: h5py.Group) -> str:
            return "stack"

        def file_fps(self, group: h5py.Group) -> float:
            return self.rate

    demo(file)
    ep = Lab().open(file, "data/demo_0")
    assert (ep.success, ep.text, ep.fps, ep.origin.fps_source, ep.origin.notes) == (True, "stack", 12, "file", ())
    Lab.rate = 12.5
    with pytest.raises(EpisodeRejected, match=r"file_fps of /data/demo_0 is 12\.5"):
        Lab().open(file, "data/demo_0")
