from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.cli.recordings import inspect as module
from robotrove.cli.recordings import object_lines
from robotrove.formats.hdf5.hdf5_file import natural_key
from robotrove.formats.hdf5.samples import write_sample


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["by"] = "me"
        file["numbers/x"] = np.array([[1.5, 2.0], [np.nan, -3.0]])
        file.create_dataset("numbers/y", data=np.arange(10, dtype=np.uint8), chunks=(5,), compression="gzip")
        file["note"] = "hello"
        file["alias"] = h5py.SoftLink("/numbers")
    return tmp_path / "a.hdf5"


def test_tree_with_values_and_attributes(robotrove: Callable, recording: Path) -> None:
    found = robotrove("inspect", recording, "--attrs", "--preview")
    assert (found.code, found.err) == (0, "")
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert lines[0].endswith("no known layout")
    assert lines[1:] == [
        "/ group, 3 members",
        '@by = "me"',
        "alias link to /numbers",
        "note () string, 16 B, contiguous",
        '"hello"',
        "numbers group, 2 members",
        "x (2, 2) float64, 32 B, contiguous",
        "first [1.5, 2.0]",
        "last [NaN, -3.0]",
        "min -3.0, mean 0.166667, max 2.0, 1 value not finite",
        f"y (10,) uint8, {h5py.File(recording)['numbers/y'].id.get_storage_size()} B, chunks (5,), gzip",
        "first 0",
        "last 9",
        "min 0, mean 4.5, max 9",
    ]


def test_json(robotrove: Callable, recording: Path) -> None:
    document = robotrove("inspect", recording, "--json", "--preview", "--max-level", 2).json
    assert (document["layout"], document["episodes"], document["size"]) == (None, 0, recording.stat().st_size)
    objects = {entry["path"]: entry for entry in document["objects"]}
    assert objects["/numbers/x"]["preview"]["last"] == ["nan", -3.0]
    assert objects["/numbers/y"]["chunks"] == [5]
    assert [objects["/note"]["preview"][name] for name in ("first", "different", "minimum")] == ["hello", 1, None]
    assert "attrs" not in objects["/"]
    shallow = robotrove("inspect", recording, "--json", "--max-level", 1, "--attrs").json["objects"]
    assert [entry["path"] for entry in shallow] == ["/", "/alias", "/note", "/numbers"]
    assert shallow[0]["attrs"] == {"by": "me"}


def test_layout_and_episodes(robotrove: Callable, tmp_path: Path) -> None:
    (path,) = write_sample("piper", tmp_path, episodes=11, frames=1, height=48, width=48, cameras=("top",))
    found = robotrove("inspect", path, "--max-level", 1, "--all")
    assert "layout piper, 11 episodes" in found.out
    names = [line.split()[0] for line in found.out.splitlines()[2:]]
    assert names == [f"episode_{number}" for number in range(11)]  # 10 comes last


def test_files_that_are_none(robotrove: Callable, tmp_path: Path) -> None:
    text = tmp_path / "a.hdf5"
    text.write_text("no data")
    for path, message in (
        (text, f"error: {text} does not begin like an HDF5 file (not_hdf5)"),
        (tmp_path / "no.hdf5", f"error: {tmp_path}/no.hdf5 does not exist (missing_file)"),
        (tmp_path, f"error: {tmp_path}: is a folder"),
    ):
        found = robotrove("inspect", path, "--json")
        assert (found.code, found.out) == (2, "")
        assert found.err.startswith(message)


