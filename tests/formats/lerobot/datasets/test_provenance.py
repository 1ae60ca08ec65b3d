from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import Damaged
from robotrove.formats.lerobot.datasets.dataset import Dataset
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.formats.lerobot.datasets.provenance import ProvenanceRow, origin_of, origins

ORIGINS = [
    ProvenanceRow(0, "a.hdf5", "data/demo_0", "12", 9, 0, 8, None, False, "ab", "0.1", "libx264"),
    ProvenanceRow(1, "b.hdf5", "data/demo_7", "34", 5, 1, 3, True, True, "ab", "0.1", "libx264"),
]


def view(root: Path, version: str, rows: list[dict[str, object]]) -> Dataset:
    (root / "meta/robotrove").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps({"codebase_version": version}))
    if version == "v3.0":
        pq.write_table(pa.Table.from_pylist(rows), root / "meta/robotrove/episodes.parquet")
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "meta/robotrove/episodes.jsonl").write_text(lines)
    return open_dataset(root)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_origins_of_both_versions(tmp_path: Path, version: str) -> None:
    dataset = view(tmp_path, version, [asdict(origin) for origin in ORIGINS])
    assert list(origins(dataset)) == ORIGINS
    assert origin_of(dataset, 1) == ORIGINS[1]
    assert origin_of(dataset, 2) is None


@pytest.mark.parametrize(
    ("version", "place"),
    [("v2.1", "meta/robotrove/episodes.jsonl, line 2"), ("v3.0", "meta/robotrove/episodes.parquet, row 1")],
)
def test_an_episode_that_is_left_out(tmp_path: Path, version: str, place: str) -> None:
    dataset = view(tmp_path, version, [asdict(ORIGINS[0]), asdict(ORIGINS[1]) | {"episode_index": 2}])
    with pytest.raises(Damaged) as caught:
        list(origins(dataset))
    assert (caught.value.where, caught.value.found) == (place, "is about episode 2 instead of 1")


def test_a_line_that_lacks_a_column(tmp_path: Path) -> None:
    row = asdict(ORIGINS[0])
    del row["source_key"], row["success"]
    dataset = view(tmp_path, "v2.1", [row])
    with pytest.raises(Damaged, match="line 1: has no source_key, success"):
        list(origins(dataset))


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_columns_that_earlier_versions_lack(tmp_path: Path, version: str) -> None:
    added = [{"row_runs": [[0, 2, 4]], "content_digest": "9f"}, {"row_runs": None, "content_digest": None}]
    rows = [asdict(origin) | more for origin, more in zip(ORIGINS, added, strict=True)]
    found = list(origins(view(tmp_path / "now", version, rows)))
    assert [(origin.row_runs, origin.content_digest) for origin in found] == [(((0, 2, 4),), "9f"), (None, None)]
    for names in (["content_digest"], ["row_runs", "content_digest"]):
        earlier = [{name: value for name, value in row.items() if name not in names} for row in rows]
        found = list(origins(view(tmp_path / f"{len(names)}", version, earlier)))
        assert [(origin.row_runs is None, origin.content_digest) for origin in found] == [
            ("row_runs" in names, None),
            (True, None),
        ]
