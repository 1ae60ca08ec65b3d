from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.rewrite.object_copy import ObjectCopy
from robotrove.formats.hdf5.samples import SAMPLES, write_sample
from robotrove.tests.support.array_types import write_array
from robotrove.tests.support.hdf5_equality import differences
from robotrove.tests.support.missing_filter import packed_by_zfp


def copied(source: Path, target: Path, moved: Mapping[str, str]) -> list[str]:
    """Copy groups of a file into a new file, and return the notes."""
    with h5py.File(source, "r") as file, h5py.File(target, "w") as new:
        copy = ObjectCopy(file, new, target.parent, moved)
        for path in moved:
            copy.copy(path)
        copy.finish()
        return copy.notes


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("layout", SAMPLES)
def test_whole_samples(layout: str, compression: str | None, tmp_path: Path) -> None:
    for path in write_sample(layout, tmp_path / "in", episodes=2, frames=12, compression=compression):
        assert copied(path, tmp_path / "out.hdf5", {"": ""}) == []
        with h5py.File(path) as one, h5py.File(tmp_path / "out.hdf5") as other:
            assert differences(one["/"], other["/"]) == []


def _write_storage(file: h5py.File) -> h5py.Group:
    """Write an episode with every way to store a dataset that needs no other file."""
    demo = file.create_group("data/demo_0", track_order=True)
    demo.attrs.update({"é": 1.5, "words": ["a", "ü"], "empty": h5py.Empty("f4"), "flags": np.array([True, False])})
    demo.attrs.create("fixed", b"ab", dtype="S5")
    demo.attrs.create("enum", 1, dtype=h5py.enum_dtype({"no": 0, "yes": 1}, "u1"))
    demo.attrs["ragged"] = np.array([np.arange(3), np.arange(1)], dtype=object).astype(h5py.vlen_dtype(np.int64))
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 9, (11, 6)).astype(np.uint8)
    demo.create_dataset("z_first", data=rows)
    demo.create_dataset(
        "gzip", data=rows, chunks=(4, 4), compression=7, shuffle=True, fletcher32=True, maxshape=(None, 9)
    )
    demo.create_dataset("scaled", data=rows.astype("i2"), chunks=(5, 6), scaleoffset=0)
    demo.create_dataset("big", data=rows.astype(">f8"), chunks=(3, 3), compression="lzf", fillvalue=2.5)
    sparse = demo.create_dataset(
        "sparse", (100, 4), "f2", chunks=(10, 4), fillvalue=7, compression="gzip", fill_time="never"
    )
    sparse[20:25] = 1
    demo.create_dataset("unwritten", (1000, 1000), "f8")
    demo.create_dataset("none", (0, 3), "f4", maxshape=(None, 3))
    demo["scalar"], demo["text"], demo["null"] = 3, "hé", h5py.Empty("i8")
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    small = h5py.h5d.create(demo.id, b"compact", h5py.h5t.STD_I32BE, h5py.h5s.create_simple((3,)), compact)
    small.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(3, dtype="i4"))
    pictures = demo.create_dataset("jpeg", (40,), h5py.vlen_dtype(np.uint8))
    for row in range(40):
        pictures[row] = rng.integers(0, 255, row * 50)
    lines = demo.create_dataset("lines", (9, 2), h5py.string_dtype(), chunks=(2, 2), compression="gzip")
    lines[4:6] = [["a", "ü"], ["", "b\n"]]
    table = np.zeros(3, [("t", "f8"), ("name", h5py.string_dtype("ascii")), ("xy", "f4", (2,))])
    table["name"], table["xy"] = [b"x", b"yy", b""], np.arange(6).reshape(3, 2)
    demo["table"] = table
    write_array(demo, "arrays", np.arange(24.0).reshape(4, 6), h5py.h5t.IEEE_F32BE, (6,), chunks=(2,))
    demo["kind"] = np.dtype([("q", "f4", (4,))])
    demo["kind"].attrs["order"] = "wxyz"
    demo.create_dataset("typed", data=np.zeros(2, demo["kind"].dtype), dtype=demo["kind"])
    demo["obs/twice"] = demo["gzip"]
    demo["obs/up"] = demo
    demo["obs/soft"], demo["obs/relative"] = h5py.SoftLink("/data/demo_0/gzip"), h5py.SoftLink("twice")
    return demo


