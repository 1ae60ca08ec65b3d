from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from robotrove.formats.hdf5.tree import tree
from robotrove.tests.support.missing_filter import packed_by_zfp


def test_everything_in_natural_order(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name in ("demo_10", "demo_2"):
            file.create_dataset(f"{name}/rgb", (8, 4, 4, 3), np.uint8, chunks=(2, 4, 4, 3), compression="gzip")
            file[name].attrs.update({"success": True, "tags": np.array([b"a", b"b"]), "n": np.int64(3)})
        file["note"] = "hello"
        file["back"] = h5py.SoftLink("/")
        file["demo_10/top"] = file["/"]
        file["gone"] = h5py.ExternalLink("other.hdf5", "/")
        nodes = {node.path: node for node in tree(file)}
        shallow = [node.path for node in tree(file, max_level=1)]
        below = [node.path for node in tree(file, path="/demo_2")]
    assert list(nodes) == [
        "/",
        "/back",
        "/demo_2",
        "/demo_2/rgb",
        "/demo_10",
        "/demo_10/rgb",
        "/demo_10/top",
        "/gone",
        "/note",
    ]
    assert shallow == ["/", "/back", "/demo_2", "/demo_10", "/gone", "/note"]
    assert below == ["/demo_2", "/demo_2/rgb"]
    assert [nodes[path].kind for path in ("/", "/back", "/demo_2", "/note", "/gone", "/demo_10/top")] == [
        "group", "link", "group", "dataset", "link", "link",
    ]  # fmt: skip
    rgb = nodes["/demo_2/rgb"]
    assert (rgb.level, rgb.shape, rgb.dtype, rgb.chunks, rgb.compression) == (
        2,
        (8, 4, 4, 3),
        "uint8",
        (2, 4, 4, 3),
        "gzip",
    )
    assert nodes["/demo_2"].attrs == {"n": 3, "success": True, "tags": ["a", "b"]}
    assert (nodes["/"].n_children, nodes["/note"].dtype) == (5, "string")
    json.dumps([asdict(node) for node in nodes.values()])


def test_a_dataset_with_a_missing_filter_says_what_it_needs(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        packed_by_zfp(file, (8, 2))
        file["other"] = np.ones((8, 2))
        nodes = {node.path: (node.compression, node.problem) for node in tree(file)}
    assert nodes == {"/": (None, ""), "/rows": ("zfp (32013)", "needs `pip install hdf5plugin`"), "/other": (None, "")}


def test_a_named_type_is_no_fault(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["angle"] = np.dtype("f4")
        file["angle"].attrs["unit"] = "deg"
        file.create_dataset("q", (3,), dtype=file["angle"])
        nodes = {node.path: node for node in tree(file)}
    assert [(path, node.kind, node.dtype) for path, node in nodes.items()] == [
        ("/", "group", ""),
        ("/angle", "type", "float32"),
        ("/q", "dataset", "float32"),
    ]
    assert nodes["/angle"].attrs == {"unit": "deg"}


def test_groups_in_thousands_of_groups_end_somewhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("g")
        for _ in range(1500):
            group = group.create_group("g")
        nodes = list(tree(file))
    assert [node.kind for node in nodes] == ["group"] * 250 + ["unreadable"]
    assert nodes[-1].problem == "250 groups are above it"
