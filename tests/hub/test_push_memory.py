"""5,000 small files and one of 2 GB: sent once, shown at once, in the memory that a small push takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from robotrove.tests.support.hub import measured_push
from robotrove.tests.support.hub.pushing import folder, write
from robotrove.tests.support.hub.server import HubServer

FILES = 5000
LARGE = 2 << 30
MARGIN_MB = 120  # paths, sizes and digests of 5,000 files, and one page of the Hub's listing


def peak_mb(root: Path, name: str) -> int:
    command = [sys.executable, measured_push.__file__, str(root), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_many_files_and_a_large_one(hub: HubServer, tmp_path: Path) -> None:
    small = peak_mb(folder(tmp_path / "small"), "lab/small")
    root = tmp_path / "large"
    for number in range(FILES):
        write(root, f"data/chunk-{number // 1000:03d}/file-{number % 1000:03d}.parquet", b"%d" % number)
    write(root, "videos/front/chunk-000/file-000.mp4", b"")
    os.truncate(root / "videos/front/chunk-000/file-000.mp4", LARGE)
    assert peak_mb(root, "lab/large") - small < MARGIN_MB
    repository = hub.repository("lab/large")
    sizes = {path: entry["size"] for path, entry in repository.tree("v3.0").items()}
    assert sizes["videos/front/chunk-000/file-000.mp4"] == LARGE
    assert len(sizes) == FILES + 1 + 2  # the card, and what the Hub adds
    assert all(count == 1 for count in hub.transfers.sent.values())
    assert len(hub.transfers.sent) == FILES + 1 + 8  # those of the small one
    assert [pull["status"] for pull in repository.state["pulls"]] == ["merged"]
