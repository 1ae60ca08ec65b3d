from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.samples import SAMPLES, write_sample
from robotrove.pipelines.spec.pipeline_draft import guess, pipeline_text
from robotrove.tests.support.hdf5_equality import differences

CONVERTIBLE = [layout for layout in SAMPLES if layout != "generic"]


def write_demos(path: Path, rows: dict[str, int], **attributes: object) -> Path:
    """Write /data with demos of so many rows each; a row's action is its demo's number."""
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["format_version"] = 1
        data = file.create_group("data")
        data.attrs.update({"env_args": "{}", "total": sum(rows.values()), **attributes})
        for name, count in rows.items():
            demo = data.create_group(name)
            demo.attrs["num_samples"] = count
            demo.create_dataset(
                "actions", data=np.full((count, 2), int(name[5:]), "f4"), chunks=(2, 2), compression="gzip"
            )
            demo["initial_state/x"] = 1.0
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_split_keeps_the_episode_and_what_is_above_it(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "a.hdf5", {"demo_0": 3, "demo_2": 4, "demo_10": 5})
    before = source.read_bytes(), os.stat(source).st_mtime_ns
    found = robotrove("split", source, "-o", tmp_path / "out", "--prefix", "p_")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[-3:] == ["3 files written", "", f"next: robotrove inspect -r {tmp_path / 'out'}"]
    assert sorted(os.listdir(tmp_path / "out")) == ["p_demo_0.hdf5", "p_demo_10.hdf5", "p_demo_2.hdf5"]
    for name, rows in (("demo_0", 3), ("demo_2", 4), ("demo_10", 5)):
        with h5py.File(source) as one, h5py.File(tmp_path / f"out/p_{name}.hdf5") as other:
            assert differences(one[f"data/{name}"], other[f"data/{name}"]) == []
            assert dict(other.attrs) == {"format_version": 1}
            assert dict(other["data"].attrs) == {"env_args": "{}", "total": rows}
            assert other["data"].attrs["total"].dtype == one["data"].attrs["total"].dtype
            assert list(other["data"]) == [name]
    assert (source.read_bytes(), os.stat(source).st_mtime_ns) == before


def write_mask(path: Path, lists: dict[str, list[bytes]], **attributes: object) -> Path:
    """Write filter keys as robomimic does: texts of a fixed length."""
    with h5py.File(path, "a") as file:
        for name, names in lists.items():
            file[f"mask/{name}"] = np.array(names, dtype="S")
            file[f"mask/{name}"].attrs.update(attributes)
    return path


def test_lists_of_episodes_have_those_of_the_file(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "a.hdf5", {"demo_0": 3, "demo_2": 4, "demo_10": 5})
    write_mask(source, {"train": [b"demo_10", b"demo_0"], "valid": [b"demo_2", b"demo_77"]}, seed=1)
    with h5py.File(source, "a") as file:
        file["mask"].attrs["by"] = "lab"
        file["data/demo_0/list"] = h5py.SoftLink("/mask/train")
    found = robotrove("split", source, "-o", tmp_path / "out")
    assert found.code == 0
    assert found.out.splitlines()[-4:-2] == [
        "3 files written",
        "note: a.hdf5:/mask/valid names demo_77, not in this file: it is in no new list",
    ]
    expected = {"demo_0": ([b"demo_0"], []), "demo_2": ([], [b"demo_2"]), "demo_10": ([b"demo_10"], [])}
    for name, (train, valid) in expected.items():
        with h5py.File(tmp_path / f"out/{name}.hdf5") as file:
            assert {key: file["mask"][key][()].tolist() for key in file["mask"]} == {"train": train, "valid": valid}
            assert [file["mask"][key].dtype for key in file["mask"]] == [np.dtype("S7")] * 2
            assert dict(file["mask/train"].attrs) == {"seed": 1}
            assert dict(file["mask"].attrs) == {"by": "lab"}
    with h5py.File(tmp_path / "out/demo_0.hdf5") as file:
        assert file["data/demo_0/list"] == file["mask/train"]


