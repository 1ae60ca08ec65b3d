"""Soft, external and hard links: what is behind them is found, and one that leads nowhere is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.core.source_file import read_files
from robotrove.formats.hdf5 import LAYOUTS, hdf5_file
from robotrove.formats.hdf5.hdf5_file import datasets, lookup, objects, open_hdf5
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.samples import write_sample

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
FRAMES = np.arange(4, dtype=np.uint8)[:, None, None, None] + np.zeros((4, 8, 8, 3), np.uint8)
KEY = "data/demo_0"


def recording(path: Path, **links: Any) -> Path:
    """Write an Isaac Lab file with links or arrays in its episode; store/front is a camera."""
    with h5py.File(path, "w") as file:
        file["store/front"], file["store/cams/wrist"] = FRAMES, FRAMES + 50
        for name, value in {"actions": ROWS, "obs/joint_pos": ROWS + 1, **links}.items():
            if value is not None:
                file[f"{KEY}/{name}"] = value
    return path


def cameras(path: Path, layout: str = "isaaclab", key: str = KEY) -> dict[str, int]:
    """Return each camera of an episode with the first value of its second frame."""
    with open_hdf5(path, locking=False) as file:
        ep = LAYOUTS[layout]().open(file, key)
        return {
            name.removeprefix("observation.images."): int(ep[name][1, 0, 0, 0])
            for name in ep.columns
            if "images" in name
        }


def rejected(path: Path, layout: str = "isaaclab", key: str = KEY, **options: Any) -> EpisodeRejected:
    with open_hdf5(path, locking=False) as file, pytest.raises(EpisodeRejected) as caught:
        LAYOUTS[layout](**options).open(file, key)
    return caught.value


@pytest.fixture
def pix(tmp_path: Path) -> Path:
    """A file with cameras that recordings link to."""
    path = tmp_path / "pix.h5"
    with h5py.File(path, "w") as file:
        file["front"], file["all/top"] = FRAMES + 100, FRAMES + 150
        file["chain"] = h5py.SoftLink("/front")
    return path


def test_cameras_behind_links(tmp_path: Path, pix: Path) -> None:
    path = recording(
        tmp_path / "a.h5",
        **{
            "obs/soft": h5py.SoftLink("/store/front"),
            "obs/relative": h5py.SoftLink("soft"),
            "obs/external": h5py.ExternalLink("pix.h5", "/front"),
            "obs/absolute": h5py.ExternalLink(str(pix), "chain"),
            "obs/group": h5py.SoftLink("/store/cams"),
            "camera_obs": h5py.ExternalLink("pix.h5", "/all"),
        },
    )
    with h5py.File(path, "a") as file:
        file[f"{KEY}/obs/hard"] = file["store/front"]
        file[f"{KEY}/obs/second"] = file[f"{KEY}/obs/hard"]
    assert cameras(path) == {
        "soft": 1, "relative": 1, "external": 101, "absolute": 101, "group.wrist": 51, "hard": 1, "second": 1,
        "top": 151,
    }  # fmt: skip


@pytest.mark.parametrize("name_is_taken", [False, True])
def test_a_link_to_a_link_to_another_file(tmp_path: Path, pix: Path, name_is_taken: bool) -> None:
    if name_is_taken:  # by another camera, as in recordings of one layout
        with h5py.File(pix, "a") as file:
            file[f"{KEY}/obs/soft"] = file[f"{KEY}/obs/sub/top"] = FRAMES
    links = {
        "obs/hard": h5py.ExternalLink("pix.h5", "/chain"),
        "obs/soft": h5py.SoftLink("hard"),
        "obs/sub": h5py.SoftLink(f"/{KEY}/all"),
        "all": h5py.ExternalLink("pix.h5", "/all"),
    }
    assert cameras(recording(tmp_path / "a.h5", **links)) == {"hard": 101, "soft": 101, "sub.top": 151}


@pytest.mark.parametrize(
    ("layout", "camera", "name"),
    [
        ("leisaac", "data/demo_0/obs/front", "front"),
        ("robomimic", "data/demo_0/obs/front_image", "front"),
        ("libero", "data/demo_0/obs/agentview_rgb", "agentview"),
        ("piper_raw", "episode_0/image_left", "left"),
        ("aloha", "observations/images/front", "front"),
        ("aloha_vlen", "observations/images/front", "front"),
    ],
)
def test_every_layout_finds_a_camera_behind_a_link(tmp_path: Path, layout: str, camera: str, name: str) -> None:
    path = write_sample(layout, tmp_path, episodes=1, frames=4, height=48, width=48)[0]
    reader, key = layout.split("_")[0], "/" if layout.startswith("aloha") else camera.rsplit("/", 2)[0]
    key = {"piper_raw": "episode_0"}.get(layout, key.removesuffix("/obs"))
    before = cameras(path, reader, key)
    with h5py.File(path, "a") as file, h5py.File(tmp_path / "moved.h5", "w") as other:
        file.copy(camera, other, "there")
        del file[camera]
        file[camera] = h5py.ExternalLink("moved.h5", "/there")
    assert cameras(path, reader, key) == before
    assert name in before
    (tmp_path / "moved.h5").unlink()
    error = rejected(path, reader, key)
    assert (error.reason, "moved.h5" in error.detail, "/there" in error.detail) == ("missing_file", True, True)


def test_state_and_observations_behind_links(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "state.h5", "w") as file:
        file["obs/joint_pos"] = ROWS + 9
    path = recording(tmp_path / "a.h5", **{"obs/joint_pos": None, "obs": h5py.ExternalLink("state.h5", "/obs")})
    with open_hdf5(path, locking=False) as file:
        ep = LAYOUTS["isaaclab"]().open(file, KEY)
        np.testing.assert_array_equal(ep["observation.state"], ROWS + 9)
        assert [found[0] for found in read_files(ep.origin.files)] == [tmp_path / "state.h5"]


def test_episodes_behind_links_have_the_facts_of_their_recording(tmp_path: Path) -> None:
    recording(tmp_path / "part.h5")
    arguments = json.dumps({"env_name": "Lift", "sim_args": {"dt": 0.01, "decimation": 5}})
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_group("data").attrs["env_args"] = arguments
        file["data/demo_0"] = h5py.ExternalLink("part.h5", KEY)
        file["data/demo_1"] = h5py.ExternalLink("gone.h5", KEY)
        file["data/demo_2"] = h5py.SoftLink("/store/demo")
        file["data/demo_3"] = h5py.ExternalLink("part.h5", f"{KEY}/actions")
        file["store/demo/actions"], file["store/demo/obs/joint_pos"] = ROWS + 3, ROWS + 4
    layout = LAYOUTS["isaaclab"]()
    with open_hdf5(tmp_path / "all.h5", locking=False) as file:
        assert layout.list(file) == ["data/demo_0", "data/demo_1", "data/demo_2"]
        first, third = layout.open(file, "data/demo_0"), layout.open(file, "data/demo_2")
        assert (first.fps, first.text, third.fps, third.text) == (20, "Lift", 20, "Lift")
        np.testing.assert_array_equal(first["action"], ROWS)
        np.testing.assert_array_equal(third["observation.state"], ROWS + 4)
    error = rejected(tmp_path / "all.h5", key="data/demo_1")
    assert (error.reason, "gone.h5" in error.detail, KEY in error.detail) == ("missing_file", True, True)


@pytest.mark.parametrize(
    ("link", "reason", "named"),
    [
        (h5py.SoftLink("/store/gone"), "missing_dataset", ["/store/gone", "a.h5"]),
        (h5py.SoftLink("/store/front/below"), "missing_dataset", ["/store/front/below"]),
        (h5py.ExternalLink("gone.h5", "/front"), "missing_file", ["gone.h5", "/front"]),
        (h5py.ExternalLink("pix.h5", "/gone"), "missing_dataset", ["pix.h5", "/gone"]),
        (h5py.ExternalLink("text.h5", "/front"), "not_hdf5", ["text.h5", "/front"]),
        (h5py.ExternalLink("empty.h5", "/front"), "empty_file", ["empty.h5"]),
        (h5py.ExternalLink("cut.h5", "/front"), "truncated_file", ["cut.h5"]),
        (h5py.ExternalLink("folder", "/front"), "unreadable_file", ["folder"]),
        (h5py.ExternalLink("ring.h5", "/ring"), "missing_dataset", ["ring.h5", "circle"]),
        (h5py.SoftLink("/data/demo_0/obs/lost"), "missing_dataset", ["circle"]),
    ],
)
def test_a_link_that_leads_nowhere(tmp_path: Path, pix: Path, link: Any, reason: str, named: list[str]) -> None:
    (tmp_path / "text.h5").write_text("hello" * 200)
    (tmp_path / "empty.h5").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.h5").write_bytes(pix.read_bytes()[:-100])
    with h5py.File(tmp_path / "ring.h5", "w") as file:
        file["ring"] = h5py.ExternalLink("a.h5", f"{KEY}/obs/lost")
    error = rejected(recording(tmp_path / "a.h5", **{"obs/lost": link}))
    assert error.reason == reason
    assert all(name in error.detail for name in ["obs/lost", *named]), error.detail
    columns = {"action": ColumnSpec(source="actions"), "observation.state": ColumnSpec(source="next/lost")}
    path = recording(tmp_path / "b.h5", **{"next/lost": link if reason != "missing_dataset" else h5py.SoftLink("/no")})
    assert rejected(path, "generic", columns=columns, episodes="/data/*").reason == reason
    with open_hdf5(path, locking=False) as file:  # where nothing looks for it
        ep = LAYOUTS["isaaclab"]().open(file, KEY)
        assert (ep.length, ep.origin.unused) == (4, ("next/lost",))


def test_never_a_file_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, shift in (("day", 10), ("here", 20), ("store", 30)):
        (tmp_path / folder).mkdir()
        with h5py.File(tmp_path / folder / "pix.h5", "w") as file:
            file["front"] = FRAMES + shift
    path = recording(tmp_path / "day" / "a.h5", **{"obs/front": h5py.ExternalLink("pix.h5", "/front")})
    monkeypatch.chdir(tmp_path / "here")
    assert cameras(path) == {"front": 11}
    (tmp_path / "day" / "pix.h5").unlink()
    assert rejected(path).reason == "missing_file"
    path.rename(tmp_path / "store" / "a.h5")
    path.symlink_to(tmp_path / "store" / "a.h5")
    assert rejected(path).reason == "missing_file"  # HDF5 would take that of the current folder before store/pix.h5
    monkeypatch.chdir(tmp_path)
    assert cameras(path) == {"front": 31}


def test_a_prefix_of_the_environment_does_not_change_a_recording(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        with h5py.File(folder / "pix.h5", "w") as file:
            file["front"] = FRAMES
    recording(tmp_path / "a.h5", **{"obs/front": h5py.ExternalLink("pix.h5", "/front")})
    code = (
        "import sys; from pathlib import Path\nfrom robotrove.tests.formats.hdf5.test_hdf5_file_links import rejected\n"
        "error = rejected(Path(sys.argv[1]))\nprint(error.reason, error.detail)"
    )
    environment = {**os.environ, "HDF5_EXT_PREFIX": str(tmp_path / "other")}
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    assert said.startswith("missing_file")
    assert "HDF5_EXT_PREFIX" in said


def test_a_recording_that_was_moved_with_its_files(tmp_path: Path, pix: Path) -> None:
    path = recording(tmp_path / "a.h5", **{"obs/front": h5py.ExternalLink("/media/recorder/pix.h5", "/front")})
    assert cameras(path) == {"front": 101}


def test_links_over_several_files_are_all_written_down(tmp_path: Path) -> None:
    for name, target in (("c.h5", None), ("b.h5", "c.h5"), ("unused.h5", None)):
        with h5py.File(tmp_path / name, "w") as file:
            file["front"] = FRAMES + 7 if target is None else h5py.ExternalLink(target, "/front")
    links = {"obs/front": h5py.ExternalLink("b.h5", "/front"), "note": h5py.ExternalLink("unused.h5", "/front")}
    path = recording(tmp_path / "a.h5", **links)
    with open_hdf5(path, locking=False) as file:
        ep = LAYOUTS["isaaclab"]().open(file, KEY)
        assert ep["observation.images.front"][0, 0, 0, 0] == 7
        found = read_files(ep.origin.files)
    files = [tmp_path / name for name in ("b.h5", "c.h5", "unused.h5")]
    states = [file.stat() for file in files]
    assert found == [
        (file, at.st_size, at.st_mtime_ns, at.st_ino, at.st_ctime_ns) for file, at in zip(files, states, strict=True)
    ]


def test_circles_end(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.h5", **{"obs/self": h5py.SoftLink(f"/{KEY}"), "up": h5py.SoftLink("/")})
    with h5py.File(path, "a") as file:
        file[f"{KEY}/obs/hard"] = file[f"{KEY}/obs"]
        file[f"{KEY}/outside"] = h5py.ExternalLink("b.h5", "/")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["q"], file["back"] = ROWS, h5py.ExternalLink("a.h5", f"/{KEY}")
    with open_hdf5(path, locking=False) as file:
        found = objects(file[KEY])
        assert list(found) == [
            "actions", "obs", "obs/hard", "obs/joint_pos", "obs/self", "outside", "outside/back", "outside/q",
            "up", "up/data", "up/data/demo_0", "up/store", "up/store/cams", "up/store/cams/wrist", "up/store/front",
        ]  # fmt: skip
        assert list(datasets(file[f"{KEY}/obs"]))[:2] == ["joint_pos", "self/actions"]


def test_links_that_multiply_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_file, "_MAX_OBJECTS", 1000)
    path = recording(tmp_path / "a.h5", **{"obs/many": h5py.SoftLink("/l0")})
    with h5py.File(path, "a") as file:
        for level in range(40):
            for side in "ab":
                file[f"l{level}/{side}"] = h5py.SoftLink(f"/l{level + 1}")
        file.create_group("l40")
    error = rejected(path)
    assert (error.reason, "1,000" in error.detail, "obs" in error.detail) == ("unreadable_data", True, True)


def test_lookup_of_names_and_of_nothing(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.h5", **{"obs/front": h5py.SoftLink("/store/front")})
    with open_hdf5(path, locking=False) as file:
        group = file[KEY]
        for name in ("obs/front", "./obs//front", f"/{KEY}/obs/front", "/store/front"):
            assert lookup(group, name)[1, 0, 0, 0] == 1
        assert [lookup(group, name) for name in ("none", "obs/none", "actions/none", "obs/front/none")] == [None] * 4
        assert lookup(group, "/").name == "/"