def test_a_truncated_file_is_shown_as_far_as_it_goes(robotrove: Callable, tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("first", data=np.arange(1000), chunks=(1000,))
        file.create_dataset("last", data=np.arange(1000.0, 2000), chunks=(1000,))
        end = file["last"].id.get_chunk_info(0).byte_offset + 8000
    assert path.stat().st_size == end  # the last bytes are those of `last`
    path.write_bytes(path.read_bytes()[:-100])
    found = robotrove("inspect", path, "-p")
    assert found.code == 1
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert lines[1].startswith(f"DAMAGED: {path} has {end - 100:,} bytes of the {end:,} in its header")
    assert lines[3:] == [
        "first (1000,) int64, 8.0 KB, chunks (1000,)",
        "first 0",
        "last 999",
        "min 0, mean 499.5, max 999",
        "last (1000,) float64, 8.0 KB, chunks (1000,)",
        f"CANNOT BE READ: rows 0 to 61 cannot be read: bytes {end - 8000:,} to {end - 1:,} are behind the end "
        "of the file",
    ]
    assert found.err == "1 object cannot be read: the file is damaged\n"


def test_a_file_without_its_root_is_refused(robotrove: Callable, recording: Path) -> None:
    recording.write_bytes(recording.read_bytes()[:100])
    found = robotrove("inspect", recording)
    assert (found.code, found.out) == (2, "")
    assert "(truncated_file)" in found.err


def test_a_file_that_is_being_written(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "writer.hdf5", "w", libver="latest") as file:
        file["numbers"] = np.arange(5)
        file.flush()
        (tmp_path / "a.hdf5").write_bytes((tmp_path / "writer.hdf5").read_bytes())
    found = robotrove("inspect", tmp_path / "a.hdf5", "-p")
    assert found.code == 1
    assert "is marked as open for writing" in found.out.splitlines()[1]
    assert [line.strip() for line in found.out.splitlines()[-1:]] == ["min 0, mean 2.0, max 4"]


def test_names_that_are_no_text(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file[b"n\xff"] = [1]
    found = robotrove("inspect", tmp_path / "a.hdf5")
    assert (found.code, found.out.splitlines()[2].split()) == (0, [r"n\xff", "link,", "not", "followed"])
    assert robotrove("inspect", tmp_path / "a.hdf5", "--json").json["objects"]


def _demos(path: Path, lengths: dict[str, int]) -> None:
    with h5py.File(path, "w") as file:
        for name, rows in lengths.items():
            demo = file.create_group(f"data/{name}")
            demo.attrs["num_samples"], demo.attrs["success"] = rows, rows > 5
            demo["actions"] = np.full((rows, 2), rows, np.float32)
            demo["obs/rgb"] = np.full((rows, 8, 16, 3), 255, np.uint8)


def test_groups_that_are_alike_are_one_line(robotrove: Callable, tmp_path: Path) -> None:
    _demos(tmp_path / "a.hdf5", {f"demo_{number}": 5 + number % 5 for number in range(12)})
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        file["data/demo_7/extra"] = 1
    lines = [" ".join(line.split()) for line in robotrove("inspect", tmp_path / "a.hdf5", "-a").out.splitlines()]
    rows = sum(5 + number % 5 for number in range(12) if number != 7)
    assert lines[2:] == [
        "data group, 12 members",
        f"demo_0 … demo_11 (11 alike, without demo_7, 5 to 9 rows), {rows * (8 + 384) / 1000:.1f} KB",
        "@num_samples = 5 to 9",
        "@success = false, true",
        f"actions (5–9, 2) float32, {rows * 8} B in all, contiguous",
        "obs group, 1 member",
        f"rgb (5–9, 8, 16, 3) uint8, {rows * 384 / 1000:.1f} KB in all, contiguous",
        "demo_7 group, 3 members",
        "@num_samples = 7",
        "@success = true",
        "actions (7, 2) float32, 56 B, contiguous",
        "extra () int64, 8 B, contiguous",
        "obs group, 1 member",
        "rgb (7, 8, 16, 3) uint8, 2.7 KB, contiguous",
    ]
    shown = robotrove("inspect", tmp_path / "a.hdf5", "--all", "-l", 2).out.splitlines()
    assert [line.split()[0] for line in shown[3:]] == [f"demo_{number}" for number in range(12)]


def test_1500_demos(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for number in range(1500):
            file.create_dataset(f"data/demo_{number}/actions", (5 + number % 5, 7), np.float32)
    found = robotrove("inspect", tmp_path / "a.hdf5").out
    assert "demo_0 … demo_1499 (1,500 alike, 5 to 9 rows)" in found
    assert len(found.splitlines()) == 5


def test_many_kinds_of_groups_are_sorted_once(
    robotrove: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for kind in "ghijklmnop":
            for number in range(5):
                file.create_group(f"{number}{kind}")
    calls: list[str] = []
    monkeypatch.setattr(object_lines, "natural_key", lambda text: calls.append(text) or natural_key(text))
    lines = robotrove("inspect", tmp_path / "a.hdf5").out.splitlines()
    assert lines[2] == "  0g … 4g (5 alike, without 0h, 0i, 0j, …), 0 B"
    assert lines[11] == "  0p … 4p (5 alike, without 1g, 1h, 1i, …), 0 B"
    assert len(calls) == 50 + 2 * 10  # each name, and the ends of each kind


def test_a_filmstrip_without_colours(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        frames = np.zeros((7, 20, 38, 3), np.uint8)
        frames[6] = 255
        frames[:, :10, :18] = 128
        file["cam"] = frames
    lines = robotrove("inspect", tmp_path / "a.hdf5", "-p").out.splitlines()
    assert lines[4].strip() == "frames 0, 2, 4, 6"
    assert len(lines) == 10  # 19 columns of 2 pixels, 5 lines of 4
    grey, black, white = "+" * 9, " " * 10, "@" * 10
    assert lines[5:7] == [f"{grey}{black} {grey}{black} {grey}{black} {grey}{white}"] * 2
    assert lines[9] == " " * 60 + "@" * 19
    assert max(map(len, lines[1:])) <= 80


def test_long_lines_end_at_80_columns(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        frames = np.zeros((4, 100, 200, 3), np.uint8)
        file.create_dataset("observations/images/left/wrist_camera_colours", data=frames, chunks=(4, 100, 200, 3))
        file["observations/qpos"] = np.full((2, 14), 0.123456)
    lines = robotrove("inspect", tmp_path / "a.hdf5", "-p").out.splitlines()[1:]
    assert max(map(len, lines)) <= 80
    at = next(index for index, line in enumerate(lines) if "wrist_camera" in line)
    assert lines[at : at + 2] == [
        "        wrist_camera_colours  (4, 100, 200, 3) uint8, 240.0 KB,",
        "                              chunks (4, 100, 200, 3)",
    ]
    assert lines[-7:-4] == [
        f"      first [{', '.join(['0.123456'] * 6)},",
        f"             {', '.join(['0.123456'] * 6)},",
        "             0.123456, 0.123456]",
    ]


def test_wide_letters_take_two_columns(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["抓取方块"] = [1]
        file["cafe\u0301"] = [1]  # an accent over the e
        file["joint_positions"] = [1]
    lines = robotrove("inspect", tmp_path / "a.hdf5").out.splitlines()[2:]
    name = "joint_positions"
    assert [line[: line.index("(1,)")] for line in lines] == [
        f"  cafe\u0301{' ' * 11}  ",
        f"  {name}  ",
        f"  抓取方块{' ' * 7}  ",
    ]


def test_a_walk_that_takes_long_says_so(robotrove: Callable, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    assert "reading: 3 objects so far" in robotrove("inspect", recording).err.splitlines()
    with h5py.File(recording, "a") as file:
        file["left"] = file["right"] = np.zeros((2, 20, 40, 3), np.uint8)
    found = robotrove("inspect", recording, "-o", recording.with_suffix(".png"))
    assert found.err.splitlines()[-1] == "reading: 2 filmstrips so far"


def test_pictures_of_libero_are_upright(robotrove: Callable, tmp_path: Path) -> None:
    (path,) = write_sample("libero", tmp_path, episodes=1, frames=2, height=48, width=48, cameras=("agentview",))
    with h5py.File(path, "a") as file:
        file["data/demo_0/obs/agentview_rgb"][:, :24] = 0  # the lower half, upside down
        file["data/demo_0/obs/agentview_rgb"][:, 24:] = 255
    lines = robotrove("inspect", path, "-p").out.splitlines()
    at = next(index for index, line in enumerate(lines) if "frames 0, 1 (flip: vertical)" in line)
    assert lines[at + 1].startswith("@" * 26)
    assert lines[at + 13].strip() == ""


def test_groups_that_are_alike_in_groups_that_are_alike(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for number in range(30):
            file[f"demo_{number}/cube_{number % 3}"] = 1  # names differ: three kinds of demos
            for joint in range(4):
                file[f"arm_{number}/joint_{joint}/angle"] = np.zeros(8 if joint else 6)
            file[f"hand_{number}/left/x"] = file[f"hand_{number}/right/x"] = np.zeros(3)
    lines = [" ".join(line.split()) for line in robotrove("inspect", tmp_path / "a.hdf5").out.splitlines()]
    assert lines[2:] == [
        "arm_0 … arm_29 (30 alike, 8 rows), 7.2 KB",  # the usual number of rows of its datasets
        "joint_0 … joint_3 (4 alike, 6 to 8 rows), 7.2 KB",
        "angle (6–8,) float64, 7.2 KB in all, contiguous",
        "demo_0 … demo_27 (10 alike, without demo_1, demo_2, demo_4, …), 80 B",
        "cube_0 () int64, 80 B in all, contiguous",
        "demo_1 … demo_28 (10 alike, without demo_2, demo_3, demo_5, …), 80 B",
        "cube_1 () int64, 80 B in all, contiguous",
        "demo_2 … demo_29 (10 alike, without demo_3, demo_4, demo_6, …), 80 B",
        "cube_2 () int64, 80 B in all, contiguous",
        "hand_0 … hand_29 (30 alike, 3 rows), 1.4 KB",
        "left group, 1 member",
        "x (3,) float64, 720 B in all, contiguous",
        "right group, 1 member",
        "x (3,) float64, 720 B in all, contiguous",
    ]


def test_names_and_texts_are_no_commands_for_the_terminal(robotrove: Callable, tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b31m\n"
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file[f"data{evil}/demo_0/x"] = np.zeros(3)
        file[f"data{evil}/demo_1/x"] = np.zeros(3)
        file[f"data{evil}"].attrs[evil] = evil
        file["text"] = np.array([evil, evil], dtype=h5py.string_dtype())
        file["link"] = h5py.SoftLink(f"/{evil}")
        file["pair"] = np.zeros(2, [("a" + evil[:4], "i4")])
    for options in (("-a", "-p"), ("-a", "-p", "--all")):
        out = robotrove("inspect", tmp_path / "a.hdf5", *options).out
        assert "\x1b" not in out
        assert "\x9b" not in out
        assert r"data\x1b[2J\x9b31m\n" in out


def test_an_attribute_of_json_is_readable(robotrove: Callable, recording: Path) -> None:
    document, both = '{"a": "b\\n"}', 'it\'s "x"'
    with h5py.File(recording, "a") as file:
        file.attrs.update({"args": document, "both": both})
    lines = robotrove("inspect", recording, "-a", "-l", 0).out.splitlines()[2:]
    assert lines == [f"  @args = '{document}'", f"  @both = {json.dumps(both)}", '  @by = "me"']


def test_files_that_a_dataset_has_its_rows_in(robotrove: Callable, tmp_path: Path) -> None:
    for folder in ("recordings", "private"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "q.raw").write_bytes(np.arange(100, 120, dtype="f4").tobytes())
    with h5py.File(tmp_path / "recordings" / "a.h5", "w") as file:
        for name, raw in (("near", "q.raw"), ("out", "../private/q.raw")):
            file.create_dataset(name, (10, 2), "f4", external=[(raw, 0, 80)])
    found = robotrove("inspect", "-p", tmp_path / "recordings" / "a.h5")
    near, out = found.out.split("  out ")
    assert found.code == 0
    assert "(10, 2) float32, 80 B, in another file: q.raw" in near
    assert "last  [118.0, 119.0]" in near
    assert "float32, in another file: ../private/q.raw, NOT READ: " in out
    assert f"{tmp_path}/private/q.raw is outside of {tmp_path}/recordings" in " ".join(out.split())
    assert "118" not in out
