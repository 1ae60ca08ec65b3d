from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from robotrove.core.commit import attempt_name, folder_attempt, is_abandoned, rename_new, sync_tree, write_file


class TestFolderAttempt:
    def test_appears_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "e1"
        with folder_attempt(target) as folder:
            (folder / "rows").write_text("1")
            assert not target.exists()
        assert (target / "rows").read_text() == "1"
        assert list(tmp_path.iterdir()) == [target]

    def test_an_error_leaves_nothing(self, tmp_path: Path) -> None:
        def work() -> None:
            with folder_attempt(tmp_path / "e1") as folder:
                (folder / "rows").write_text("1")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            work()
        assert list(tmp_path.iterdir()) == []

    def test_of_two_the_first_to_end_wins_and_the_other_goes(self, tmp_path: Path) -> None:
        target = tmp_path / "e1"
        with folder_attempt(target) as slow:
            (slow / "rows").write_text("slow")
            with folder_attempt(target) as fast:
                assert fast != slow
                (fast / "rows").write_text("fast")
        assert (target / "rows").read_text() == "fast"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_parent_that_is_gone_is_not_made_again(self, tmp_path: Path) -> None:
        """That it is gone says that another process finished the work."""
        with pytest.raises(FileNotFoundError), folder_attempt(tmp_path / "partial" / "e1"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_parent_that_goes_meanwhile_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "partial").mkdir()
        with pytest.raises(FileNotFoundError), folder_attempt(tmp_path / "partial" / "e1"):
            shutil.rmtree(tmp_path / "partial")
        assert list(tmp_path.iterdir()) == []

    def test_everything_is_on_the_disk_before_the_rename_and_the_rename_after_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log: list[str] = []
        rename = os.rename

        def fsync(descriptor: int) -> None:
            log.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).partition(".")[0])

        def renamed(source: Path, target: Path) -> None:
            log.append("RENAME")
            rename(source, target)

        monkeypatch.setattr("os.fsync", fsync)
        monkeypatch.setattr("os.rename", renamed)
        with folder_attempt(tmp_path / "e1") as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / "a").write_text("1")
            (folder / "b").write_text("2")
        assert log[-2:] == ["RENAME", tmp_path.name]
        before = log[:-2]
        assert sorted(before) == ["a", "b", "e1", "inner"]
        assert before.index("a") < before.index("inner") < before.index("e1")
        assert before.index("b") < before.index("e1")


class TestRenameNew:
    def test_a_file_never_replaces_another(self, tmp_path: Path) -> None:
        target = tmp_path / "file"
        for number, won in ((1, True), (2, False)):
            attempt = tmp_path / f"attempt{number}"
            attempt.write_text(str(number))
            assert rename_new(attempt, target) is won
        assert target.read_text() == "1"
        assert (tmp_path / "attempt2").read_text() == "2"
        assert not (tmp_path / "attempt1").exists()

    @pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
    def test_a_file_system_without_hard_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        def refuse(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("os.link", refuse)
        self.test_a_file_never_replaces_another(tmp_path)

    def test_other_errors_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            rename_new(tmp_path / "absent", tmp_path / "target")


class TestWriteFile:
    def test_replaces_in_one_step(self, tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        write_file(path, b"old")
        write_file(path, b"new")
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_failure_leaves_the_old_one_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "report.json"
        write_file(path, b"old")

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_file(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_no_two_attempts_share_a_name() -> None:
    names = {attempt_name("e1") for _ in range(1000)}
    assert len(names) == 1000
    assert all(name.startswith("e1.") and name.endswith(".tmp") and str(os.getpid()) in name for name in names)


def test_sync_tree_of_an_empty_folder(tmp_path: Path) -> None:
    sync_tree(tmp_path)


def test_abandoned_attempts_are_those_of_ended_processes_of_this_machine() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    host = socket.gethostname()
    assert is_abandoned(f"a.hdf5.{host}-{ended.pid}-01234567.tmp")
    assert not is_abandoned(attempt_name("a.hdf5"))
    assert not is_abandoned(f"a.hdf5.other{host}-{ended.pid}-01234567.tmp")
    assert not is_abandoned(f"a.hdf5.{host}-{ended.pid}.tmp")
    place = attempt_name("a.hdf5")[-8:-4]  # of this boot and container
    assert is_abandoned(f"a.hdf5.{host}-{ended.pid}-01234567{place}.tmp")
    assert not is_abandoned(f"a.hdf5.{host}-{ended.pid}-01234567{int(place, 16) ^ 1:04x}.tmp")