def test_lists_of_packed_recordings_are_one(robotrove: Callable, tmp_path: Path) -> None:
    for name, rows in (("a", {"demo_0": 3, "demo_9": 4}), ("b", {"demo_0": 5, "demo_1": 6}), ("c", {"demo_0": 7})):
        write_demos(tmp_path / f"in/{name}.hdf5", rows)
    write_mask(tmp_path / "in/a.hdf5", {"train": [b"demo_9"], "valid": [b"demo_0"]})
    write_mask(tmp_path / "in/b.hdf5", {"train": [b"demo_1", b"demo_0"], "valid": []})
    write_mask(tmp_path / "in/c.hdf5", {"train": [b"demo_0"]})  # has another list
    assert robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 9).code == 0
    with h5py.File(tmp_path / "out/repack_0.hdf5") as file:
        assert {name: len(demo["actions"]) for name, demo in file["data"].items()} == {
            "demo_0": 3, "demo_9": 4, "demo_10": 5, "demo_11": 6,
        }  # fmt: skip
        assert file["mask/train"][()].tolist() == [b"demo_9", b"demo_11", b"demo_10"]
        assert file["mask/valid"][()].tolist() == [b"demo_0"]
    with h5py.File(tmp_path / "out/repack_1.hdf5") as file:
        assert file["mask/train"][()].tolist() == [b"demo_0"]
        assert list(file["mask"]) == ["train"]


def test_every_new_file_has_what_belongs_to_no_episode(robotrove: Callable, tmp_path: Path) -> None:
    for name, version in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        path = write_demos(tmp_path / f"in/{name}.hdf5", {"demo_0": 3, "demo_1": 4})
        with h5py.File(path, "a") as file:
            file["meta/robot"], file["meta/words"] = [version, 2.0, 3.0], ["a", "ü"]
            file["meta"].attrs["date"] = "2024"
            file["big"] = np.zeros(2**20 // 8 + 1)
            file["latest"] = h5py.SoftLink("/data/demo_1")
            file["data/demo_2"] = 5  # no group, so no episode
    found = robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 3)
    assert found.code == 0
    assert [line for line in found.out.splitlines() if line.startswith("note: a.hdf5")] == [
        "note: a.hdf5:/big belongs to no episode and is larger than 1 MB: it is in no new file",
        "note: a.hdf5:/latest leads to an episode: it is in no new file",
    ]
    for index, (version, names) in enumerate(
        [
            (1.0, ["demo_0", "demo_1", "demo_2", "demo_3"]),
            (1.0, ["demo_1", "demo_2"]),
            (2.0, ["demo_0", "demo_1", "demo_2"]),
        ]
    ):
        with h5py.File(tmp_path / f"out/repack_{index}.hdf5") as file:
            assert list(file) == ["data", "meta"]
            assert list(file["data"]) == names
            assert file["data/demo_2"][()] == 5
            assert file["meta/robot"][()].tolist() == [version, 2.0, 3.0]
            assert file["meta/words"].asstr()[()].tolist() == ["a", "ü"]
            assert file["meta"].attrs["date"] == "2024"


