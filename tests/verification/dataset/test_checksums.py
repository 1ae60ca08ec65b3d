"""The list of checksums of an output, and what verify says of files that differ from it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from robotrove.core.checksums import read_list
from robotrove.formats.lerobot.recompute.dataset_recompute import recompute
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
    sample,
    write_pipeline,
)
from robotrove.verification.dataset.runner import verify

LIST = "meta/robotrove/checksums.jsonl"
DATA = "data/chunk-000/file-000.parquet"
TODO = f"; restore it; if you changed it yourself, delete {LIST}"
OTHER = f"changed after robotrove wrote it: it has other bytes than were written{TODO}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both versions."""
    folder = tmp_path_factory.mktemp("made")
    pipeline = write_pipeline(folder, [sample(folder, "a.hdf5", 2, 8)], formats=["v3.0", "v2.1"])
    run_here(pipeline, folder / "out")
    return folder / "out"


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "v3.0", tmp_path / "dataset"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def told(dataset: Path) -> list[tuple[str, str, str]]:
    """Return severity, place and message of what the check of checksums says."""
    return [(one.severity, one.where, one.message) for one in verify(dataset).findings if one.check == "checksums"]


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_the_list_has_every_file(made: Path, version: str) -> None:
    root = made / version
    *lines, end = (root / LIST).read_bytes().splitlines(keepends=True)
    expected = {
        str(path.relative_to(root)): (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path != root / LIST
    }
    entries = [json.loads(line) for line in lines]
    assert {entry["path"]: (entry["size"], entry["sha256"]) for entry in entries} == expected
    assert json.loads(end) == {"lines": len(expected), "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    assert {name.split("/")[0] for name in expected} == {"data", "videos", "meta"}
    report = verify(root)
    assert (report.findings, report.counts["errors"], report.counts["notes"]) == ((), 0, 0)


def test_files_that_changed(dataset: Path) -> None:
    [video] = (dataset / "videos").rglob("*.mp4")
    for path in (dataset / DATA, video, dataset / "meta/tasks.parquet"):
        flip(path)
    assert told(dataset) == [
        ("error", DATA, OTHER),
        ("note", "meta/tasks.parquet", OTHER),
        ("error", str(video.relative_to(dataset)), OTHER),
    ]
    assert not verify(dataset).ok


def test_a_file_of_meta_that_changed_is_no_error(dataset: Path) -> None:
    path = dataset / "meta/stats.json"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\n")
    report = verify(dataset)
    assert (report.ok, report.counts["errors"], report.counts["warnings"], report.counts["notes"]) == (True, 0, 0, 1)
    what = f"changed after robotrove wrote it: it has {size + 1} bytes instead of {size}{TODO}"
    assert told(dataset) == [("note", "meta/stats.json", what)]


def test_missing_and_further_files(dataset: Path) -> None:
    [video] = (dataset / "videos").rglob("*.mp4")
    video.unlink()
    (dataset / "meta/stats.json").unlink()
    shutil.copy(dataset / DATA, dataset / "data/chunk-000/file-007.parquet")
    missing = f"changed after robotrove wrote it: it is missing{TODO}"
    more = "1 files of data and videos are not in it: another tool has added them"
    assert told(dataset) == [("note", "meta/stats.json", missing), ("note", LIST, more)]
    assert "files" in {one.check for one in verify(dataset).findings if one.severity == "error"}


def test_every_byte_of_the_list_counts(dataset: Path) -> None:
    path = dataset / LIST
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        assert told(dataset) == [("error", LIST, "differs from its own checksum")], place
    path.write_bytes(b"")
    assert told(dataset) == [("error", LIST, "differs from its own checksum")]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_paths_that_lead_out_are_not_opened(dataset: Path, name: str) -> None:
    line = json.dumps({"path": name, "size": 1, "sha256": "0a"}).encode() + b"\n"
    end = json.dumps({"lines": 1, "sha256": hashlib.sha256(line).hexdigest()}).encode() + b"\n"
    (dataset / LIST).write_bytes(line + end)
    assert told(dataset) == [("error", LIST, f"names {name!r}, which is outside of the dataset")]


@pytest.mark.parametrize("line", ['{"path": "data/x"}', "[]", "{", "1"])
def test_lines_that_are_no_checksums(dataset: Path, line: str) -> None:
    text = line.encode() + b"\n"
    end = json.dumps({"lines": 1, "sha256": hashlib.sha256(text).hexdigest()}).encode() + b"\n"
    (dataset / LIST).write_bytes(text + end)
    assert told(dataset) == [("error", LIST, "has a line without path, size and sha256")]


def test_a_dataset_without_a_list(dataset: Path) -> None:
    (dataset / LIST).unlink()
    (dataset / "meta/stats.json").unlink()
    assert told(dataset) == []
    assert "meta/stats.json" in recompute(dataset).written
    assert not (dataset / LIST).exists()


def test_recomputed_statistics_are_in_the_list_and_damage_stays_known(dataset: Path) -> None:
    before = read_list(dataset)
    [video] = (dataset / "videos").rglob("*.mp4")
    flip(video)
    stats = dataset / "meta/stats.json"
    content = json.loads(stats.read_text())
    content["action"]["mean"][0] += 1
    stats.write_text(json.dumps(content))
    assert "meta/stats.json" in recompute(dataset).written
    after = read_list(dataset)
    assert {name for name in after if after[name] != before[name]} <= {"meta/stats.json"}
    assert after["meta/stats.json"].sha256 == hashlib.sha256(stats.read_bytes()).hexdigest()
    assert told(dataset) == [("error", str(video.relative_to(dataset)), OTHER)]
