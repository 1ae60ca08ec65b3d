"""The checks of the reader switched off, so that it believes HDF5 again: the second opinion tells what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5 import layout, mapping
from robotrove.formats.hdf5.columns import NumericColumn
from robotrove.formats.hdf5.layouts import generic, isaaclab
from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.pipelines.runs import run_here, write_pipeline
from robotrove.verification.source.source_check import check_source

T = 8
Q = np.arange(2 * T, dtype="f4").reshape(T, 2) + 1
FRAMES = np.stack(list(pictures(T, 48, 48, camera=0)))


def linked(file: h5py.File, folder: Path) -> None:
    """A camera behind each kind of link."""
    with h5py.File(folder / "b.h5", "w") as other:
        other["front"] = other["cams/left"] = FRAMES
    file["store/wrist"] = FRAMES
    obs = file["data/demo_0/obs"]
    obs["front"] = h5py.ExternalLink("b.h5", "/front")
    obs["wrist"] = h5py.SoftLink("/store/wrist")
    obs["more"] = h5py.ExternalLink("b.h5", "/cams")
    obs["gone"] = h5py.ExternalLink("gone.h5", "/front")


def virtual(file: h5py.File, folder: Path) -> None:
    """A state whose source has another name by now."""
    with h5py.File(folder / "b.h5", "w") as other:
        other["q"] = Q
    source = h5py.VirtualLayout((T, 2), "f4")
    source[:] = h5py.VirtualSource("b.h5", "joints", shape=(T, 2))
    file.create_virtual_dataset("data/demo_0/obs/virtual", source)


def external(file: h5py.File, folder: Path) -> None:
    """A state whose file ends after five rows."""
    file.create_dataset("data/demo_0/obs/external", (T, 2), "f4", external=[(str(folder / "q.raw"), 0, Q.nbytes)])
    (folder / "q.raw").write_bytes(Q[:5].tobytes())


def unwritten(file: h5py.File, folder: Path) -> None:
    """A state with room for more rows than were written."""
    file.create_dataset("data/demo_0/obs/unwritten", (T, 2), "f4", chunks=(2, 2))[:4] = Q[:4]


def never(file: h5py.File, folder: Path) -> None:
    """A state that was never written."""
    file.create_dataset("data/demo_0/obs/never", (T, 2), "f4")


def epoch(file: h5py.File, folder: Path) -> None:
    """Times that are equal in float32."""
    file["data/demo_0/obs/epoch"] = 1758531234.25 + np.arange(T) / 30


def convert(folder: Path, make: Callable[[h5py.File, Path], None], state: str) -> list[tuple[str, str]]:
    """Convert a recording, and return what the second opinion tells: features and sentences."""
    with h5py.File(folder / "a.hdf5", "w") as file:
        group = file.create_group("data/demo_0")
        group.create_group("initial_state")
        group["actions"] = group["obs/joint_pos"] = Q
        make(file, folder)
    source = {"task": "reach", "fps": 30}
    if state:
        source["columns"] = {"action": "actions", "observation.state": f"obs/{state}"}  # type: ignore[assignment]
    pipeline = write_pipeline(folder, [folder / "a.hdf5"], source=source)
    assert run_here(pipeline, folder / "dataset").kept == 1
    report = check_source(folder / "dataset", finished_run(folder / "dataset.run"))
    assert all(problem.message.startswith("second opinion: ") for problem in report.problems)
    return [(problem.feature, problem.message) for problem in report.problems]


@pytest.fixture(autouse=True)
def believing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off what the reader checks, wherever it is called."""
    for module in (layout, mapping, generic):
        for name in {"check_rows", "_check_outside_files"} & vars(module).keys():
            monkeypatch.setattr(module, name, lambda *args: None)
    if hasattr(NumericColumn, "loss"):
        monkeypatch.setattr(NumericColumn, "loss", lambda *args: None)


CASES = {
    "virtual": (virtual, "b.h5:joints: b.h5:/joints leads to nothing"),
    "external": (external, "a.hdf5:/data/demo_0/obs/external has no data for rows 5..7: "),
    "unwritten": (unwritten, "a.hdf5:/data/demo_0/obs/unwritten: 4 rows between 4 and 7 have no stored chunks"),
    "never": (never, "a.hdf5:/data/demo_0/obs/never has no storage: it was never written"),
    "epoch": (epoch, "float32 loses its digits (row 0, entry 0: 1758531234.25 became 1758531200.0)"),
}


@pytest.mark.parametrize("state", CASES)
def test_a_state_that_is_not_what_it_seems(tmp_path: Path, state: str) -> None:
    make, expected = CASES[state]
    [(feature, message)] = convert(tmp_path, make, state)
    assert feature == "observation.state"
    assert expected in message


def test_cameras_behind_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_links(group: h5py.Group, *more: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        group.visititems(found.__setitem__)  # which follows no links
        return {path: item for path, item in found.items() if isinstance(item, h5py.Dataset)}

    for module in (layout, isaaclab):
        for name in {"datasets", "searched_datasets", "objects"} & vars(module).keys():
            monkeypatch.setattr(module, name, without_links)
    told = convert(tmp_path, linked, "")
    assert [feature for feature, _ in told] == [""] * 4
    paths = [message.split()[2] for _, message in told]
    assert sorted(paths) == ["obs/front", "obs/gone", "obs/more/left", "obs/wrist"]
    assert next(message for path, (_, message) in zip(paths, told, strict=True) if path == "obs/gone").startswith(
        "second opinion: obs/gone is a link to nothing (a.hdf5:/data/demo_0/obs/gone leads to "
    )