def test_chosen_groups_and_the_list(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "a.hdf5", {"demo_0": 3, "demo_2": 4, "demo_10": 5})
    listed = robotrove("split", source, "--list")
    assert listed.out.splitlines() == ["data/demo_0", "data/demo_2", "data/demo_10"]
    assert robotrove("split", source, "--list", "--json").json["episodes"] == listed.out.splitlines()
    assert robotrove("split", source, "-o", tmp_path / "a", "--groups", "demo_10", "demo_0").code == 0
    assert robotrove("split", source, "-o", tmp_path / "b", "--groups", "demo_10", "--groups", "data/demo_0").code == 0
    assert sorted(os.listdir(tmp_path / "a")) == ["demo_0.hdf5", "demo_10.hdf5"]
    assert robotrove("split", "--groups", "demo_10", "demo_0", source, "-o", tmp_path / "d").code == 0
    assert robotrove("split", "-o", tmp_path / "e", "--groups", "demo_10", source, "demo_0").code == 0
    for folder in "bde":
        assert sorted(os.listdir(tmp_path / folder)) == ["demo_0.hdf5", "demo_10.hdf5"]
    wrong = robotrove("split", source, "-o", tmp_path / "c", "--groups", "demo_1")
    assert wrong.code == 2
    assert "'demo_1' names no group that the file lists (did you mean 'demo_10'?)" in wrong.err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("a.hdf5", "b.hdf5"), "contains 2 files, and names without --groups"),
        (("--groups", "demo_0", "demo_2", "a.hdf5"), "contains 2 files"),  # a file has the name of a group
        (("a.hdf5", "demo_0"), "contains 2 files, and names without --groups"),
        (("a.hdf5", "demo_9"), "contains 1 file, and names without --groups"),
        (("--groups", "demo_0", "demo_9", "lost.hdf5"), "contains no file that exists"),
    ],
)
def test_arguments_with_more_than_one_meaning(
    arguments: tuple[str, ...], found: str, robotrove: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.hdf5", "b.hdf5", "demo_0", "demo_2"):
        write_demos(tmp_path / name, {"demo_0": 3, "demo_2": 4})
    refused = robotrove("split", *arguments, "-o", "out")
    assert refused.code == 2
    assert found in refused.err
    assert "robotrove split FILE -o DIR --groups NAME --groups NAME" in refused.err
    assert not (tmp_path / "out").exists()


def test_groups_of_the_root_without_a_layout(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["lab"] = "A"
        file["run 1/x"], file["../run"], file["b/x"] = [1, 2], 3, [4]
    found = robotrove("split", tmp_path / "a.hdf5", "-o", tmp_path / "out")
    assert found.code == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["b.hdf5", "episode.hdf5", "run_1.hdf5"]
    with h5py.File(tmp_path / "out/run_1.hdf5") as file:
        assert file["run 1/x"][()].tolist() == [1, 2]
        assert file.attrs["lab"] == "A"


def test_existing_files_are_kept_unless_they_may_be_replaced(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "a.hdf5", {"demo_0": 3, "demo_1": 4})
    (tmp_path / "out").mkdir()
    (tmp_path / "out/demo_1.hdf5").write_text("mine")
    found = robotrove("split", source, "-o", tmp_path / "out")
    assert found.code == 0
    assert f"{tmp_path}/out/demo_1.hdf5: exists and is kept; --overwrite replaces it" in found.out
    assert (tmp_path / "out/demo_1.hdf5").read_text() == "mine"
    assert robotrove("split", source, "-o", tmp_path / "out", "--overwrite").code == 0
    with h5py.File(tmp_path / "out/demo_1.hdf5") as file:
        assert len(file["data/demo_1/actions"]) == 4
    assert sorted(os.listdir(tmp_path / "out")) == ["demo_0.hdf5", "demo_1.hdf5"]


def test_a_recording_is_never_replaced(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "demo_0.hdf5", {"demo_0": 3})
    before = source.read_bytes()
    found = robotrove("split", source, "-o", tmp_path, "--overwrite")
    assert found.code == 2
    assert "would replace a recording that is read" in found.err
    assert source.read_bytes() == before


@pytest.mark.parametrize("kind", ["link", "virtual", "raw"])
def test_a_file_that_a_recording_needs_is_never_replaced(robotrove: Callable, tmp_path: Path, kind: str) -> None:
    source = write_demos(tmp_path / "all.hdf5", {"demo_0": 3, "demo_1": 3})
    with h5py.File(tmp_path / "demo_1.hdf5", "w") as file:
        file["obs"] = np.ones((3, 2))
    with h5py.File(source, "a") as file:
        if kind == "link":
            file["data/demo_0/obs"] = h5py.ExternalLink("demo_1.hdf5", "/obs")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 2), "f8")
            layout[:] = h5py.VirtualSource("demo_1.hdf5", "obs", (3, 2))
            file["data/demo_0"].create_virtual_dataset("obs", layout)
        else:
            file["data/demo_0"].create_dataset("obs", (3, 2), "f8", external=[("demo_1.hdf5", 2048, 48)])
    before = tree(tmp_path)
    found = robotrove("split", source, "-o", tmp_path, "--overwrite")
    assert found.code == 2
    assert f"{tmp_path}/demo_1.hdf5: would replace a recording that is read, or a file that it needs" in found.err
    assert tree(tmp_path) == before
    assert robotrove("split", source, "-o", tmp_path / "new", "--overwrite").code == 0


