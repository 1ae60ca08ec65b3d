"""Sample of no known layout: the pipeline says everything about it."""

from __future__ import annotations

from pathlib import Path

import h5py

from .pictures import pictures
from .sample_spec import SampleSpec, action, state
from .storage import write_frames, write_vectors

JOINTS = 6
INSTRUCTION = "push the block"


def write_generic(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write generic.hdf5: groups /recordings/run_N with attributes ok, hz and prompt, blue before red in frames.

    `arm/q` (5) and `arm/gripper` (1) are the state, `command` (6) the action, `cams/<camera>` frames.
    """
    path = folder / "generic.hdf5"
    with h5py.File(path, "w") as file:
        for episode in range(spec.episodes):
            group = file.create_group(f"recordings/run_{episode}")
            if (success := spec.success(episode)) is not None:
                group.attrs["ok"] = success
            group.attrs["hz"] = float(spec.fps)
            group.attrs["prompt"] = INSTRUCTION
            position = state(episode, spec.frames, JOINTS, spec.seed)
            vectors = {
                "arm/q": position[:, :-1],
                "arm/gripper": position[:, -1],
                "command": action(episode, spec.frames, JOINTS, spec.seed),
            }
            write_vectors(group, vectors, spec)
            for number, camera in enumerate(spec.cameras):
                frames = pictures(spec.frames, spec.height, spec.width, number, spec.seed)
                write_frames(group, f"cams/{camera}", (frame[..., ::-1].copy() for frame in frames), spec)
    return [path]
