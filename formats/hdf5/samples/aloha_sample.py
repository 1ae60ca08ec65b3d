"""Samples of ALOHA, one file per episode: raw frames, padded JPEG rows, or JPEG rows of variable length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np

from ....core.columns import Array
from ....media.image.images import encode_jpeg
from .pictures import pictures
from .sample_spec import SampleSpec, action, state, velocity
from .storage import write_frames, write_padded, write_vlen

JOINTS = 14
INSTRUCTION = "fold the towel"

# (file, camera, frames, spec) → true lengths of the rows, where the storage has such.
_Store: TypeAlias = Callable[[h5py.File, str, Iterator[Array], SampleSpec], list[int] | None]

_jpeg = partial(encode_jpeg, quality=90)


def write_raw(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write episode_N.hdf5 with one chunk per raw frame."""
    return _write(spec, folder, _store_raw)


def write_padded_jpeg(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write episode_N.hdf5 with JPEG rows padded with zeros, and compress_len."""
    return _write(spec, folder, _store_padded)


def write_vlen_jpeg(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write episode_N.hdf5 with JPEG rows of variable length, and an instruction, as RDT has it."""
    return _write(spec, folder, _store_vlen, instruction=INSTRUCTION)


def _store_raw(file: h5py.File, path: str, frames: Iterator[Array], spec: SampleSpec) -> None:
    write_frames(file, path, frames, spec, chunk_rows=1)


def _store_padded(file: h5py.File, path: str, frames: Iterator[Array], spec: SampleSpec) -> list[int]:
    return write_padded(file, path, frames, _jpeg)


def _store_vlen(file: h5py.File, path: str, frames: Iterator[Array], spec: SampleSpec) -> None:
    write_vlen(file, path, frames, spec.frames, _jpeg)


def _write(spec: SampleSpec, folder: Path, store: _Store, instruction: str | None = None) -> list[Path]:
    paths = [folder / f"episode_{episode}.hdf5" for episode in range(spec.episodes)]
    for episode, path in enumerate(paths):
        with h5py.File(path, "w") as file:
            file.attrs["sim"] = True
            if instruction is not None:
                file.attrs["instruction"] = instruction
            file["action"] = action(episode, spec.frames, JOINTS, spec.seed)
            file["observations/qpos"] = state(episode, spec.frames, JOINTS, spec.seed)
            file["observations/qvel"] = velocity(episode, spec.frames, JOINTS, spec.fps, spec.seed)
            lengths = []
            for number, camera in enumerate(spec.cameras):
                frames = pictures(spec.frames, spec.height, spec.width, number, spec.seed)
                lengths.append(store(file, f"observations/images/{camera}", frames, spec))
            if any(lengths):
                file.attrs["compress"] = True
                file["compress_len"] = np.array(lengths, np.float32)
    return paths
