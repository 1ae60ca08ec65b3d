"""What the tests of pushing share: a folder like a dataset, a push, and what the Hub has afterwards."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from robotrove.core.version import MARK
from robotrove.hub.client import Hub
from robotrove.hub.push import Published, Push
from robotrove.tests.support.hub.server import HubServer

NAME = "lab/cubes"
CARD = f"# cubes\n{MARK}\n"


def folder(root: Path, count: int = 6, large: int = 3 << 20, seed: int = 0) -> Path:
    """Write `count` data files, a video in several parts, and meta."""
    numbers = random.Random(seed)
    for number in range(count):
        write(root, f"data/chunk-000/file-{number:03d}.parquet", numbers.randbytes(200 + number))
    write(root, "videos/front/chunk-000/file-000.mp4", numbers.randbytes(large))
    write(root, "meta/info.json", b'{"codebase_version": "v3.0"}')
    write(root, "meta/tasks.parquet", numbers.randbytes(50))
    write(root, ".cache/left_out", b"hidden")
    return root


def write(root: Path, path: str, content: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def push(root: Path, repo_id: str = NAME, *, public: bool = False, **how: Any) -> Published:
    """Push as a publisher does, in one process."""
    given = {"branch": "main", "version": "v3.0", "card": CARD} | how
    one = Push(Hub(), root, repo_id=repo_id, **given)
    one.prepare(public=public)
    for paths in one.batches():
        one.upload(paths)
    return one.publish()


def shown(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    """Return path to content of what a revision shows, without what the Hub puts there itself."""
    repository = hub.repository(NAME)
    tree = repository.tree(revision)
    return {path: repository.path_of(tree[path]).read_bytes() for path in tree if path != ".gitattributes"}


def expected(root: Path, card: str = CARD) -> dict[str, bytes]:
    """Return path to content of what there is to be shown."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    found = {path: file.read_bytes() for path, file in files.items() if not path.startswith(".")}
    return {"README.md": card.encode()} | found


def check_published(hub: HubServer, root: Path, *, twice: int = 0) -> None:
    """The Hub shows exactly what is in the folder, its tag points there, and only `twice` files were sent twice."""
    assert shown(hub) == expected(root)
    repository = hub.repository(NAME)
    assert repository.resolve("v3.0") == repository.resolve("main")
    assert sum(hub.transfers.sent.values()) - len(hub.transfers.sent) <= twice
