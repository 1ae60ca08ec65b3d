"""inspect on datasets, on one episode, on several files, and on a terminal."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robotrove.cli.recordings.dataset_lines import dataset_lines
from robotrove.core.version import __version__
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.support.datasets import written_datasets as written
from robotrove.tests.support.datasets.written_datasets import FRONT, WRIST
from robotrove.tests.support.places import SHARED_DATA, needs

DEPTH = SHARED_DATA / "sims/lerobot061/depth_av1"


@pytest.fixture(params=["v2.0", "v2.1", "v3.0"])
def written_dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Fourteen frames in four episodes, with rows of the dtypes that info.json has."""
    version = request.param
    root = (written.write_v30 if version == "v3.0" else written.write_v21)(tmp_path / "cubes")
    if version == "v2.0":
        written.edit_json(root / "meta/info.json", lambda info: info.update(codebase_version="v2.0"))
        (root / "meta/episodes_stats.jsonl").unlink()
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        index = table["index"].to_numpy()
        state = np.stack([index * 1.0, -index * 0.5, np.zeros(len(index))], 1).astype(np.float32)
        at = table.schema.get_field_index("observation.state")
        pq.write_table(table.set_column(at, "observation.state", [[*map(list, state)]]), path)
    return root


def test_a_dataset(robotrove: Callable, written_dataset: Path) -> None:
    found = robotrove("inspect", written_dataset)
    assert (found.code, found.err) == (0, "")
    head, *lines = found.out.splitlines()
    version = robotrove("inspect", written_dataset, "--json").json["version"]
    assert head.startswith(f"{written_dataset}: LeRobot dataset {version}, ")
    assert lines == [
        "  episodes  4, 14 frames (0:01), 2 to 5 each, mean 3.5",
        "  fps       10",
        "  robot     so101",
        '  tasks     0  "stack the cubes"',
        '            1  "open the drawer"',
        "  cameras   observation.images.front  32x16, video h264",
        "            observation.images.wrist  32x16, video h264 yuv420p",  # info.json does not say so, the file does
        "  features  observation.state  float32 (3) x, y, z",
        "            grid  float32 (2x3)",
        "            done  bool (1)",
        "            note  string (1)",
        "  source    no provenance: not made by robotrove",
    ]


def test_a_dataset_as_json(robotrove: Callable, written_dataset: Path) -> None:
    found = robotrove("inspect", written_dataset, "--json").json
    assert [found[name] for name in ("episodes", "frames", "fps", "robot_type")] == [4, 14, 10, "so101"]
    assert found["lengths"] == {"min": 2, "mean": 3.5, "max": 5}
    assert found["tasks"] == written.TASKS
    assert found["cameras"][WRIST] == {
        "height": 16, "width": 32, "stored_as": "video", "codec": "h264", "pix_fmt": "yuv420p", "fps": 10.0,
    }  # fmt: skip
    assert found["features"]["observation.state"] == {"dtype": "float32", "shape": [3], "names": ["x", "y", "z"]}
    assert (found["provenance"], found["faults"]) == (None, [])


def test_an_episode(robotrove: Callable, written_dataset: Path) -> None:
    found = robotrove("inspect", written_dataset, 2, "--json").json
    assert (found["episode"], found["frames"], found["seconds"]) == (2, 5, 0.5)
    assert found["tasks"] == ["stack the cubes", "open the drawer"]
    state = found["numbers"]["observation.state"]
    # The frames 7 to 11 of the dataset.
    assert (state["first"], state["last"]) == ([7, -3.5, 0], [11, -5.5, 0])
    assert (state["min"], state["mean"], state["max"]) == ([7, -5.5, 0], [9, -4.5, 0], [11, -3.5, 0])
    paths = sorted(path.relative_to(written_dataset).as_posix() for path in written_dataset.rglob("*.mp4"))
    window = found["videos"][FRONT]
    if len(paths) == 4:  # v3.0: the second file of the camera has episodes 1 to 3
        assert window == {"path": f"videos/{FRONT}/chunk-000/file-001.mp4", "start": 0.3, "end": 0.8}
    else:
        assert window == {"path": written.v21_path(2, FRONT), "start": 0, "end": 0.5}