def test_storage(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        _write_storage(file)
        file["data"].attrs["env_args"], file.attrs["format_version"] = '{"env_name": "A"}', 1
        file["data/demo_1/x"] = 1
    assert copied(tmp_path / "a.hdf5", tmp_path / "b.hdf5", {"data/demo_0": "data/demo_0"}) == []
    with h5py.File(tmp_path / "a.hdf5") as one, h5py.File(tmp_path / "b.hdf5") as other:
        assert differences(one["data/demo_0"], other["data/demo_0"]) == []
        assert list(other) == ["data"]
        assert list(other["data"]) == ["demo_0"]
        assert other["data"].attrs["env_args"] == '{"env_name": "A"}'
        assert other.attrs["format_version"] == 1
        assert other["data/demo_0/obs/soft"] == other["data/demo_0/gzip"] == other["data/demo_0/obs/twice"]
        assert other["data/demo_0/obs/up"] == other["data/demo_0"]
        assert h5py.h5t.TypeID.equal(other["data/demo_0/kind"].id, other["data/demo_0/typed"].id.get_type())
        assert other["data/demo_0/typed"].id.get_type().committed()


@pytest.mark.parametrize(
    "filters", [{}, {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}]
)
def test_large_chunks(filters: dict[str, object], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 3, (3, 2**18, 17), "u1")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        made = file.create_dataset("x", (90, 2**18, 17), "u1", chunks=(45, 2**18, 17), fillvalue=7, **filters)
        made[40:43] = rows
        made.attrs["what"] = h5py.Empty("f4")
    copied(tmp_path / "a.hdf5", tmp_path / "b.hdf5", {"": ""})
    with h5py.File(tmp_path / "a.hdf5") as one, h5py.File(tmp_path / "b.hdf5") as other:
        assert differences(one["/"], other["/"]) == []
        assert other["x"].id.get_num_chunks() == 1
        assert np.array_equal(other["x"][40:43], rows)
        assert other["x"][44, 0, 0] == other["x"][89, 0, 0] == 7


_MEASURED = """
import re, sys, h5py
from pathlib import Path
from robotrove.formats.hdf5.rewrite.object_copy import ObjectCopy

def peak():
    return int(re.search("VmHWM: *([0-9]+)", Path("/proc/self/status").read_text().expandtabs())[1])

folder = Path(sys.argv[1])
with h5py.File(folder / "a.hdf5") as old, h5py.File(folder / "b.hdf5", "w") as new:
    before = peak()
    ObjectCopy(old, new, folder, {"": ""}).copy("")
    print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory of a process as Linux tells it")
@pytest.mark.parametrize("options", [{"chunks": (3 * 2**27,)}, {"chunks": (3 * 2**27,), "compression": "gzip"}, {}])
def test_memory_does_not_grow_with_a_chunk(options: dict[str, object], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        made = file.create_dataset("x", (3 * 2**27,), "u1", **options)
        if "compression" in options:
            made.id.write_direct_chunk((0,), np.random.default_rng(0).bytes(3 * 2**26))
        else:
            made[-10:] = range(10)
    done = subprocess.run([sys.executable, "-c", _MEASURED, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 * 1024
    with h5py.File(tmp_path / "a.hdf5") as one, h5py.File(tmp_path / "b.hdf5") as other:
        assert one["x"].id.get_storage_size() == other["x"].id.get_storage_size()
        if "compression" in options:
            assert one["x"].id.read_direct_chunk((0,)) == other["x"].id.read_direct_chunk((0,))
        else:
            assert other["x"][-11:].tolist() == [0, *range(10)]


def test_a_filter_that_hdf5_lacks(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        packed_by_zfp(file, (4, 3))
    copied(tmp_path / "a.hdf5", tmp_path / "b.hdf5", {"": ""})
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert file["rows"].id.read_direct_chunk((0, 0)) == (0, b"packed")
        assert file["rows"].id.get_create_plist().get_filter(0)[0] == 32013


def test_references_and_dimension_scales(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo["time"], demo["joints"] = np.arange(5.0), np.arange(20.0).reshape(5, 4)
        demo["time"].make_scale("seconds")
        demo["joints"].dims[0].attach_scale(demo["time"])
        demo["joints"].dims[0].label = "t"
        file["data/demo_1/joints"] = np.zeros(5)
        demo.attrs["best"], demo.attrs["other"] = demo["joints"].ref, file["data/demo_1"].ref
        demo["refs"] = np.array([demo["time"].ref, file["data/demo_1"].ref, h5py.Reference()], h5py.ref_dtype)
        demo["part"] = np.array([demo["joints"].regionref[1:3, 2]], h5py.regionref_dtype)
    notes = copied(tmp_path / "a.hdf5", tmp_path / "b.hdf5", {"data/demo_0": "data/demo_7"})
    assert notes == [
        "attribute 'other' of /data/demo_7: references to what is not copied are null",
        "data/demo_7/refs: references to what is not copied are null",
    ]
    with h5py.File(tmp_path / "b.hdf5") as file:
        demo = file["data/demo_7"]
        assert demo["joints"].dims[0][0] == demo["time"]
        assert demo["time"].attrs["NAME"] == b"seconds"
        assert demo["joints"].dims[0].label == "t"
        assert file[demo["time"].attrs["REFERENCE_LIST"][0][0]] == demo["joints"]
        assert file[demo.attrs["best"]] == demo["joints"]
        assert not demo.attrs["other"]
        assert file[demo["refs"][0]] == demo["time"]
        assert not demo["refs"][1]
        assert not demo["refs"][2]
        assert demo["joints"][demo["part"][0]].tolist() == [[6.0], [10.0]]


def test_lists_of_numbers_in_another_byte_order(tmp_path: Path) -> None:
    """h5py 3.16 reads them as if they had the machine's, so that its values are no test: the bytes are compared."""
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        rows = demo.create_dataset("rows", (2,), h5py.vlen_dtype(">f4"))
        rows[0], rows[1] = np.array([1.5, 2.5, 3.5], "f4"), np.array([4.5], "f4")
        rows.attrs["unit"] = "m"
        demo.create_dataset("bytes", (1,), h5py.vlen_dtype("u1"))[0] = [1, 2]
        demo.attrs.create("list", np.array([np.arange(2), np.arange(3)], object), dtype=h5py.vlen_dtype(">i8"))
    assert copied(tmp_path / "a.hdf5", tmp_path / "out.hdf5", {"data/demo_0": "data/demo_0"}) == [
        "attribute 'list' of /data/demo_0: lists of numbers in another byte order are not copied"
    ]
    for path in (tmp_path / "a.hdf5", tmp_path / "out.hdf5"):
        assert np.array([1.5, 2.5, 3.5], ">f4").tobytes() in path.read_bytes()
        with h5py.File(path) as file:
            assert file["data/demo_0/rows"].id.get_type().get_super().dtype == ">f4"
            assert file["data/demo_0/rows"].attrs["unit"] == "m"
            assert file["data/demo_0/bytes"][0].tolist() == [1, 2]


def test_references_to_deleted_objects_are_null(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        file["gone"] = demo["actions"] = np.arange(3)
        demo["refs"] = np.array([file["gone"].ref, demo["actions"].ref], h5py.ref_dtype)
        demo.attrs["region"] = file["gone"].regionref[0:2]
        del file["gone"]
    assert copied(tmp_path / "a.hdf5", tmp_path / "out.hdf5", {"data/demo_0": "data/demo_0"}) == [
        "attribute 'region' of /data/demo_0: references to what is not copied are null",
        "data/demo_0/refs: references to what is not copied are null",
    ]
    with h5py.File(tmp_path / "out.hdf5") as file:
        demo = file["data/demo_0"]
        assert [bool(reference) for reference in demo["refs"]] == [False, True]
        assert file[demo["refs"][1]].name == "/data/demo_0/actions"
        assert not demo.attrs["region"]


@pytest.mark.parametrize("is_relative", [False, True])
def test_other_files(is_relative: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in/raw.bin").write_bytes(np.arange(6, dtype="f4").tobytes())
    stamp = os.stat(tmp_path / "in/raw.bin").st_mtime_ns
    with h5py.File(tmp_path / "in/other.hdf5", "w") as file:
        file["rows"] = np.arange(8.0)
    with h5py.File(tmp_path / "in/a.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo["link"], demo["lost"] = h5py.ExternalLink("other.hdf5", "/rows"), h5py.ExternalLink("lost.hdf5", "/x")
        demo["own"] = np.arange(4.0)
        file["far/rows"] = np.arange(3.0)
        for name, where, path, length in (
            ("near", "other.hdf5", "rows", 8),
            ("here", ".", "/data/demo_0/own", 4),
            ("far", ".", "/far/rows", 3),
        ):
            layout = h5py.VirtualLayout((length + 1,), "f8")
            layout[:length] = h5py.VirtualSource(where, path, (length,))
            demo.create_virtual_dataset(f"virtual_{name}", layout, fillvalue=-1)
        demo.create_dataset("raw", (2, 3), "f4", external=[("raw.bin", 0, h5py.h5f.UNLIMITED)])
        file["aside"] = h5py.ExternalLink("other.hdf5", "/")
        demo["beyond"] = h5py.SoftLink("/aside/rows")
        demo["all"] = h5py.SoftLink("/data")
        demo["out"], demo["nowhere"] = h5py.SoftLink("/far/rows"), h5py.SoftLink("/not/here")
    here = Path() if is_relative else tmp_path
    notes = copied(here / "in/a.hdf5", here / "out/b.hdf5", {"data/demo_0": "data/demo_1"})
    assert {note.split(":")[0].removeprefix("data/demo_1/") for note in notes} == {
        "link", "lost", "virtual_near", "virtual_far", "raw", "beyond", "out", "nowhere",
    }  # fmt: skip
    with h5py.File(tmp_path / "out/b.hdf5") as file:
        demo = file["data/demo_1"]
        assert demo["link"][()].tolist() == list(range(8))
        assert demo.get("lost", getlink=True).filename == "../in/lost.hdf5"
        assert demo["virtual_near"][()].tolist() == [*range(8), -1.0]
        assert demo["virtual_far"][()].tolist() == [0.0, 1.0, 2.0, -1.0]
        assert demo["virtual_here"][()].tolist() == [0.0, 1.0, 2.0, 3.0, -1.0]
        assert demo["virtual_here"].virtual_sources()[0][1:3] == (".", "/data/demo_1/own")
        assert demo["beyond"][()].tolist() == list(range(8))
        assert demo.get("beyond", getlink=True).filename == "../in/other.hdf5"
        assert demo["raw"].external[0][0] == "../in/raw.bin"
        assert demo["out"][()].tolist() == [0.0, 1.0, 2.0]
        assert demo.get("all", getlink=True).path == "/data"
        assert demo.get("out", getlink=True).__class__ is h5py.HardLink
        assert demo.get("nowhere", getlink=True).path == "/not/here"
    assert os.stat(tmp_path / "in/raw.bin").st_mtime_ns == stamp


@pytest.mark.parametrize("texts", [[], ["demo_3"], ["demo_1", "demo_100", "demo_é", "demo_4"]])
def test_lists_with_other_texts(texts: list[str], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        names = [b"demo_1", b"demo_2", b"demo_3"]
        file.create_dataset(
            "mask/open", data=names, dtype=h5py.string_dtype(), maxshape=(None,), chunks=(2,), compression=4
        )
        file.create_dataset(
            "mask/fixed", data=np.array(names), maxshape=(5,), chunks=(2,), fletcher32=True, fillvalue=b"-"
        )
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(7)
        ended = h5py.h5d.create(file["mask"].id, b"ended", kind, h5py.h5s.create_simple((3,)))
        ended.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(names, "S7"), kind)
        file["mask/open"].attrs["seed"] = 1
    with h5py.File(tmp_path / "a.hdf5") as file, h5py.File(tmp_path / "b.hdf5", "w") as new:
        copy = ObjectCopy(file, new, tmp_path, {})
        for name in ("open", "fixed", "ended"):
            copy.copy_list(f"mask/{name}", texts)
    with h5py.File(tmp_path / "b.hdf5") as file:
        mask = file["mask"]
        assert {name: [text.decode() for text in mask[name]] for name in mask} == dict.fromkeys(mask, texts)
        assert sorted(mask) == ["ended", "fixed", "open"]
        longest = max([len(text.encode()) for text in texts], default=0)
        assert mask["open"].dtype == h5py.string_dtype()
        assert mask["fixed"].dtype == f"S{max(6, longest)}"
        assert mask["ended"].id.get_type().get_size() == max(7, longest + 1)
        assert mask["ended"].id.get_type().get_strpad() == h5py.h5t.STR_NULLTERM
        assert [mask[name].maxshape for name in ("open", "fixed", "ended")] == [(None,), (5,), (len(texts),)]
        assert (mask["open"].chunks, mask["open"].compression_opts) == ((2,), 4)
        assert (mask["fixed"].chunks, mask["fixed"].fletcher32, mask["fixed"].fillvalue) == ((2,), True, b"-")
        assert mask["ended"].chunks is None
        assert mask["open"].attrs["seed"] == 1


def test_names_that_are_not_utf8_and_deep_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo.id.links.create_soft(b"soft\xff", b"/data/demo_0/group\xfe")
        h5py.h5g.create(demo.id, b"group\xfe")
        for _ in range(1500):
            demo = demo.create_group("d")
        demo.attrs["depth"] = 1500
    assert copied(tmp_path / "a.hdf5", tmp_path / "b.hdf5", {"data/demo_0": "data/demo_1"}) == []
    with h5py.File(tmp_path / "b.hdf5") as file:
        demo = file["data/demo_1"]
        assert demo.id.links.get_val(b"soft\xff") == b"/data/demo_1/group\xfe"
        assert isinstance(h5py.h5o.open(demo.id, b"soft\xff"), h5py.h5g.GroupID)
        for _ in range(1500):
            demo = demo["d"]
        assert demo.attrs["depth"] == 1500


def test_virtual_rows_of_a_folder_with_a_percent_sign(tmp_path: Path) -> None:
    (tmp_path / "10%b").mkdir()
    (tmp_path / "out").mkdir()
    with h5py.File(tmp_path / "10%b/other.hdf5", "w") as file:
        file["rows"] = np.arange(8.0)
    with h5py.File(tmp_path / "10%b/a%.hdf5", "w") as file:
        file["aside"] = np.arange(3.0)
        for name, where, path, length in (("near", "other.hdf5", "rows", 8), ("aside", ".", "/aside", 3)):
            layout = h5py.VirtualLayout((length,), "f8")
            layout[:] = h5py.VirtualSource(where, path, (length,))
            file.require_group("data/demo_0").create_virtual_dataset(name, layout, fillvalue=-1)
    copied(tmp_path / "10%b/a%.hdf5", tmp_path / "out/b.hdf5", {"data/demo_0": "data/demo_0"})
    with h5py.File(tmp_path / "out/b.hdf5") as file:
        assert file["data/demo_0/near"][()].tolist() == list(range(8))
        assert file["data/demo_0/aside"][()].tolist() == [0.0, 1.0, 2.0]
