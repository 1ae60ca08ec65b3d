"""Digests of episodes: those of 0.2.1, of links, and of attributes with references."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.hdf5_file import open_hdf5, source_digests
from robotrove.formats.hdf5.layouts.generic import GenericLayout
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.samples import write_sample

ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)


def write_attributes(group: h5py.Group) -> None:
    """Give a group attributes of every type that 0.2.1 had a rule for."""
    group["actions"] = ROWS
    values: dict[str, Any] = {
        "text": "größer",
        "bytes": np.bytes_(b"raw\x00tail"),
        "texts": ["a", "bé"],
        "matrix": ROWS[:2].astype(">f8"),
        "flag": True,
        "flags": np.array([True, False]),
        "number": np.int16(-3),
        "nothing": np.zeros((0, 3)),
        "empty": h5py.Empty("f4"),
        "region": group["actions"].regionref[1:3],
        "object": group.ref,
        "plain": np.array([(1, 2.5), (3, 4.5)], dtype=[("n", "i4"), ("x", "f8")]),
    }
    for name, value in values.items():
        group.attrs[name] = value
    kind = h5py.enum_dtype({"FAILED": 0, "DONE": 1}, basetype="i1")
    group.attrs.create("status", 1, dtype=kind)
    group.attrs.create("lists", np.array([ROWS[0], ROWS[1, :2]], object), dtype=h5py.vlen_dtype(np.float32))
    group.attrs.create("references", [group.ref, group.ref], dtype=h5py.ref_dtype)


def write_hard_links(group: h5py.Group) -> None:
    """Give a group objects with several names: a dataset, a group, itself, and a dataset of another group."""
    group["obs/q"] = ROWS
    group["again"] = group["obs/q"]
    group["all"] = group["obs"]
    group["obs/self"] = group
    group.file["store/far"] = ROWS + 1
    group["obs/far"] = group.file["store/far"]
    group["obs/up"] = group.file["store"]


def write_storage(group: h5py.Group) -> None:
    """Give a group datasets of other types and storage."""
    group.create_dataset("packed", data=ROWS, chunks=(2, 3), compression="gzip", shuffle=True)
    group.create_dataset("never", (4, 2), "i8", fillvalue=7)
    group["scalar"], group["none"], group["null"] = 3, np.zeros((0, 2)), h5py.Empty("f8")
    group.create_dataset("jpeg", (2,), h5py.vlen_dtype(np.uint8))[0] = [1, 2, 3]
    group.create_dataset("texts", data=["one", "two"], dtype=h5py.string_dtype())
    group["table"] = np.zeros(3, dtype=[("a", "f4"), ("b", "i2", (2,))])
    group["complex"] = ROWS + 1j
    group["wide"] = np.zeros((2, 20_000))
    group["type"] = np.dtype("f4")


# By 0.2.1, of the files of these functions and of samples with five frames of 48x48.
GOLDEN = {
    write_attributes: "cefe964252b2d5152dcf053ecfa8bb01699a28b1b72b3a69dda0fa729b19c32c",
    write_hard_links: "b7e7eccf9cf64d2918a189579f24671c4f76d0d0e4e0a3adc00053a9ad573c25",
    write_storage: "cf6c6742d150d10ef1d57426becc90d9c3e90f3ab08c3505f7b74dd161acaef8",
}
SAMPLES = {
    ("isaaclab", "data/demo_0"): "3047d6415abd35d36a9d418afe7cd814495f26edd5baec2017b925491d5d26d4",
    ("leisaac_lekiwi", "data/demo_0"): "5e9c33657ee31f27da82e1d5ba7580a5a4964240a147e2b6e74a173386e371c2",
    ("arena_gr1", "data/demo_0"): "50b27b4dc25442df16311a2ba032cd33892fc0b121df98a0a66009f48bf24a99",
    ("robomimic", "data/demo_0"): "70e1e1740947283f1bce474d1d26a3dc28c737c4a2bc6998d9138ef58cb29d40",
    ("libero", "data/demo_0"): "1c6a0cf495241b7b8f61bf37c1408720e4cf7082481302a239a1fe03ec47b381",
    ("piper_raw", "episode_0"): "6ac1c7fa6252b054d519f9d4726b5c36e7d8691352e27fbed9e921b0a04290e4",
    ("aloha", "/"): "eb2ceafd84d9112c6de728d1322811cfe945f61938583ae3228669f78f45eb9f",
    ("generic", "/"): "b71db39d44a20eb7fd149f257e390c4e39ac182c9d0dc972a22f455083767fbe",
}


@pytest.mark.parametrize("write", GOLDEN)
def test_digests_of_0_2_1_stay(tmp_path: Path, write: Callable[[h5py.Group], None]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file.create_group("data/demo_0"))
        assert source_digests(file["data/demo_0"]) == (GOLDEN[write], GOLDEN[write])


@pytest.mark.parametrize(("layout", "key"), SAMPLES)
def test_digests_of_samples_stay(tmp_path: Path, layout: str, key: str) -> None:
    path = write_sample(layout, tmp_path, episodes=1, frames=5, height=48, width=48)[0]
    with open_hdf5(path, locking=False) as file:
        assert source_digests(file[key]) == (SAMPLES[layout, key], SAMPLES[layout, key])


def with_scale(path: Path, shift: float = 0) -> None:
    """Write an episode as netCDF-4 does: a dimension scale, whose attributes are references."""
    with h5py.File(path, "w") as file:
        group = file.create_group("data/demo_0")
        group["actions"], group["time"] = ROWS + shift, np.arange(6) / 10
        group["time"].make_scale("t")
        group["actions"].dims[0].attach_scale(group["time"])


def with_table(path: Path, text: str = "left") -> None:
    """Write an episode with an attribute of records of a text, a reference, numbers, and a record."""
    inner = np.dtype([("q", "f4", (2,)), ("to", h5py.ref_dtype)])
    kind = np.dtype([("arm", h5py.string_dtype()), ("at", h5py.ref_dtype), ("more", inner)])
    with h5py.File(path, "w") as file:
        group = file.create_group("data/demo_0")
        group["actions"] = ROWS
        records = np.array([(text, group.ref, ((1, 2), group.ref))], dtype=kind)
        group.attrs.create("arms", records, dtype=kind)


def with_lists(path: Path, number: int = 2) -> None:
    """Write an episode with an attribute of records of lists of numbers."""
    kind = np.dtype([("rows", h5py.vlen_dtype(np.int32))])
    records = np.empty(1, kind)
    records["rows"][0] = np.array([1, number], np.int32)
    with h5py.File(path, "w") as file:
        group = file.create_group("data/demo_0")
        group["actions"] = ROWS
        group.attrs.create("lists", records, dtype=kind)


def digest(path: Path) -> str:
    with open_hdf5(path, locking=False) as file:
        return source_digests(file["data/demo_0"])[0]


def in_another_process(path: Path) -> str:
    code = (
        "import sys; from pathlib import Path\nfrom robotrove.tests.formats.hdf5.test_hdf5_file_digests import digest\n"
        "kept = [bytes(size) for size in range(9999)]\nprint(digest(Path(sys.argv[1])))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize(("write", "other"), [(with_scale, 1), (with_table, "right"), (with_lists, 3)])
def test_an_attribute_with_references_is_the_same_in_every_process(tmp_path: Path, write: Any, other: Any) -> None:
    write(tmp_path / "a.h5")
    write(tmp_path / "b.h5", other)
    shutil.copy(tmp_path / "a.h5", tmp_path / "copy.h5")
    found = digest(tmp_path / "a.h5")
    assert in_another_process(tmp_path / "copy.h5") == digest(tmp_path / "copy.h5") == found
    assert digest(tmp_path / "b.h5") != found


def linked(folder: Path, name: str, link: Any) -> tuple[str, str]:
    """Return the digests of an episode with numbers behind a link."""
    with h5py.File(folder / name, "w") as file:
        file["store/force"] = ROWS + 5
        file["data/demo_0/actions"] = ROWS
        if link is not None:
            file["data/demo_0/force"] = link
        return source_digests(file["data/demo_0"])


def test_what_lies_behind_a_link_counts(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["same"], file["group/force"], file["ends"] = ROWS + 5, ROWS + 5, ROWS + 5
        file["ends"][-1] = 0
        file["told"] = ROWS + 5
        file["told"].attrs["unit"] = "N"
    links = {
        "none": None,
        "soft": h5py.SoftLink("/store/force"),
        "external": h5py.ExternalLink("other.h5", "/same"),
        "last row": h5py.ExternalLink("other.h5", "/ends"),
        "attribute": h5py.ExternalLink("other.h5", "/told"),
        "group": h5py.ExternalLink("other.h5", "/group"),
        "nowhere": h5py.SoftLink("/store/gone"),
    }
    found = {name: linked(tmp_path, f"{name}.h5", link) for name, link in links.items()}
    assert len({before for _, before in found.values()}) == 1  # 0.2.2 saw none of them
    assert found["none"][0] == found["none"][1]
    now = {name: digests[0] for name, digests in found.items()}
    assert now["soft"] == now["external"]  # the content counts, not its place
    assert len(set(now.values())) == len(links) - 1


def test_an_attribute_with_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    found = []
    for number, value in enumerate((1, 1, 2)):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["actions"] = ROWS
            file.attrs["recorder"] = "x"
            scalar = h5py.h5s.create(h5py.h5s.SCALAR)
            h5py.h5a.create(file.id, b"gr\xf6sse", h5py.h5t.STD_I32LE, scalar).write(np.array(value, "i4"))
            found.append(source_digests(file["/"])[0])
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("name", ["gone.raw", "pipe"])
def test_a_raw_file_that_is_missing_counts_where_a_column_reads_it(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")  # HDF5 would wait for ever
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["actions"] = ROWS
        file.create_dataset("unused", ROWS.shape, "f4", external=[(name, 0, ROWS.nbytes)])
    with open_hdf5(tmp_path / "a.h5", locking=True) as file:
        scanned = GenericLayout(columns={"action": ColumnSpec(source="actions")}).scan(file, "/")
        assert scanned.episode is not None
        assert np.array_equal(scanned.episode.columns["action"].read(), ROWS)
        scanned = GenericLayout(columns={"action": ColumnSpec(source="unused")}).scan(file, "/")
        assert scanned.rejection is not None
        assert scanned.rejection.reason == "missing_file"
        assert f"from {name}, and this file is missing" in scanned.rejection.detail


def short(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("part.h5"), "w") as part:
        part["q"] = np.repeat(ROWS, 2, axis=0)[:8]
    layout = h5py.VirtualLayout(ROWS.shape, "f4")
    layout[:] = h5py.VirtualSource("part.h5", "q", (12, 4))[::2]
    file.create_virtual_dataset("q", layout)


def circle(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(ROWS.shape, "f4")
    layout[:] = h5py.VirtualSource(".", "q", ROWS.shape)
    file.create_virtual_dataset("q", layout)


READ_SAFELY = """
import sys
from pathlib import Path
from robotrove.formats.hdf5.hdf5_file import open_hdf5
from robotrove.formats.hdf5.layouts.generic import GenericLayout
from robotrove.formats.hdf5.mapping import ColumnSpec

