from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5 import hdf5_file
from robotrove.formats.hdf5.hdf5_file import natural_key, open_hdf5, source_digests
from robotrove.formats.hdf5.samples import write_sample


def rejected(path: Path, *, locking: bool = True) -> EpisodeRejected:
    with pytest.raises(EpisodeRejected) as caught:
        open_hdf5(path, locking=locking)
    assert str(path) in caught.value.detail
    return caught.value


def writer(path: Path, after: str) -> subprocess.Popen[bytes]:
    """Start a process that keeps `path` open for writing until it is killed."""
    code = f"import h5py\nf = h5py.File({str(path)!r}, 'w', libver='latest')\nf['a'] = 1\n{after}\nf.flush()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code + "print('ready', flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_missing(tmp_path: Path) -> None:
    assert rejected(tmp_path / "no.hdf5").reason == "missing_file"


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.hdf5"
    path.touch()
    assert rejected(path).reason == "empty_file"


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "text.hdf5"
    path.write_text("hello" * 200)
    assert rejected(path).reason == "not_hdf5"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    assert "git lfs pull" in rejected(path).detail


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_truncated_says_both_sizes(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "cut.hdf5"
    with h5py.File(path, "w", libver=libver) as file:
        file["a"] = np.zeros(1000)
    whole = path.stat().st_size
    os.truncate(path, 5000)
    error = rejected(path)
    assert error.reason == "truncated_file"
    assert "5,000 bytes" in error.detail
    assert f"{whole:,}" in error.detail


def test_a_folder_or_a_closed_door_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rejected(tmp_path).reason == "unreadable_file"

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "a.hdf5").write_bytes(b"x")
    monkeypatch.setattr(h5py, "File", refuse)
    assert rejected(tmp_path / "a.hdf5").reason == "unreadable_file"


@pytest.mark.parametrize("mode", ["", "f.swmr_mode = True"])
def test_a_living_and_a_dead_writer(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "busy.hdf5"
    process = writer(path, mode)
    try:
        assert rejected(path).reason == "being_written"
        assert rejected(path, locking=False).reason == "being_written"
    finally:
        process.kill()
        process.wait()
    error = rejected(path)  # the lock died with its owner, the mark in the file did not
    assert error.reason == "being_written"
    assert "h5clear -s busy.hdf5" in error.detail


def test_only_locking_sees_a_writer_of_the_old_format(tmp_path: Path) -> None:
    path = tmp_path / "busy.hdf5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["a"] = 1
        file.flush()
        code = (
            "import sys; from pathlib import Path; from robotrove.formats.hdf5.hdf5_file import open_hdf5\n"
            "try: open_hdf5(Path(sys.argv[1]), locking=True)\n"
            "except Exception as exc: print(exc.reason)"
        )
        output = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "being_written"
    open_hdf5(path, locking=True).close()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["a"] = 7
    real, asked = h5py.File, []

    def without_locks(name: Path, mode: str, locking: bool | str, driver: str | None) -> h5py.File:
        asked.append(bool(locking))
        if locking:
            raise OSError(errno.ENOLCK, "unable to lock file")
        return real(name, mode, locking=False)

    monkeypatch.setattr(hdf5_file.h5py, "File", without_locks)
    with open_hdf5(path, locking=True) as file:
        assert file["a"][()] == 7
    assert asked == [True, True, False]


@pytest.mark.parametrize("locking", [True, False])
@pytest.mark.parametrize("held", [True, False, "best-effort", None])
def test_a_file_that_this_process_has_open(tmp_path: Path, held: bool | str | None, locking: bool) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["a"] = 7
    with h5py.File(path, "r", locking=held), open_hdf5(path, locking=locking) as file:
        assert file["a"][()] == 7


def test_natural_order_of_anything() -> None:
    names = ["demo_10", "demo_2", "demo_1", "10", "", "demo", "demo_01", "x2y10", "x2y9", "²", "demo_2b"]
    assert sorted(names, key=natural_key) == [
        "", "10", "demo", "demo_01", "demo_1", "demo_2", "demo_2b", "demo_10", "x2y9", "x2y10", "²",
    ]  # fmt: skip


def make_episode(path: Path, **storage: object) -> str:
    rows = np.arange(400, dtype=np.float32).reshape(100, 4)
    with h5py.File(path, "w") as file:
        group = file.create_group("demo")
        group.attrs.update({"success": True, "note": "größer", "tags": ["a", "b"], "n": 3})
        group.create_dataset("actions", data=rows, **storage)
        group.create_dataset("obs/front", data=np.full((100, 8, 8, 3), 9, np.uint8), **storage)
        group.create_dataset("texts", data=["one", "two"], dtype=h5py.string_dtype())
        group.create_dataset("jpeg", (2,), h5py.vlen_dtype(np.uint8))
        group["empty"] = h5py.Empty("f4")
        group["reference"] = group.ref
        return source_digests(group)[0]


def test_digest_ignores_storage(tmp_path: Path) -> None:
    plain = make_episode(tmp_path / "a.hdf5")
    assert plain == make_episode(tmp_path / "b.hdf5", compression="gzip", chunks=True)
    assert len(plain) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group["actions"].__setitem__((0, 1), 5),
        lambda group: group["actions"].__setitem__((99, 3), 5),
        lambda group: group.attrs.__setitem__("success", False),
        lambda group: group.attrs.__setitem__("tags", ["a", "c"]),
        lambda group: group["obs/front"].attrs.__setitem__("note", "x"),
        lambda group: group.move("obs/front", "obs/wrist"),
        lambda group: group["obs"].create_dataset("more", data=[1]),
    ],
)
def test_digest_sees_changes(tmp_path: Path, change) -> None:
    path = tmp_path / "a.hdf5"
    before = make_episode(path)
    with h5py.File(path, "a") as file:
        assert source_digests(file["demo"])[0] == before
        change(file["demo"])
        assert source_digests(file["demo"])[0] != before


def test_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    digest = make_episode(path)
    code = (
        "import h5py, sys; from robotrove.formats.hdf5.hdf5_file import source_digests\n"
        "print(source_digests(h5py.File(sys.argv[1], 'r')['demo'])[0])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    output = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=environment
    )
    assert output.stdout.strip() == digest


def test_digest_reads_no_frames(tmp_path: Path) -> None:
    [path] = write_sample("isaaclab", tmp_path, episodes=1, frames=40, height=240, width=320)
    with open_hdf5(path, locking=False) as file:
        before = read_bytes()
        source_digests(file["data/demo_0"])
        assert read_bytes() - before < 240 * 320 * 3


def read_bytes() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])
