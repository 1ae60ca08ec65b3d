"""Samples of piper_gr00t, with JPEG rows or raw frames."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from ....media.image.images import encode_jpeg
from .pictures import pictures
from .sample_spec import SampleSpec, action, state
from .storage import write_frames, write_vlen

JOINTS = 14
SPARE_ROWS = 2
INSTRUCTION = "put the cup on the tray"


def write_jpeg(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write piper.hdf5 with one JPEG per row."""
    return [_write(spec, folder / "piper.hdf5", encoded=True)]


def write_raw(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write piper_raw.hdf5 with arrays of pixels."""
    return [_write(spec, folder / "piper_raw.hdf5", encoded=False)]


def _write(spec: SampleSpec, path: Path, *, encoded: bool) -> Path:
    # The recorder leaves rows behind the attribute `length`, which readers must not use.
    rows = replace(spec, frames=spec.frames + SPARE_ROWS)
    with h5py.File(path, "w") as file:
        for episode in range(spec.episodes):
            group = file.create_group(f"episode_{episode}")
            group.attrs["instruction"] = INSTRUCTION
            group.attrs["length"] = spec.frames
            group["state"] = state(episode, rows.frames, JOINTS, spec.seed).astype(np.float32)
            group["action"] = action(episode, rows.frames, JOINTS, spec.seed)
            for number, camera in enumerate(spec.cameras):
                frames = pictures(rows.frames, spec.height, spec.width, number, spec.seed)
                if encoded:
                    write_vlen(group, f"image_{camera}", frames, rows.frames, partial(encode_jpeg, quality=90))
                else:
                    write_frames(group, f"image_{camera}", frames, rows)
    return path