def test_an_episode_on_the_screen(robotrove: Callable, written_dataset: Path) -> None:
    found = robotrove("inspect", written_dataset, 2)
    assert (found.code, found.err) == (0, "")
    lines = found.out.splitlines()
    at = lines.index("observation.images.front, frames 0, 1, 3, 4")
    # Greys of 20 + 15 · frame, with the frames 7, 8, 10 and 11: 125, 140, 170 and 185 of 256, of ten characters.
    greys = " ".join(19 * mark for mark in ("=", "+", "*", "#"))
    assert lines[at + 1 : at + 6] == [greys] * 5
    at = lines.index("curves: state ., action +, both #")
    assert [line.split()[:2] for line in lines[at + 1 :: 3]] == [["x", "11"], ["y", "-3.5"], ["z", "0"]]
    assert [line.split()[0] for line in lines[at + 3 :: 3]] == ["7", "-5.5", "0"]
    # 49 columns for the values 7 to 11: four have 10, the last has 9; 8 is rounded to the line of 7, 10 to that of 11.
    assert [line[31:].strip() for line in lines[at + 1 : at + 4]] == ["." * 19, "." * 10, "." * 20]
    assert max(map(len, (line for line in lines if "mp4" not in line and "cubes" not in line))) <= 80


def test_episodes_that_are_no_episodes(robotrove: Callable, written_dataset: Path) -> None:
    found = robotrove("inspect", written_dataset, 4)
    assert (found.code, found.out) == (2, "")
    assert "has no episode 4" in found.err
    assert "0 to 3" in found.err
    found = robotrove("inspect", written_dataset, written_dataset, 1)
    assert (found.code, found.out) == (2, "")


