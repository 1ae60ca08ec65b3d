from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.media.remux.byte_copier import ByteCopier

CONTENT = os.urandom(3 << 20)


def copied(tmp_path: Path) -> bytes:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(CONTENT)
    with source.open("rb") as read, target.open("wb") as write:
        copier = ByteCopier(write.fileno())
        copier.append(source, read.fileno(), 5, 2 << 20)
        copier.append(source, read.fileno(), 0, 3)
        with pytest.raises(RobotroveError, match="in: it ends at byte 3145728"):
            copier.append(source, read.fileno(), len(CONTENT) - 1, 2)
    return target.read_bytes()


@pytest.mark.parametrize("refused", [(), ("copy_file_range",), ("copy_file_range", "sendfile")])
def test_every_way_copies_the_same(refused: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise OSError(errno.EXDEV, "refused")

    for name in refused:
        monkeypatch.setattr(os, name, refuse)
    assert copied(tmp_path) == CONTENT[5 : 5 + (2 << 20)] + CONTENT[:3] + CONTENT[-1:]


def test_other_file_system(tmp_path: Path) -> None:
    source = Path("/proc/self/cmdline")  # says that it is empty, as far as the kernel can copy it
    if not source.exists():
        pytest.skip("needs Linux")
    content, target = source.read_bytes(), tmp_path / "out"
    with source.open("rb") as read, target.open("wb") as write:
        ByteCopier(write.fileno()).append(source, read.fileno(), 0, len(content))
    assert target.read_bytes() == content


def test_full_disk_is_an_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs Linux")
    source = tmp_path / "in"
    source.write_bytes(b"12345")
    with source.open("rb") as read, full.open("wb", buffering=0) as write:
        with pytest.raises(OSError) as failure:
            ByteCopier(write.fileno()).append(source, read.fileno(), 0, 5)
    assert failure.value.errno == errno.ENOSPC
