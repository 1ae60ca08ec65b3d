from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from robotrove.formats.hdf5.file_facts import contents, conversions, describe, described
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.tree import open_part, tree

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


def test_how_a_layout_converts_cameras(tmp_path: Path) -> None:
    (path,) = write_sample("libero", tmp_path, episodes=2, frames=2, height=48, width=48, cameras=("agentview",))
    with h5py.File(path, "a") as file:
        del file["data/demo_0/obs"]  # the first episode has no mapping
    with h5py.File(path) as file:
        found = {source: spec.flip for source, spec in conversions(file).items() if "rgb" in source}
    assert found == {"obs/agentview_rgb": "vertical"}
    with h5py.File(tmp_path / "none.hdf5", "w") as file:
        file["x"] = [1]
        assert conversions(file) == {}


def test_episodes_of_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.h5"
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps({"type": 2, "env_name": "Lift"})
        demos = [file.create_group(f"data/demo_{number}") for number in range(3)]
        for demo in demos:
            demo.create_dataset("obs/joint_pos", (8, 500), np.float32)
            demo.create_dataset("actions", (8, 500), np.float32, chunks=(4, 500))[:4] = 1  # makes the index of chunks
        file.flush()
        for demo in demos:
            demo["obs/joint_pos"][:] = demo["actions"][4:] = 1
        chunks = [demo["actions"].id.get_chunk_info(1) for demo in demos]
        contiguous = [demo["obs/joint_pos"].id.get_offset() for demo in demos]
    ends = [max(at + 16_000, chunk.byte_offset + 8000) for at, chunk in zip(contiguous, chunks, strict=True)]
    size = path.stat().st_size
    for cut in (max(ends) - 1, contiguous[1] + 15_999):
        path.write_bytes(path.read_bytes()[:cut])
        with open_part(path) as (file, fault):
            found = described(file, path, cut)
        assert fault.reason == "truncated_file"
        assert f"{cut:,} bytes of the {size:,}" in fault.detail
        left = [f"data/demo_{number}" for number, end in enumerate(ends) if end <= cut]
        assert [episode.key for episode in found.episodes] == left
        assert 0 < len(left) < 3
        assert {exc.reason for exc in found.rejected} == {"truncated_file"}
