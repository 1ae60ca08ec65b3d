"""Recordings that fsspec reads: from a web server across processes, and from memory in this one."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from robotrove.core.errors import RobotroveError, RunChanged, UsageError
from robotrove.hub import cache, fsspec_files
from robotrove.hub.source_files import find, source_file
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.pipelines.runs import (
    AtStart,
    assert_same_dataset,
    run_cli,
    run_here,
    sample,
    write_pipeline,
)

SUFFIXES = (".hdf5", ".h5")


@dataclass
class Web:
    """A web server of a folder.

    Attributes:
        root: The folder.
        url: Its address.
        gets: Name of a file to the first byte of each of its downloads.
        cut: Number of the download that is cut in its middle, 0 for none.
        ranges: Whether it gives parts of files.
    """

    root: Path
    url: str = ""
    gets: dict[str, list[int]] = field(default_factory=dict)
    cut: int = 0
    ranges: bool = True


@contextmanager
def serving(root: Path) -> Iterator[Web]:
    web = Web(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._serve()

        def do_GET(self) -> None:
            self._serve()

        def _serve(self) -> None:
            path = web.root / self.path.lstrip("/")
            if path.is_dir():
                listed = "".join(f'<a href="{child.name}">x</a>' for child in sorted(path.iterdir()))
                self._send(200, listed.encode(), {"Content-Type": "text/html"})
            elif not path.is_file():
                self._send(404, b"", {})
            else:
                self._file(path)

        def _file(self, path: Path) -> None:
            content = path.read_bytes()
            headers = {"ETag": f'"{hash(content) & 0xFFFFFFFF:x}"'}
            found = re.fullmatch(r"bytes=(\d+)-(\d+)?", self.headers.get("Range") or "") if web.ranges else None
            first, last = 0, len(content) - 1
            if web.ranges:
                headers["Accept-Ranges"] = "bytes"
            if found:
                first, last = int(found[1]), min(int(found[2] or last), last)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            is_cut = False
            if self.command == "GET":
                web.gets.setdefault(path.name, []).append(first)
                is_cut = sum(map(len, web.gets.values())) == web.cut
            self._send(206 if found else 200, content[first : last + 1], headers, is_cut=is_cut)

        def _send(self, status: int, body: bytes, headers: dict[str, str], *, is_cut: bool = False) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if is_cut:
                web.cut = 0
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                return
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBOTROVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fsspec_files.time, "sleep", lambda seconds: None)
    return tmp_path / "cache"


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def test_recordings_of_a_web_server_make_the_same_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    files = [sample(folder, f"{seed}.hdf5", 2, 6, seed=seed) for seed in range(3)]
    local = run_cli(write_pipeline(tmp_path / "local", files), tmp_path / "local/out")
    assert local.returncode == 0, local.stderr
    size = max(file.stat().st_size for file in files)
    monkeypatch.setenv("ROBOTROVE_CACHE_GB", str(1.5 * size / 1e9))  # what planning read is fetched again by the ranks
    with serving(folder) as web:
        web.cut = 2
        pipeline = write_pipeline(tmp_path / "web", [f"{web.url}/{file.name}" for file in files])
        done = run_cli(pipeline, tmp_path / "web/out", "--workers", "1")
        assert done.returncode == 0, done.stderr
        assert web.cut == 0
        assert len([path for path in (tmp_path / "cache").rglob("*.hdf5") if path.is_file()]) == 1
        compared = run_robotrove("verify", tmp_path / "web/out", "--source", tmp_path / "web/out.run")
        assert "6 episodes and" in compared.stdout
        assert compared.returncode == 0, compared.stdout
        for part in ("data", "videos"):
            assert_same_dataset(tmp_path / "web/out" / part, tmp_path / "local/out" / part)
        assert "already finished" in run_cli(pipeline, tmp_path / "web/out").stdout
        traced = run_robotrove("trace", tmp_path / "web/out", "2")
        assert "source:      1.hdf5" in traced.stdout


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool) -> None:
    piece = 1 << 20
    monkeypatch.setattr(fsspec_files, "_PIECE", piece)
    content = bytes(range(256)) * 16_000
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a.hdf5").write_bytes(content)
    with serving(tmp_path / "served") as web:
        web.ranges = ranges
        [file] = find(f"{web.url}/a.hdf5", SUFFIXES)
        assert file.origin == f"{web.url}/a.hdf5"
        assert web.gets == {}  # nothing is fetched before it is needed
        web.cut = 3 if ranges else 1
        # Without parts of files, one is asked for in vain, and then the whole again.
        expected = [0, piece, 2 * piece, 2 * piece, 3 * piece] if ranges else [0, 0, 0]
        for _ in range(2):  # the second time it is there
            assert file.open().read_bytes() == content
            assert file.path.stat().st_mtime == 0
            assert web.gets["a.hdf5"] == expected
    assert not list(file.path.parent.glob("*.incomplete"))


def test_names_folders_and_patterns(memory: Any) -> None:
    for path in ("/lab/a.hdf5", "/lab/b.h5", "/lab/notes.txt", "/lab/deep/c d.hdf5", "/up/A.HDF5", "/up/take"):
        memory.pipe(path, path.encode())
    expected = {
        "memory://lab/a.hdf5": ["a.hdf5"],
        "memory://lab": ["a.hdf5", "b.h5"],
        "memory://lab/*.hdf5": ["a.hdf5"],
        "memory://lab/**/*.hdf5": ["a.hdf5", "c d.hdf5"],
        "memory://lab/none.hdf5": [],
        "memory://none": [],
        "memory://up": ["A.HDF5"],
        "memory://up/A.HDF5": ["A.HDF5"],
        "memory://up/take": ["take"],
    }
    for text, names in expected.items():
        found = find(text, SUFFIXES)
        assert sorted(file.name.name for file in found) == names, text
        for file in found:
            path = "/" + str(file.name.relative_to(cache.folder("elsewhere") / "memory"))
            assert file.open().read_bytes() == path.encode()


def test_a_file_that_was_replaced(memory: Any) -> None:
    memory.pipe("/lab/a.hdf5", b"old")
    [old] = find("memory://lab/a.hdf5", SUFFIXES)
    memory.rm("/lab/a.hdf5")
    with pytest.raises(FileNotFoundError):
        old.open()
    memory.pipe("/lab/a.hdf5", b"new")
    with pytest.raises(FileNotFoundError, match="another file"):
        old.open()
    [new] = find("memory://lab/a.hdf5", SUFFIXES)
    assert new != old
    assert new.name == old.name
    assert new.open().read_bytes() == b"new"


def test_a_file_that_is_replaced_during_a_run_costs_its_episodes(memory: Any, own_cache: Path, tmp_path: Path) -> None:
    for seed in range(2):
        memory.pipe(f"/lab/{seed}.hdf5", sample(tmp_path, f"{seed}.hdf5", 2, 6, seed=seed).read_bytes())
    pipeline = write_pipeline(tmp_path, ["memory://lab"])

    def replace() -> None:
        shutil.rmtree(own_cache)  # as if others had needed the room
        memory.pipe("/lab/1.hdf5", (tmp_path / "0.hdf5").read_bytes())

    report = run_here(pipeline, tmp_path / "out", watcher=AtStart(replace))
    assert (report.kept, report.rejected) == (2, {"source_changed": 2})
    with pytest.raises(RunChanged, match="is new"):
        run_here(pipeline, tmp_path / "out", retry_rejected=True)


def test_it_is_given_up_in_words(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe("/lab/a.hdf5", b"content")
    [file] = find("memory://lab/a.hdf5", SUFFIXES)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("the line is down")

    monkeypatch.setattr(type(memory), "open", refuse)
    with pytest.raises(
        RobotroveError, match=r"(?s)memory:///lab/a\.hdf5: the line is down.*rerun the command to resume"
    ):
        file.open()


def test_a_web_server_that_does_not_answer_has_not_lost_the_file(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/a.hdf5").write_bytes(b"content")
    with serving(tmp_path / "lab") as web:
        assert find(f"{web.url}/b.hdf5", SUFFIXES) == []
        [file] = find(f"{web.url}/a.hdf5", SUFFIXES)
    url = web.url.replace("127.0.0.1", "localhost")  # not by the connection that is still open
    with pytest.raises(RobotroveError, match=r"(?s)a\.hdf5: Cannot connect.*rerun the command to resume"):
        find(f"{url}/a.hdf5", SUFFIXES)
    with pytest.raises(RobotroveError, match="rerun the command to resume"):
        source_file(Path(str(file.path).replace("127.0.0.1", "localhost"))).open()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3://lab/a.hdf5", r"package of this protocol is missing: .*s3fs"),
        ("nowhere://lab/a.hdf5", "Protocol not known: nowhere"),
        ("ftp://me:SECRET@lab/a.hdf5", "contains a password"),
        ("https://lab/a.hdf5?X-Amz-Signature=SECRET", "a query with a possible signature"),
        ("zip://a.hdf5::s3://lab/b.zip", "names no file"),
        ("memory://", "names no file"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        find(text, SUFFIXES)
    assert "SECRET" not in str(caught.value)
    refused = run_cli(write_pipeline(tmp_path, [text]), tmp_path / "out")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "SECRET" not in refused.stderr + refused.stdout
    assert not (tmp_path / "out.run").exists()
