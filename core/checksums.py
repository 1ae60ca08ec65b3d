"""Checksums: sizes and SHA-256 digests of written files, by which later damage is found."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from .commit import exists_now, write_file
from .errors import Damaged

CHECKSUMS = "meta/robotrove/checksums.jsonl"  # of a dataset
_DIFFERS = "differs from its own checksum"
_PIECE = 1 << 20
_KEY, _END = b', "sha256": "', b'"}'
_SEAL = len(_KEY) + 64 + len(_END)


class FileSum(NamedTuple):
    """Size of a file in bytes, and its SHA-256 digest in hexadecimal digits; in JSON a list of these two."""

    size: int
    sha256: str


def file_sum(path: Path) -> FileSum:
    """Return the checksum of a file; its size is the number of bytes that were read."""
    with open(path, "rb") as stream:
        return _sum(stream)


def sums_below(root: Path) -> dict[str, FileSum]:
    """Return the checksums of the files below a folder by their paths with `/`, sorted."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return {name: file_sum(root / name) for name in names}


def problem(path: Path, expected: FileSum, *, size_only: bool = False) -> str:
    """Return how a file differs from its checksum, or from its size only; empty if it does not.

    The file is opened twice before a difference counts: on a network file system the first look may be at pages that
    another client has replaced since.

    Raises:
        OSError: If the file cannot be read.
    """
    return _look(path, expected, size_only) and _look(path, expected, size_only)


def first_problem(folder: Path, sums: Mapping[str, FileSum], *, size_only: bool = False) -> str:
    """Return name and problem of the first file that differs, empty if none does; only in folders of a run.

    The file server is asked before a file is missing, for which the folder changes for a moment: see `exists_now`.
    """
    for name, expected in sums.items():
        exists_now(folder / name)
        if found := problem(folder / name, expected, size_only=size_only):
            return f"{name} {found}"
    return ""


def copy_checked(source: Path, out: Path, expected: FileSum) -> None:
    """Copy a file, and check the very bytes that are written; a difference counts as in `problem`.

    Raises:
        Damaged: If the source differs from its checksum; `out` is worthless then.
    """
    if found := _copy(source, out, expected) and _copy(source, out, expected):
        raise Damaged(str(source), found)


def sealed(text: str) -> bytes:
    """Return the text of a JSON object with a last key, the digest of the text; an empty object takes none."""
    return text.encode().removesuffix(b"}") + _seal(text.encode())


def unsealed(data: bytes) -> str:
    """Return the text that `sealed` took.

    The digest is found by its place: searched for by its name, it would be missing where a bit of the name differs.

    Raises:
        ValueError: If a byte differs, or there is no digest.
    """
    text = data[:-_SEAL] + b"}"
    if data[-_SEAL:] != _seal(text):
        raise ValueError(_DIFFERS)
    return text.decode()


def read_sealed(path: Path) -> str:
    """Return the text of a sealed file; it is opened twice before it counts as damaged, as in `problem`.

    Raises:
        ValueError: As in `unsealed`.
        OSError: If the file cannot be read.
    """
    with suppress(ValueError):
        return unsealed(path.read_bytes())
    return unsealed(path.read_bytes())


def write_list(root: Path, sums: Mapping[str, FileSum], *, beside: Path | None = None) -> None:
    """Write the list of checksums of a dataset: a line per file, then one with their number and digest.

    Args:
        root: The dataset.
        sums: Its files.
        beside: As in `write_file`.
    """
    lines = (json.dumps({"path": name, **found._asdict()}, ensure_ascii=False) + "\n" for name, found in sums.items())
    text = "".join(lines).encode()
    end = {"lines": len(sums), "sha256": hashlib.sha256(text).hexdigest()}
    # No parents: another committer may have given the dataset its name, and the old one must not come back.
    (root / CHECKSUMS).parent.mkdir(exist_ok=True)
    write_file(root / CHECKSUMS, text + json.dumps(end).encode() + b"\n", beside=beside)


def read_list(root: Path) -> dict[str, FileSum]:
    """Return the checksums in the list of a dataset by path; none if it has no list.

    Raises:
        Damaged: If the list is not as it was written.
    """
    try:
        data = (root / CHECKSUMS).read_bytes()
    except FileNotFoundError:
        return {}
    *lines, end = data.removesuffix(b"\n").split(b"\n")
    text = b"".join(line + b"\n" for line in lines)
    if end != json.dumps({"lines": len(lines), "sha256": hashlib.sha256(text).hexdigest()}).encode():
        raise Damaged(CHECKSUMS, _DIFFERS)
    try:
        entries = [json.loads(line) for line in lines]
        return {str(entry["path"]): FileSum(entry["size"], entry["sha256"]) for entry in entries}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged(CHECKSUMS, "has a line without path, size and sha256") from None


def update_list(root: Path, names: Iterable[str]) -> None:
    """Renew the checksums of files that were rewritten in a dataset, and of no others: that would hide damage.

    A dataset without a list gets none. A damaged list stays as it is, and `verify` says so.
    """
    with suppress(Damaged):
        sums = read_list(root)
        renewed = sums | {name: file_sum(root / name) for name in names if sums}
        if renewed != sums:
            write_list(root, renewed)


def _sum(stream: BufferedReader) -> FileSum:
    digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileSum(stream.tell(), digest)


def _look(path: Path, expected: FileSum, size_only: bool) -> str:
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            is_read = size == expected.size and not size_only
            return _difference(_sum(stream) if is_read else expected._replace(size=size), expected)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "is missing"


def _copy(source: Path, out: Path, expected: FileSum) -> str:
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as stream, open(out, "wb") as copy:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            size += copy.write(piece)
    return _difference(FileSum(size, digest.hexdigest()), expected)


def _difference(found: FileSum, expected: FileSum) -> str:
    if found.size != expected.size:
        return f"has {found.size} bytes instead of {expected.size}"
    return "" if found == expected else "has other bytes than were written"


def _seal(text: bytes) -> bytes:
    return _KEY + hashlib.sha256(text).hexdigest().encode() + _END
