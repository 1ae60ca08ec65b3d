"""Recordings are appended to what LeRobot recorded; the same release gives the old frames and the new ones right."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.media.encode.settings import VideoSettings
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.judges.expectations import check_access, check_episodes, check_facts, check_frames, check_rows
from robotrove.tests.judges.recordings import RICH, SMALL_FILES, Recorder, Truth, imagine
from robotrove.tests.judges.releases import BACKENDS, RELEASES, V21_RELEASES, V30_RELEASES, Seen, need, run_script
from robotrove.tests.support.pipelines.runs import tree
from robotrove.verification.dataset.runner import verify

FPS = 20


def write_recording(path: Path, truth: Truth) -> None:
    """Write episodes, which have one task each, as an HDF5 file."""
    with h5py.File(path, "w") as file:
        for number, (start, length) in enumerate(zip(np.cumsum([0, *truth.lengths]), truth.lengths, strict=False)):
            rows = slice(int(start), int(start) + length)
            group = file.create_group(f"runs/run_{number}")
            group.attrs["prompt"] = str(truth.rows["task"][start])
            for key, values in truth.rows.items():
                if values.dtype.kind == "U":
                    group.create_dataset(key, data=values[rows].astype(object), dtype=h5py.string_dtype())
                else:
                    group.create_dataset(key, data=values[rows, 0] if values.shape[1:] == (1,) else values[rows])


def append(recording: Path, base: Path, out: Path) -> None:
    columns = {
        key: {"from": key, **({"names": feature["names"]} if key == "action" else {})} for key, feature in RICH.items()
    }
    columns |= {key: {"from": key, "kind": "image"} for key, feature in RICH.items() if feature["dtype"] == "image"}
    options = {"episodes": "/runs/run_*", "task_from": "attr:prompt"}
    Pipeline(
        source=Hdf5Reader(files=[str(recording)], layout="generic", columns=columns, options=options, fps=FPS),
        writer=ShardWriter(robot_type="recorded", video=VideoSettings(codec="libx264")),
        formats=[open_dataset(base).version],
        append_to=base,
    ).run(output=out, workers=2)


@pytest.mark.parametrize("release", RELEASES)
def test_old_and_new_frames(release: str, tmp_path: Path) -> None:
    need([release])
    is_v21 = release in V21_RELEASES
    recorder = Recorder(tmp_path / "recorded")
    limits = {} if is_v21 else SMALL_FILES
    recorder.record(
        "base", [10, 12, 6, 15], ["y", "z"], RICH, FPS, codec="h264", limits=limits, resume_at=[2], first=100
    )
    assert recorder.run(release) == {}
    base, old = recorder.made("base")
    before = tree(base)
    new = imagine(RICH, [7, 9], ["z", "more"], FPS, 500)
    write_recording(tmp_path / "new.hdf5", new)
    append(tmp_path / "new.hdf5", base, tmp_path / "out")
    after = tree(tmp_path / "out")
    assert tree(base) == before
    kept = {path: content for path, content in before.items() if path.startswith(("data/", "videos/"))}
    assert len(kept) >= 6
    assert kept.items() < after.items()
    assert [one for one in verify(tmp_path / "out", deep=True).findings if one.severity == "error"] == []
    truth = old + new
    check_episodes(tmp_path / "out", truth)
    for judge in (release,) if is_v21 else V30_RELEASES:
        done = run_script(judge, "judge.py", tmp_path / "out", tmp_path / f"{judge}.npz", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        seen = Seen(tmp_path / f"{judge}.npz", judge)
        check_facts(seen, truth)
        check_access(seen, truth)
        for backend in BACKENDS:
            check_rows(seen, truth, backend)
            check_frames(seen, truth, backend)