def test_folders_that_take_no_new_file(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3})
    (tmp_path / "out/demo_0.hdf5").mkdir(parents=True)
    (tmp_path / "file").write_text("no folder")
    for arguments, found in (
        (("split", source, "-o", tmp_path / "out", "--overwrite"), "out/demo_0.hdf5: is a folder"),
        (("split", source, "-o", tmp_path / "long", "--prefix", "x" * 300), "cannot be written: File name too long"),
        (("split", source, "-o", tmp_path / "file/below"), "demo_0.hdf5: cannot be written: Not a directory"),
        (("repack", tmp_path / "in", "-o", tmp_path / "in", "-e", 2), "contains the recordings in"),
        (("repack", tmp_path / "in", "-o", tmp_path, "-e", 2), "contains the recordings in"),
    ):
        refused = robotrove(*arguments)
        assert refused.code == 2
        assert found in refused.err
    assert sorted(tree(tmp_path)) == ["file", "in/a.hdf5"]


def test_attributes_above_64_kb_and_a_user_block(robotrove: Callable, tmp_path: Path) -> None:
    write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3})
    with h5py.File(tmp_path / "in/b.hdf5", "w", libver="latest", userblock_size=1024) as file:
        file.attrs["format_version"] = 1
        data = file.create_group("data")
        data.attrs.update({"env_args": "{}", "total": 3})
        data["demo_1/actions"], data["demo_1/initial_state/x"] = np.zeros((3, 2), "f4"), 1.0
        data["demo_1"].attrs["map"] = np.arange(100_000)
    found = robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 2)
    assert found.code == 0
    assert "note: b.hdf5: has a user block of 1,024 bytes: it is in no new file" in found.out
    with h5py.File(tmp_path / "out/repack_0.hdf5") as file:
        assert np.array_equal(file["data/demo_1"].attrs["map"], np.arange(100_000))
        assert file["data"].attrs["total"] == 6


def test_counts_of_other_kinds(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "a.hdf5", {"demo_0": 3, "demo_1": 4}, total="seven", num_demos=np.array([2], "u2"))
    with h5py.File(source, "a") as file:
        file["data/demo_0"].attrs["num_samples"] = "three"
    found = robotrove("split", source, "-o", tmp_path / "out")
    assert found.code == 0
    assert found.out.count("/data: attribute 'total' is as in the recording: the samples cannot be counted") == 2
    with h5py.File(tmp_path / "out/demo_1.hdf5") as file:
        assert file["data"].attrs["total"] == "seven"
        assert file["data"].attrs["num_demos"].tolist() == [1]
        assert file["data"].attrs["num_demos"].dtype == "u2"


def test_a_damaged_episode_is_rejected_and_the_others_are_written(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "a.hdf5", {"demo_0": 3, "demo_1": 4, "demo_2": 5})
    with h5py.File(source) as file:
        place = h5py.h5o.get_info(file["data/demo_1/actions"].id).addr
    with open(source, "r+b") as stream:
        stream.seek(place)
        stream.write(b"\xff" * 16)
    found = robotrove("split", source, "-o", tmp_path / "out")
    assert found.code == 1
    assert "a.hdf5:/data/demo_1: rejected, unreadable_data: /data/demo_1 in " in found.err
    assert sorted(os.listdir(tmp_path / "out")) == ["demo_0.hdf5", "demo_2.hdf5"]
    found = robotrove("repack", source, "-o", tmp_path / "packed", "-e", 3, "--json")
    assert found.code == 1
    assert [(entry["episode"], entry["reason"]) for entry in found.json["rejected"]] == [
        ("a.hdf5:/data/demo_1", "unreadable_data")
    ]
    with h5py.File(tmp_path / "packed/repack_0.hdf5") as file:
        assert list(file["data"]) == ["demo_0", "demo_2"]
        assert file["data"].attrs["total"] == 8


