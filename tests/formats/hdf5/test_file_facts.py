from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from robotrove.formats.hdf5.file_facts import contents, describe
from robotrove.formats.hdf5.tree import tree

ROWS = np.arange(16, dtype=np.float32).reshape(8, 2)


def test_a_file_with_an_unusable_instruction_and_rate_is_described(tmp_path: Path) -> None:
    """The pipeline that `init` writes is the place to say them."""
    with h5py.File(tmp_path / "gbk.h5", "w") as file:
        for name, instruction in (("ep_0", np.bytes_("抓取方块".encode("gbk"))), ("ep_1", ["pick", "grasp"])):
            group = file.create_group(name)
            group.attrs.update({"instruction": instruction, "length": 8})
            group["action"] = group["state"] = ROWS
    first, second = describe(tmp_path / "gbk.h5").episodes
    assert (first.task, first.task_source) == ("", "none")
    assert (second.task, second.task_source) == ("pick", "file")
    with h5py.File(tmp_path / "lab.h5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = demo["obs/joint_pos"] = ROWS
        facts = {"type": 2, "env_name": "Lift", "sim_args": {"dt": "fast", "decimation": 2}}
        file["data"].attrs["env_args"] = json.dumps(facts)
    [episode] = describe(tmp_path / "lab.h5").episodes
    assert (episode.task, episode.task_source, episode.fps) == ("Lift", "env_name", None)
    with h5py.File(tmp_path / "lab.h5", "a") as file:
        file["data"].attrs["env_args"] = json.dumps({**facts, "sim_args": {"dt": 0.01, "decimation": 3}})
    assert abs(describe(tmp_path / "lab.h5").episodes[0].fps - 100 / 3) < 1e-9


def test_arrays_have_their_axes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "lab.h5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo.create_group("initial_state")
        demo["actions"] = demo["obs/joint_pos"] = ROWS
        kind = h5py.h5t.array_create(h5py.h5t.STD_I16BE, (7,))
        h5py.h5d.create(demo.id, b"pose", kind, h5py.h5s.create_simple((8,)))
        demo["table"] = np.zeros(8, [("east", "f4")])
    [episode] = describe(tmp_path / "lab.h5").episodes
    found = {facts.path: facts for facts in contents(tmp_path / "lab.h5", episode)}
    assert (found["pose"].shape, found["pose"].dtype, found["pose"].kind) == ((8, 7), "int16", "vector")
    assert "compound table with the fields east" in found["table"].problem
    with h5py.File(tmp_path / "lab.h5") as file:
        node = next(node for node in tree(file) if node.path.endswith("pose"))
    assert (node.shape, node.dtype) == ((8, 7), "int16")


def test_depth_and_masks_have_the_reason_alone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "lab.h5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo.create_group("initial_state")
        demo["actions"] = demo["obs/joint_pos"] = ROWS
        demo["obs/depth"], demo["obs/front_seg"] = np.ones((8, 16, 16, 1)), np.zeros((8, 16, 16, 3), np.uint8)
    [episode] = describe(tmp_path / "lab.h5").episodes
    found = {facts.path: facts for facts in contents(tmp_path / "lab.h5", episode)}
    assert found["obs/depth"].kind == found["obs/front_seg"].kind == "none"
    assert found["obs/depth"].problem.startswith("depth (one channel of float64")
    assert found["obs/front_seg"].problem.startswith("a mask (its name has the word 'seg'")