with open_hdf5(Path(sys.argv[1]), locking=True) as file:
    unused = GenericLayout(columns={"action": ColumnSpec(source="actions")}).scan(file, "/")
    print(unused.episode.columns["action"].read().shape, len(unused.episode.content_digest()))
    print(GenericLayout(columns={"action": ColumnSpec(source="q")}).scan(file, "/").rejection.reason)
"""


@pytest.mark.parametrize("write", [short, circle])
def test_virtual_rows_that_hdf5_fails_on_are_not_read(tmp_path: Path, write: Callable[[h5py.File], None]) -> None:
    """In a process of its own, since HDF5 takes it down with it."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["actions"] = ROWS
        write(file)
    command = [sys.executable, "-c", READ_SAFELY, str(tmp_path / "a.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(6, 4) 64", "missing_rows"]


def test_an_episode_that_repack_renamed_is_the_same(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name in ("demo_0", "demo_1", "demo_2"):
            file[f"{name}/actions"] = ROWS
        file["demo_1"].attrs["robotrove_renamed_from"] = "b.hdf5:/demo_0"
        file["demo_2/actions"].attrs["robotrove_renamed_from"] = "of another tool"
        digests = [source_digests(file[name]) for name in file]
    assert digests[0] == digests[1]
    assert digests[2] != digests[0]