def test_repack_orders_counts_and_renames(robotrove: Callable, tmp_path: Path) -> None:
    write_demos(tmp_path / "in/a2.hdf5", {"demo_0": 3, "demo_7": 4})
    write_demos(tmp_path / "in/a10.hdf5", {"demo_0": 5, "demo_3": 6, "demo_30": 7})
    write_demos(tmp_path / "in/b.hdf5", {"demo_5": 8}, env_args='{"other": 1}')
    write_demos(tmp_path / "in/c.hdf5", {"demo_0": 9})
    expected = [
        ["a2.hdf5:/data/demo_0", "a2.hdf5:/data/demo_7", "a10.hdf5:/data/demo_0 as /data/demo_8"],
        ["a10.hdf5:/data/demo_3", "a10.hdf5:/data/demo_30"],
        ["b.hdf5:/data/demo_5"],
        ["c.hdf5:/data/demo_0"],
    ]
    plan = robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 3, "--dry-run")
    assert plan.out.splitlines() == [
        line
        for index, lines in enumerate(expected)
        for line in (
            f"{tmp_path}/out/repack_{index}.hdf5: {len(lines)} episode{'s' if len(lines) > 1 else ''}",
            *(f"  {text}" for text in lines),
        )
    ]
    assert not (tmp_path / "out").exists()
    assert robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 3).code == 0
    rows = {}
    for index in range(4):
        with h5py.File(tmp_path / f"out/repack_{index}.hdf5") as file:
            rows[index] = {name: len(demo["actions"]) for name, demo in file["data"].items()}
            assert file["data"].attrs["total"] == sum(rows[index].values())
    assert rows == {
        0: {"demo_0": 3, "demo_7": 4, "demo_8": 5}, 1: {"demo_3": 6, "demo_30": 7}, 2: {"demo_5": 8}, 3: {"demo_0": 9},
    }  # fmt: skip
    with h5py.File(tmp_path / "out/repack_0.hdf5") as file:
        assert dict(file["data/demo_8"].attrs) == {"num_samples": 5, "robotrove_renamed_from": "a10.hdf5:/data/demo_0"}
        assert dict(file["data/demo_7"].attrs) == {"num_samples": 4}


def test_repack_patterns_analysis_and_zero(robotrove: Callable, tmp_path: Path) -> None:
    write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3, "demo_1": 3})
    write_demos(tmp_path / "in/b.hdf5", {"demo_0": 3})
    (tmp_path / "in/broken.hdf5").write_bytes(b"no HDF5 at all")
    chosen = robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 9, "--pattern", "a*", "--json")
    assert [Path(file["path"]).name for file in chosen.json["files"]] == ["repack_0.hdf5"]
    with h5py.File(tmp_path / "out/repack_0.hdf5") as file:
        assert list(file["data"]) == ["demo_0", "demo_1"]
    counted = robotrove("repack", tmp_path / "in", "--analyze")
    assert counted.code == 1
    assert "not_hdf5" in counted.err
    assert counted.out.splitlines()[-1].startswith("2 files, 3 episodes, ")
    none = robotrove("repack", tmp_path / "in", "-o", tmp_path / "none", "-e", 0)
    assert none.code == 2
    assert not (tmp_path / "none").exists()
    nothing = robotrove("repack", tmp_path / "in", "-o", tmp_path / "none", "-e", 1, "--pattern", "x*")
    assert nothing.code == 2
    assert "contains no HDF5 file like 'x*'" in nothing.err


