"""Files of the Hub as local ones: fetched once, resumed, checked, in a bounded cache."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError, UsageError
from robotrove.core.source_file import SourceFile
from robotrove.hub import cache, fetch
from robotrove.hub.address import Address, parse
from robotrove.hub.source_files import find, local_dataset, source_file
from robotrove.tests.support.hub.server import HubServer
from robotrove.tests.support.hub.store import Repository

NAME = "lab/recordings"
CONTENT = random.Random(0).randbytes(3_000_000)


@pytest.fixture
def repository(hub: HubServer) -> Repository:
    """A repository with recordings, one of them stored as a large file."""
    fetch.fetch_dataset.cache_clear()
    found = hub.repository(NAME)
    found.create(private=True, owner="lab")
    add(found, {"a.hdf5": CONTENT, "deep/b.h5": b"b", "deep/er/c.hdf5": b"c", "deep/notes.txt": b"n"})
    return found


def add(repository: Repository, files: dict[str, bytes]) -> None:
    tree = repository.tree("main")
    for path, content in files.items():
        tree[path] = repository.keep(content)
        if len(content) > 1000:
            sha256 = hashlib.sha256(content).hexdigest()
            repository.large(sha256).write_bytes(content)
            tree[path] = repository.large_entry(sha256)
    repository.move("main", repository.commit(repository.resolve("main"), tree, "recordings"))


def names(text: str) -> list[str]:
    return sorted(place.path for file in find(text, (".hdf5", ".h5")) if (place := cache.place_of(file.path)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://datasets/lab/x", Address("lab/x", "main", "")),
        ("hf://datasets/lab/x@v3.0/", Address("lab/x", "v3.0", "")),
        ("hf://datasets/lab/x@refs/pr/2/a/*.h5", Address("lab/x", "refs/pr/2", "a/*.h5")),
    ],
)
def test_names(text: str, expected: Address) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["hf://lab/x", "hf://datasets/lab", "hf://models/lab/x", "hf://datasets/lab/x/../y"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="hf://datasets/OWNER/NAME"):
        parse(text)


def test_files_folders_and_patterns(repository: Repository) -> None:
    base = f"hf://datasets/{NAME}"
    assert names(f"{base}/a.hdf5") == ["a.hdf5"]
    assert names(base) == ["a.hdf5"]
    assert names(f"{base}/deep") == ["deep/b.h5"]
    assert names(f"{base}/*.hdf5") == ["a.hdf5"]
    assert names(f"{base}/**/*.hdf5") == ["a.hdf5", "deep/er/c.hdf5"]
    add(repository, {"deep/D.HDF5": b"d", "deep/take": b"t"})
    assert names(f"{base}/deep") == ["deep/D.HDF5", "deep/b.h5"]
    assert names(f"{base}/deep/take") == ["deep/take"]
    assert names(f"{base}/deep/?.h*") == ["deep/b.h5"]
    assert names(f"{base}/none/*") == []


def test_a_file_is_fetched_once(hub: HubServer, repository: Repository) -> None:
    [file] = find(f"hf://datasets/{NAME}/a.hdf5", ())
    assert not file.path.exists()
    assert file.open() == file.path
    assert file.path.read_bytes() == CONTENT
    asked = len(hub.requests)
    assert file.open().stat().st_mtime_ns == 0
    assert len(hub.requests) == asked
    assert source_file(file.path, file.size, file.mtime_ns) == file
    assert source_file(Path("elsewhere.hdf5")) == SourceFile(Path("elsewhere.hdf5"))


@pytest.mark.parametrize("again", ["in the same process", "in another"])
def test_a_download_that_broke_off_goes_on(
    hub: HubServer, repository: Repository, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [file] = find(f"hf://datasets/{NAME}/a.hdf5", ())
    fault = hub.fail("GET .*/resolve/", kind="cut the answer")
    if again == "in another":  # the first one got half of it, and died
        file.path.parent.mkdir(parents=True)
        file.path.with_name("a.hdf5.incomplete").write_bytes(CONTENT[: len(CONTENT) // 2])
        hub.faults.clear()
        hub.fail("GET .*/resolve/", status=503, skip=1, times=99)  # all but one request, which must be enough
    file.open()
    assert file.path.read_bytes() == CONTENT
    assert fault.met == (again == "in the same process")
    assert not file.path.with_name("a.hdf5.incomplete").exists()


def test_what_is_damaged_on_its_way_is_fetched_again(hub: HubServer, repository: Repository) -> None:
    [file] = find(f"hf://datasets/{NAME}/a.hdf5", ())
    file.path.parent.mkdir(parents=True)
    file.path.with_name("a.hdf5.incomplete").write_bytes(b"x" * 1000)
    assert file.open().read_bytes() == CONTENT


def test_what_is_damaged_there_is_refused(hub: HubServer, repository: Repository) -> None:
    [file] = find(f"hf://datasets/{NAME}/a.hdf5", ())
    repository.path_of(repository.tree("main")["a.hdf5"]).write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(RobotroveError, match=r"a\.hdf5: arrived 2 times with other content"):
        file.open()
    assert not file.path.exists()


def test_the_cache_is_bounded(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    add(repository, {f"{number}.hdf5": random.Random(number).randbytes(1_000_000) for number in range(5)})
    monkeypatch.setenv("ROBOTROVE_CACHE_GB", "0.0025")
    files = find(f"hf://datasets/{NAME}/[0-9].hdf5", ())
    for file in files[:3]:
        file.open()
    files[1].open()
    files[3].open()
    assert [file.path.exists() for file in files] == [False, True, False, True, False]
    assert files[0].open().read_bytes() == random.Random(0).randbytes(1_000_000)
    monkeypatch.setenv("ROBOTROVE_CACHE_GB", "much")
    with pytest.raises(UsageError, match="'much'"):
        files[4].open()


def test_a_dataset_is_whole_and_stays(hub: HubServer, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOTROVE_CACHE_GB", "0")
    folder = local_dataset(f"hf://datasets/{NAME}")
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {"a.hdf5": CONTENT, "deep/b.h5": b"b", "deep/er/c.hdf5": b"c", "deep/notes.txt": b"n"}
    add(repository, {"d.hdf5": b"d"})
    fetch.fetch_dataset.cache_clear()
    newer = local_dataset(f"hf://datasets/{NAME}")
    assert (newer / "d.hdf5").read_bytes() == b"d"
    assert folder != newer
    assert (folder / "a.hdf5").exists()  # no room, but a run may be reading it
    assert local_dataset(f"hf://datasets/{NAME}/deep") == newer / "deep"
    assert local_dataset("a/folder") == Path("a/folder")


def test_force_fetches_again(hub: HubServer, repository: Repository) -> None:
    folder = local_dataset(f"hf://datasets/{NAME}")
    (folder / "a.hdf5").write_bytes(b"spoilt")
    os.utime(folder / "a.hdf5", ns=(0, 0))
    fetch.fetch_dataset.cache_clear()
    assert (local_dataset(f"hf://datasets/{NAME}") / "a.hdf5").read_bytes() == b"spoilt"
    assert (local_dataset(f"hf://datasets/{NAME}", force=True) / "a.hdf5").read_bytes() == CONTENT


def test_processes_that_want_the_same_file(hub: HubServer, repository: Repository) -> None:
    [file] = find(f"hf://datasets/{NAME}/a.hdf5", ())
    code = "import sys, pathlib; from robotrove.hub import source_files as s; s.source_file(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", f"{code}.open()", str(file.path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(one.communicate(timeout=300)[1], one.returncode) for one in processes] == [("", 0)] * 4
    assert file.path.read_bytes() == CONTENT
    assert sum("/resolve/" in request for request in hub.requests) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf://datasets/lab/none", "not found, or your token may not read it"),
        (f"hf://datasets/{NAME}@v9", "has no such branch, tag or commit"),
        (f"hf://datasets/{NAME}/none", "contains no files"),
    ],
)
def test_what_is_not_there(repository: Repository, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        local_dataset(text)