def test_a_number_is_a_folder_with_a_dot(robotrove: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.write_v21(tmp_path / "7")
    monkeypatch.chdir(tmp_path)
    assert robotrove("inspect", "./7").out.startswith("7: LeRobot dataset v2.1")


def test_state_and_action_of_a_converted_episode(robotrove: Callable, converted: Path) -> None:
    found = robotrove("inspect", converted / "dataset", 1)
    assert found.code == 0
    lines = found.out.splitlines()
    assert "  success   yes" in lines
    assert f"  source    isaaclab.hdf5:data/demo_1, rows 0..7 ({converted}/isaaclab.hdf5)" in lines
    assert "#" in "".join(line[31:] for line in lines[lines.index("curves: state ., action +, both #") + 1 :])
    document = robotrove("inspect", converted / "dataset", 1, "--json").json
    with h5py.File(converted / "isaaclab.hdf5") as file:
        np.testing.assert_allclose(document["numbers"]["action"]["last"], file["data/demo_1/actions"][-1], rtol=1e-6)
    assert document["source"]["path"] == str(converted / "isaaclab.hdf5")
    provenance = robotrove("inspect", converted / "dataset", "--json").json["provenance"]
    assert (provenance["sources"], provenance["success"]) == (1, {"yes": 2})


def test_episodes_of_other_tools(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    lines = robotrove("inspect", converted / "dataset").out.splitlines()
    assert lines[-2:] == ["  source    1 source, success: 2 yes", f"            converted by robotrove {__version__}"]
    shutil.copytree(converted / "dataset", tmp_path / "merged")
    [path] = (tmp_path / "merged/meta/robotrove").glob("*.parquet")
    table = pq.read_table(path)
    for name in ("robotrove_version", "success"):
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.nulls(len(table), field.type))
    pq.write_table(table, path)
    found = robotrove("inspect", tmp_path / "merged")
    assert (found.code, found.out.splitlines()[-1]) == (0, "  source    1 source, success: 2 not labelled")
    assert robotrove("inspect", tmp_path / "merged", "--json").json["provenance"]["robotrove"] == {}
    assert robotrove("inspect", tmp_path / "merged", 1).code == 0


@needs(DEPTH)
def test_a_depth_camera_is_no_fault(robotrove: Callable) -> None:
    found = robotrove("inspect", DEPTH, 0)
    assert (found.code, found.err) == (0, "")
    assert "front_depth, frames" not in found.out
    assert "observation.images.front_depth" in robotrove("inspect", DEPTH).out


def test_a_damaged_video_is_named(robotrove: Callable, written_dataset: Path) -> None:
    path = sorted(written_dataset.glob("videos/**/*.mp4"))[0]
    path.write_bytes(b"no video")
    found = robotrove("inspect", written_dataset, 0)
    assert found.code == 1
    assert f"DAMAGED: {path}: cannot be read as video" in found.err
    assert "observation.images.wrist, frames 0, 1, 2, 3" in found.out
    assert robotrove("inspect", written_dataset, 0, "--json").json["faults"]


def test_a_missing_file_of_tasks_is_named(robotrove: Callable, written_dataset: Path) -> None:
    for path in written_dataset.glob("meta/tasks.*"):
        path.unlink()
    found = robotrove("inspect", written_dataset)
    assert found.code == 1
    assert f"DAMAGED: {written_dataset}/meta/tasks." in found.err
    assert "  episodes  4, 14 frames" in found.out


def test_several_files(robotrove: Callable, tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    size = {"height": 48, "width": 64}
    write_sample("isaaclab", tmp_path / "in", episodes=3, frames=6, cameras=("front",), **size)
    write_sample("piper", tmp_path / "in/deep", episodes=2, frames=5, cameras=("top",), **size)
    shutil.copy(tmp_path / "in/isaaclab.hdf5", tmp_path / "in/second.hdf5")
    (tmp_path / "in/deep/bad.hdf5").write_bytes(b"no data")
    written.write_v30(tmp_path / "in/cubes")
    (tmp_path / "in/x.run/shards").mkdir(parents=True)
    shutil.copytree(tmp_path / "in/cubes", tmp_path / "in/x.run/shards/00000")
    found = robotrove("inspect", "-r", tmp_path / "in")
    assert found.code == 1
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert "isaaclab.hdf5 3 18 2 of 3 6 30 1 ok" in lines
    assert "second.hdf5 3 18 2 of 3 6 30 1 ok" in lines
    assert "camera observation.images.front 64x48" in lines
    assert "bad.hdf5 0 0 – – – 0 1 fault" in lines
    assert "cubes 4 14 – 2–5 10 2 ok" in lines
    assert f"  DAMAGED: {tmp_path}/in/deep/bad.hdf5 does not begin like an HDF5 file" in found.out
    assert [line.rpartition(", ")[0] for line in lines if "episodes, " in line] == [
        "LeRobot v3.0: 1 dataset, 4 episodes, 14 frames",
        "no known layout: 1 file, 0 episodes, 0 frames",
        "piper: 1 file, 2 episodes, 10 frames",
        "isaaclab: 2 files, 6 episodes, 36 frames",
        "total: 4 files, 8 episodes, 46 frames",
    ]
    document = robotrove("inspect", str(tmp_path / "in/*.hdf5"), "--json").json["files"]
    assert [(Path(row["file"]).name, row["success"]) for row in document] == [
        ("isaaclab.hdf5", {"yes": 2, "no": 1}),
        ("second.hdf5", {"yes": 2, "no": 1}),
    ]
    assert document[0]["lengths"] == [6, 6]


def test_files_of_one_name_and_of_several_layouts(robotrove: Callable, tmp_path: Path) -> None:
    size = {"episodes": 2, "frames": 6, "height": 48, "width": 64}
    for folder in ("run_1", "a-long-name-of-a-run-2"):
        (path,) = write_sample("isaaclab", tmp_path / folder, **size)
        path.rename(path.with_name("dataset.hdf5"))
    write_sample("piper", tmp_path, **size)
    found = robotrove("inspect", "-r", tmp_path)
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert [line.split()[0] for line in lines if line.endswith(" ok")] == [
        "…-run-2/dataset.hdf5",
        "run_1/dataset.hdf5",
        "piper.hdf5",
    ]
    assert lines[-1].startswith("total: 3 files, 6 episodes, 36 frames, ")
    single = robotrove("inspect", "-r", tmp_path / "run_1", tmp_path / "a-long-name-of-a-run-2")
    assert "total" not in single.out


def test_a_truncated_file_among_several(robotrove: Callable, tmp_path: Path) -> None:
    size = {"height": 48, "width": 64, "cameras": ("front",)}
    (good,) = write_sample("isaaclab", tmp_path, episodes=3, frames=6, **size)
    with h5py.File(good) as file:
        start = file["data/demo_2/obs/front"].id.get_offset()
    (tmp_path / "part.hdf5").write_bytes(good.read_bytes()[: start + 1])
    found = robotrove("inspect", tmp_path / "*.hdf5")
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert found.code == 1
    assert "isaaclab.hdf5 3 18 2 of 3 6 30 1 ok" in lines
    assert "part.hdf5 2 12 2 of 2 6 30 1 2 faults" in lines
    assert f"{tmp_path}/part.hdf5 has {start + 1:,} bytes of the {good.stat().st_size:,} in its header" in found.out
    assert f"  DAMAGED: {tmp_path}/part.hdf5: group /data/demo_2/obs cannot be read: " in found.out


def test_options_without_effect_are_refused(robotrove: Callable, tmp_path: Path) -> None:
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            file["x"] = [1]
    root = written.write_v30(tmp_path / "cubes")
    for options in (("-a",), ("-p",), ("-l", "2"), ("--all",), ("-o", str(tmp_path / "s.png"))):
        found = robotrove("inspect", root, tmp_path / "a.hdf5", tmp_path / "b.hdf5", *options)
        assert (found.code, found.out) == (2, "")
        assert f"{' '.join(options)}: is given with 3 files or datasets" in found.err
        assert f"robotrove inspect {' '.join(options)} {tmp_path}/a.hdf5" in found.err
    for arguments in ((root,), (root, 1)):
        found = robotrove("inspect", *arguments, "-a", "-l", 1)
        assert (found.code, found.out) == (2, "")
        assert "-a -l 1: is given with a dataset" in found.err
    assert not list(tmp_path.glob("s.png"))


def test_folders_and_patterns_with_nothing(robotrove: Callable, tmp_path: Path) -> None:
    found = robotrove("inspect", tmp_path)
    assert (found.code, found.out) == (2, "")
    assert f"robotrove inspect -r {tmp_path}" in found.err
    assert robotrove("inspect", "-r", tmp_path).code == 2
    found = robotrove("inspect", tmp_path / "*.hdf5")
    assert found.code == 2
    assert "matches no file" in found.err


def test_a_contact_sheet_of_a_dataset(robotrove: Callable, written_dataset: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert robotrove("inspect", written_dataset, "-o", sheet).code == 0
    image = Image.open(BytesIO(sheet.read_bytes()))
    # Four episodes of two cameras, 160x80 each, at most 5 frames beside each other.
    assert image.size == (5 * 164 + 4, 8 * (14 + 8 + 80))
    first = image.getpixel((4 + 80, 18 + 40))
    assert max(abs(level - 20) for level in first) <= 3
    before = sheet.read_bytes()
    found = robotrove("inspect", written_dataset, 1, "-o", sheet)
    assert (found.code, found.out, sheet.read_bytes()) == (2, "", before)
    assert [path.name for path in tmp_path.glob("*sheet*")] == ["sheet.png"]


def test_a_contact_sheet_of_a_file(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for number in range(3):
            file[f"demo_{number}/rgb"] = np.full((2, 20, 40, 3), 50 * number, np.uint8)
        file["note"] = "no picture"
    assert robotrove("inspect", tmp_path / "a.hdf5", "-o", tmp_path / "s.png", "--json").code == 0
    image = Image.open(tmp_path / "s.png")
    assert image.size == (2 * 164 + 4, 3 * (22 + 80))
    assert [image.getpixel((84, 102 * row + 60)) for row in range(3)] == [(0, 0, 0), (50, 50, 50), (100, 100, 100)]


def test_a_contact_sheet_holds_the_pictures_of_one_camera_at_a_time(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for number in range(12):
            file.create_dataset(f"demo_{number}/rgb", (8, 480, 640, 3), np.uint8, chunks=(1, 480, 640, 3))
    tracemalloc.start()
    try:
        assert robotrove("inspect", tmp_path / "a.hdf5", "-o", tmp_path / "s.png", "--json").code == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 45e6  # all the pictures have 88 MB


def on_terminal(*arguments: object, **variables: str) -> str:
    """Return the output of a command on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM", "TERM")}
    command = [sys.executable, "-m", "robotrove.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=theirs, env=environment | {"PYTHONUTF8": "1"} | variables)
    os.close(theirs)
    parts = []
    while True:
        try:
            parts.append(os.read(ours, 65536))
        except OSError:  # the other side is closed
            break
        if not parts[-1]:
            break
    os.close(ours)
    assert process.wait() == 0
    return b"".join(parts).decode()


def test_colours_on_a_terminal(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["cam"] = np.full((1, 26, 26, 3), (255, 0, 0), np.uint8)
    place = tmp_path / "a.hdf5"
    line = {
        "24bit": "\x1b[38;2;255;0;0;48;2;255;0;0m" + 26 * "▀" + "\x1b[0m",
        "256": "\x1b[38;5;196;48;5;196m" + 26 * "▀" + "\x1b[0m",
        "none": 26 * ":",  # luma 76 of 256
    }
    shown = {
        "24bit": on_terminal("inspect", place, "-p", TERM="xterm-256color", COLORTERM="truecolor"),
        "256": on_terminal("inspect", place, "-p", TERM="screen-256color"),
        "none": on_terminal("inspect", place, "-p", TERM="dumb"),
    }
    for how, text in shown.items():
        assert text.splitlines()[-13:] == [line[how]] * 13, how
    without = on_terminal("inspect", place, "-p", TERM="xterm-256color", COLORTERM="truecolor", NO_COLOR="1")
    assert without == shown["none"]


def test_rerun_without_its_package_says_how_to_install_it(
    robotrove: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = written.write_v30(tmp_path / "cubes")
    monkeypatch.setitem(sys.modules, "rerun", None)  # Python's way to say that a module is not installed
    found = robotrove("inspect", root, 0, "--rerun", tmp_path / "one.rrd")
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("error: --rerun: ")
    assert "pip install 'robotrove[view]'" in found.err
    assert not (tmp_path / "one.rrd").exists()


@pytest.mark.parametrize("arguments", [["0", "--rerun", "one.txt"], ["--rerun"], ["0", "-p", "--rerun"]])
def test_rerun_takes_one_episode_and_a_file_of_its_kind(
    robotrove: Callable, tmp_path: Path, arguments: list[str]
) -> None:
    found = robotrove("inspect", written.write_v30(tmp_path / "cubes"), *arguments)
    assert (found.code, found.out) == (2, "")
    assert "robotrove inspect DATASET 0 --rerun episode.rrd" in found.err


def test_a_file_for_a_dataset_and_the_reverse(robotrove: Callable, written_dataset: Path, tmp_path: Path) -> None:
    (recording,) = write_sample("isaaclab", tmp_path / "in", episodes=1, frames=4, height=48, width=48)
    inspect = "robotrove inspect"
    for arguments, found, todo in (
        (("-i", written_dataset), "is a dataset", f"{inspect} {written_dataset}"),
        (("-i", tmp_path / "in"), "is a folder", f"{inspect} -r {tmp_path}/in"),
        ((recording, 0), "is a file, and episode 0 is given", f"{inspect} {recording}"),
        ((recording, "-o", tmp_path / "a.jpg"), "is the name of another format", "-o a.png"),
    ):
        refused = robotrove("inspect", *arguments)
        assert refused.code == 2
        assert f": {found}\n" in refused.err
        assert refused.err.endswith(f"to do: {todo}\n")


def test_a_contact_sheet_is_named_when_it_is_written(
    robotrove: Callable, written_dataset: Path, tmp_path: Path
) -> None:
    (recording,) = write_sample("isaaclab", tmp_path / "in", episodes=3, frames=4, height=48, width=48)
    for arguments, strips in (((recording,), 6), ((written_dataset, 0), 2)):
        sheet = tmp_path / f"{strips}.png"
        assert robotrove("inspect", *arguments, "-o", sheet).out.splitlines()[-1] == f"{sheet}: {strips} filmstrips"


def test_episodes_of_equal_length(robotrove: Callable, written_dataset: Path) -> None:
    document = robotrove("inspect", written_dataset, "--json").json | {"lengths": {"min": 5, "max": 5, "mean": 5.0}}
    assert [*dataset_lines(document)][1] == "  episodes  4, 14 frames (0:01), 5 each"