def test_a_recording_with_several_paths_is_packed_once(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3, "demo_1": 4})
    (tmp_path / "in/b.hdf5").symlink_to("a.hdf5")
    (tmp_path / "again").symlink_to("in")
    found = robotrove("repack", tmp_path / "in", tmp_path / "again", os.path.relpath(source), "-o", tmp_path / "out",
                      "-e", 9)  # fmt: skip
    assert found.code == 0
    with h5py.File(tmp_path / "out/repack_0.hdf5") as file:
        assert [len(demo["actions"]) for demo in file["data"].values()] == [3, 4]


def test_outputs_below_the_input_are_no_input(robotrove: Callable, tmp_path: Path) -> None:
    write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3, "demo_1": 3})
    for _ in range(2):
        found = robotrove("repack", tmp_path / "in", "-o", tmp_path / "in/out", "-e", 1, "--overwrite")
        assert found.out.splitlines()[-3] == "2 files written"


def test_a_recording_that_is_one_episode_shares_no_file(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("aloha", tmp_path / "in", episodes=2, frames=4, height=48, width=48)
    refused = robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 2)
    assert refused.code == 2
    assert "is one episode as a whole" in refused.err
    assert robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 1).code == 0
    with h5py.File(tmp_path / "in/episode_1.hdf5") as one, h5py.File(tmp_path / "out/repack_1.hdf5") as other:
        assert differences(one["/"], other["/"]) == []


def test_renaming_writes_nothing_behind_a_link(robotrove: Callable, tmp_path: Path) -> None:
    write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3})
    shared = write_demos(tmp_path / "in/shared.hdf5", {"demo_4": 5})
    with h5py.File(tmp_path / "in/b.hdf5", "w") as file:
        file.attrs["format_version"] = 1
        file.create_group("data").attrs.update({"env_args": "{}", "total": 5})
        file["data/demo_0"] = h5py.ExternalLink("shared.hdf5", "/data/demo_4")
        file["data/demo_1/initial_state/x"] = 1
    before = shared.read_bytes(), os.stat(shared).st_mtime_ns
    inputs = tmp_path / "in/a.hdf5", tmp_path / "in/b.hdf5"
    assert robotrove("repack", *inputs, "-o", tmp_path / "out", "-e", 9).code == 0
    with h5py.File(tmp_path / "out/repack_0.hdf5") as file:
        assert file["data"].get("demo_1", getlink=True).filename == "../in/shared.hdf5"
        assert len(file["data/demo_1/actions"]) == 5
    assert (shared.read_bytes(), os.stat(shared).st_mtime_ns) == before


def test_links_out_of_the_folder_are_copied_and_not_followed(robotrove: Callable, tmp_path: Path) -> None:
    write_demos(tmp_path / "shared.hdf5", {"demo_4": 5})
    path = write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3})
    with h5py.File(path, "a") as file:
        file["data"].attrs["total"] = 8
        file["data/demo_1"] = h5py.ExternalLink("../shared.hdf5", "/data/demo_4")
        file["data/demo_2"] = h5py.SoftLink("/data/demo_1")
    found = robotrove("repack", path, "-o", tmp_path / "out", "-e", 9)
    assert (found.code, "a.hdf5:/data/demo_2: rejected, outside_file" in found.err) == (1, True), found
    assert "/data: attribute 'total' is as in the recording: the samples cannot be counted" in found.out
    with h5py.File(tmp_path / "out/repack_0.hdf5") as file:
        assert list(file["data"]) == ["demo_0", "demo_1"]
        assert file["data"].get("demo_1", getlink=True).filename == "../shared.hdf5"


def _convert(robotrove: Callable, folder: Path, drafted: Path, output: Path) -> dict[str, bytes]:
    pipeline = output.with_suffix(".yaml")
    text = pipeline_text(guess([drafted]), str(output)).replace(str(drafted), str(folder))
    pipeline.write_text(text, encoding="utf-8")
    assert robotrove("run", pipeline, "--workers", 1).code == 0
    return {name: content for name, content in tree(output).items() if name.startswith(("data/", "videos/"))}


