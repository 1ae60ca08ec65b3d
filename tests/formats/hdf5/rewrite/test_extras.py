from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.rewrite.extras import Extras, read_extras
from robotrove.tests.support.missing_filter import packed_by_zfp

KEYS = ["data/demo_0", "data/demo_1"]


def extras(path: Path, build: Callable[[h5py.File], object]) -> Extras:
    """Write a file with two episodes and with what `build` adds, and read what is beside them."""
    with h5py.File(path, "w") as file:
        for key in KEYS:
            file[f"{key}/actions"] = np.zeros((3, 2))
        build(file)
    with h5py.File(path) as file:
        return read_extras(file, KEYS)


def _opaque(group: h5py.Group, content: bytes) -> None:
    kind = h5py.h5t.create(h5py.h5t.OPAQUE, 3)
    kind.set_tag(b"lab")
    made = h5py.h5a.create(group.id, b"opaque\xff", kind, h5py.h5s.create(h5py.h5s.SCALAR))
    made.write(np.array(content, "V3"), kind)


def _words(file: h5py.File, words: list[str]) -> None:
    file["meta/words"] = words


def _chunks(file: h5py.File, chunks: tuple[int, ...]) -> None:
    file.create_dataset("meta/x", data=np.zeros(8), chunks=chunks)


def _link(file: h5py.File, target: str) -> None:
    file["meta/link"] = h5py.ExternalLink("other.hdf5", target)


def _list(file: h5py.File, name: bytes) -> None:
    file["mask/train"] = [name]


def _total(file: h5py.File, total: int) -> None:
    file["data"].attrs["total"] = total


def _of_meta(file: h5py.File, total: int) -> None:
    file.create_group("meta").attrs["total"] = total


@pytest.mark.parametrize(
    ("build", "one", "other", "is_equal"),
    [
        (lambda file, value: _opaque(file["data"], value), b"abc", b"abd", False),
        (lambda file, value: file["data"].attrs.update({"list": value}), ["a", "b"], ["a", "c"], False),
        (lambda file, value: file["data"].attrs.update({"x": value}), np.float32(1), np.float64(1), False),
        (_words, ["a", "b"], ["a", "bb"], False),
        (_chunks, (2,), (4,), False),
        (_link, "/a", "/b", False),
        (_of_meta, 1, 2, False),
        (_total, 1, 2, True),  # it is counted
        (_list, b"demo_0", b"demo_1", True),
    ],
)  # fmt: skip
def test_texts_differ_where_new_files_would(
    build: Callable[..., object], one: object, other: object, is_equal: bool, tmp_path: Path
) -> None:
    texts = [extras(tmp_path / "a.hdf5", lambda file: build(file, one)).text for _ in range(2)]
    texts.append(extras(tmp_path / "a.hdf5", lambda file: build(file, other)).text)
    assert texts[0] == texts[1]
    assert (texts[0] == texts[2]) is is_equal


def test_packed_values_that_cannot_be_compared(tmp_path: Path) -> None:
    found = [extras(tmp_path / name, lambda file: packed_by_zfp(file, (4, 3))) for name in ("a.hdf5", "b.hdf5")]
    assert found[0].copied == found[1].copied == ("rows",)
    assert found[0].text != found[1].text


def test_large_objects_and_names_of_episodes_are_left_out(tmp_path: Path) -> None:
    def build(file: h5py.File) -> None:
        file["small"], file["large"] = np.zeros(2**17 - 100), np.zeros(2**17 + 1)
        file.create_dataset("sparse", (10**12,), "f8", chunks=(1000,))
        file["words"] = ["x" * 2**19] * 3
        for number in range(2100):
            file.create_group(f"many/{number}")
        file["views/best"], file["views2/actions"] = file["data/demo_1"], h5py.SoftLink("/data/demo_0/actions")
        file["latest"], file["lost"] = h5py.SoftLink("data/demo_1"), h5py.SoftLink("/not/here")
        file["ring/self"] = file["ring/up"] = file.create_group("ring")

    found = extras(tmp_path / "a.hdf5", build)
    assert found.copied == ("lost", "ring", "small")
    assert found.left_out == (
        "/large belongs to no episode and is larger than 1 MB: it is in no new file",
        "/latest leads to an episode: it is in no new file",
        "/many belongs to no episode and is larger than 1 MB: it is in no new file",
        "/sparse belongs to no episode and is larger than 1 MB: it is in no new file",
        "/views leads to an episode: it is in no new file",
        "/views2 leads to an episode: it is in no new file",
        "/words belongs to no episode and is larger than 1 MB: it is in no new file",
    )


def test_a_mask_without_names_of_episodes_is_no_list(tmp_path: Path) -> None:
    def build(file: h5py.File) -> None:
        file["mask/other"], file["mask/numbers"], file["mask/table"] = ["left", "right"], [1, 2], [["demo_0"]]
        file["mask/train"] = ["demo_1", "data/demo_0"]

    found = extras(tmp_path / "a.hdf5", build)
    assert dict(found.lists) == {"mask/train": ("demo_1", "data/demo_0")}
    assert found.copied == ("mask/numbers", "mask/other", "mask/table")


def test_a_damaged_object_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    assert extras(path, lambda file: file.update({"meta/x": 1, "mask/train": ["demo_0"], "note": 2})).left_out == ()
    with h5py.File(path) as file:
        places = [h5py.h5o.get_info(file[name].id).addr for name in ("meta/x", "mask/train")]
    with open(path, "r+b") as stream:
        for place in places:
            stream.seek(place)
            stream.write(b"\xff" * 16)
    with h5py.File(path) as file:
        found = read_extras(file, KEYS)
    assert found.copied == ("note",)
    assert [text.partition(":")[0] for text in found.left_out] == [
        "/mask is in no new file", "/meta is in no new file",
    ]  # fmt: skip