def _converts_equal(robotrove: Callable, layout: str, tmp_path: Path) -> None:
    source = tmp_path / "in"
    for path in write_sample(layout, source, episodes=3, frames=8, height=48, width=48, compression="gzip"):
        assert [robotrove("split", path, "-o", tmp_path / "split").code for _ in range(2)] == [0, 0]
    per_file = 1 if layout.startswith("aloha") else 2
    assert [robotrove("repack", source, "-o", tmp_path / "packed", "-e", per_file).code for _ in range(2)] == [0, 0]
    expected = _convert(robotrove, source, source, tmp_path / "a")
    assert len(expected) >= 2
    assert _convert(robotrove, tmp_path / "split", source, tmp_path / "b") == expected
    assert _convert(robotrove, tmp_path / "packed", source, tmp_path / "c") == expected
    shutil.rmtree(tmp_path / "split")


def test_the_dataset_is_that_of_the_original(robotrove: Callable, tmp_path: Path) -> None:
    _converts_equal(robotrove, "isaaclab", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("layout", CONVERTIBLE)
def test_the_dataset_of_every_layout_is_that_of_the_original(layout: str, robotrove: Callable, tmp_path: Path) -> None:
    _converts_equal(robotrove, layout, tmp_path)


@pytest.mark.slow
def test_a_killed_command_completes_when_it_is_rerun(robotrove: Callable, tmp_path: Path) -> None:
    source = tmp_path / "a.hdf5"
    with h5py.File(source, "w") as file:
        for number in range(6):
            file[f"data/demo_{number}/initial_state/x"] = np.zeros((2, 2))
            file[f"data/demo_{number}/frames"] = np.full((40, 2**20), number, "u1")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "robotrove.cli", "split", str(source), "-o", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (out.exists() and len(list(out.glob("*.hdf5"))) >= 2):
            time.sleep(0.002)
        process.kill()
    complete = {path.name: path.stat().st_mtime_ns for path in out.glob("*.hdf5")}
    assert len(complete) >= 2
    (out / f"demo_5.hdf5.{socket.gethostname()}-{process.pid}-01234567.tmp").write_bytes(b"half of it")
    (out / f"demo_5.hdf5.other-{process.pid}-01234567.tmp").write_bytes(b"of another machine")
    assert robotrove("split", source, "-o", out).code == 0
    assert sorted(os.listdir(out)) == [
        *(f"demo_{number}.hdf5" for number in range(6)), f"demo_5.hdf5.other-{process.pid}-01234567.tmp",
    ]  # fmt: skip
    for number in range(6):
        with h5py.File(source) as one, h5py.File(out / f"demo_{number}.hdf5") as other:
            assert differences(one[f"data/demo_{number}"], other[f"data/demo_{number}"]) == []
    assert {name: (out / name).stat().st_mtime_ns for name in complete} == complete


def test_a_full_disk_is_an_error_and_not_a_rejection(tmp_path: Path) -> None:
    write_demos(tmp_path / "a.hdf5", {"demo_0": 20_000})
    limited = f"ulimit -f 20; exec {sys.executable} -m robotrove.cli split {tmp_path}/a.hdf5 -o {tmp_path}/out"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "HDF5 cannot write it" in done.stderr
    assert os.listdir(tmp_path / "out") == []


def test_files_of_another_plan_are_not_taken_for_this_one(robotrove: Callable, tmp_path: Path) -> None:
    """Else episodes would be in the folder twice, and new recordings nowhere."""
    write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3, "demo_1": 3})
    out = ("repack", tmp_path / "in", "-o", tmp_path / "out")
    assert robotrove(*out, "-e", 2).code == 0
    before = tree(tmp_path / "out")
    smaller = robotrove(*out, "-e", 1)
    assert smaller.code == 2
    assert "out/repack_0.hdf5: exists, and has /data/demo_1, which this command would not write there" in smaller.err
    assert tree(tmp_path / "out") == before
    assert robotrove(*out, "-e", 1, "--overwrite").code == 0
    larger = robotrove(*out, "-e", 2, "--overwrite")
    assert larger.code == 2
    assert "out/repack_1.hdf5: is of another plan" in larger.err


def test_a_kept_file_without_episodes_of_new_recordings_is_named(robotrove: Callable, tmp_path: Path) -> None:
    write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3})
    out = ("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 9)
    assert [robotrove(*out).code for _ in range(2)] == [0, 0]
    write_demos(tmp_path / "in/b.hdf5", {"demo_1": 3})
    found = robotrove(*out)
    assert found.code == 1
    lacks = "is kept, and lacks 1 episode, such as b.hdf5:/data/demo_1; --overwrite writes it again"
    assert found.err == f"{tmp_path}/out/repack_0.hdf5: {lacks}\n"
    assert robotrove(*out, "--overwrite").code == 0


def test_a_kept_file_of_another_recording_is_named(robotrove: Callable, tmp_path: Path) -> None:
    """A loop over recordings with one output folder would write the first one only."""
    for name, rows in (("a", 3), ("b", 4)):
        source = write_demos(tmp_path / f"in/{name}.hdf5", {"demo_0": rows})
        found = robotrove("split", source, "-o", tmp_path / "out", "--json")
    assert found.code == 1
    [kept] = json.loads(found.out)["files"]
    assert (kept["state"], kept["missing"]) == ("kept", ["b.hdf5:/data/demo_0"])


def test_a_missing_recording_is_refused_before_anything_is_written(robotrove: Callable, tmp_path: Path) -> None:
    source = write_demos(tmp_path / "in/a.hdf5", {"demo_0": 3})
    found = robotrove("repack", source, tmp_path / "in/b.hdf5", "-o", tmp_path / "out", "-e", 9)
    assert found.code == 2
    assert f"{tmp_path}/in/b.hdf5: does not exist" in found.err
    assert not (tmp_path / "out").exists()


def test_messages_have_the_paths_and_numbers_that_are_given(robotrove: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "my recordings"
    source = write_demos(folder / "a.hdf5", {"demo_0": 3})
    for arguments, found, todo in (
        (("repack", folder, "-e", 3), "-o: is missing", f"repack '{folder}' -o OUT -e 3"),
        (("repack", folder, "-o", tmp_path / "out"), "-e: is missing", f"repack '{folder}' -o {tmp_path}/out -e 50"),
        (("split", source), "-o: is missing", f"split '{source}' -o a"),
        (("split", folder, "-o", tmp_path / "out"), f"{folder}: is a folder", f"repack '{folder}' -o OUT -e 1"),
    ):
        refused = robotrove(*arguments)
        assert refused.code == 2
        assert f"error: {found}\n" in refused.err
        assert refused.err.endswith(f"to do: robotrove {todo}\n")


def test_five_new_names_are_shown(robotrove: Callable, tmp_path: Path) -> None:
    for name in "ab":
        write_demos(tmp_path / f"in/{name}.hdf5", {f"demo_{number}": 3 for number in range(7)})
    counted = robotrove("repack", tmp_path / "in", "--analyze", "-e", 5)
    assert counted.out.splitlines()[-1].endswith("; 3 files after repack")
    assert robotrove("repack", tmp_path / "in", "--analyze", "-e", 5, "--json").json["new_files"] == 3
    found = robotrove("repack", tmp_path / "in", "-o", tmp_path / "out", "-e", 14)
    notes = [line for line in found.out.splitlines() if line.startswith("note: ")]
    assert notes[0] == "note: b.hdf5:/data/demo_0 is now /data/demo_7"
    assert notes[5:] == ["note: 2 more episodes with new names; --dry-run shows all"]
    assert len(robotrove("repack", tmp_path / "in", "-o", tmp_path / "x", "-e", 14, "--json").json["notes"]) == 7
