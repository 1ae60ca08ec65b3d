"""HDF5 file: open it, name its damage, compute the digest of its content."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.errors import EpisodeRejected, in_utf8

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_BUSY = {errno.EAGAIN, errno.EACCES}  # what flock and fcntl say of a lock that another holds
# h5py's ways to say that an object is damaged, or of a type that numpy does not have.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)

MAX_DIGEST_ROW = 64 * 1024

HDF5_SUFFIXES = (".hdf5", ".h5")


class FlatGroup(h5py.Group):
    """One of the episodes that lie end to end in the datasets of a group.

    Attributes:
        rows: Its rows of each dataset with a row per frame.
        total: Rows of such a dataset.
    """

    def __init__(self, group: h5py.Group, rows: range, total: int) -> None:
        super().__init__(group.id)
        self.rows = rows
        self.total = total


def rows_of(group: h5py.Group, dataset: h5py.Dataset) -> range:
    """Return the rows of a dataset that belong to the episode in `group`: all, unless it has several end to end."""
    is_shared = isinstance(group, FlatGroup) and len(dataset) == group.total
    return group.rows if is_shared else range(len(dataset))


def split_key(key: str) -> tuple[str, range | None]:
    """Return the path of a group, and the rows of an episode in it: `data/a[12:24]` has 12 to 23 of data/a."""
    found = re.fullmatch(r"(.*)\[([0-9]+):([0-9]+)\]", key, re.DOTALL)
    return (found[1], range(int(found[2]), int(found[3]))) if found else (key, None)


def object_name(name: str | bytes) -> str:
    """Return the name of an object as text; h5py gives one that is no UTF-8 as bytes, and cannot open it."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def undecodable(where: str, text: str) -> str:
    """Return the problem of a text that UTF-8 cannot hold, an empty string for others."""
    if in_utf8(text) == text:
        return ""
    with suppress(UnicodeEncodeError):  # a surrogate that is written in JSON stands for no bytes
        return f"{where} is not UTF-8: it begins with the bytes {text.encode(errors='surrogateescape')[:8].hex(' ')}"
    return f"{where} is not UTF-8: {in_utf8(text[:20])}"


def natural_key(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that puts demo_2 before demo_10; any two strings can be compared.

    The parts alternate text, number, text …, so equal positions always hold equal types; the text
    itself comes last and orders demo_1 and demo_01.
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def open_hdf5(path: Path, *, locking: bool) -> h5py.File:
    """Open a demonstration file for reading.

    Args:
        path: The file.
        locking: True to take HDF5's shared lock, which a writer's lock refuses; where the file
            system knows no locks the file is opened without one. False does not lock, unless this
            process has the file open with a lock already.

    Raises:
        EpisodeRejected: missing_file, empty_file, not_hdf5, truncated_file, being_written or
            unreadable_file.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise EpisodeRejected("unreadable_file", f"{path} is not a regular file")  # reading a pipe would wait for ever
    # "best-effort" is h5py's default; HDF5 insists that a file which this process has open already is
    # opened again in the same mode, whichever that was.
    failure = OSError()
    for mode in ("best-effort", True, False) if locking else (False, "best-effort", True):
        try:
            return h5py.File(path, "r", locking=mode)
        except OSError as exc:
            failure = exc
            if exc.errno not in _NO_LOCKS and "flag values don't match" not in str(exc):
                break
    raise _classified(path, failure) from failure


def _classified(path: Path, exc: OSError) -> EpisodeRejected:
    text = str(exc)
    if isinstance(exc, FileNotFoundError):
        return EpisodeRejected("missing_file", f"{path} does not exist")
    if exc.errno in _BUSY and "lock" in text:
        return EpisodeRejected(
            "being_written", f"{path} is open for writing in another process; rerun when the recording is closed"
        )
    if "already open for write" in text:
        return EpisodeRejected(
            "being_written",
            f"{path} is marked as open for writing: its writer still runs, or it died; "
            f"if no process writes it, clear the mark with `h5clear -s {path.name}`",
        )
    if sizes := re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", text):
        found, expected = map(int, sizes.groups())
        return EpisodeRejected(
            "truncated_file", f"{path} has {found:,} bytes of the {expected:,} in its header; copy or record it again"
        )
    if path.is_dir():
        return EpisodeRejected("unreadable_file", f"{path} is a folder, not a file")
    if path.is_file():
        if path.stat().st_size == 0:
            return EpisodeRejected("empty_file", f"{path} has 0 bytes")
        if "signature not found" in text:
            return EpisodeRejected("not_hdf5", f"{path} does not begin like an HDF5 file{_looks_like(path)}")
    return EpisodeRejected("unreadable_file", f"{path} cannot be opened: {text}")


def _looks_like(path: Path) -> str:
    with open(path, "rb") as stream:
        if stream.read(24).startswith(b"version https://git-lfs"):
            return "; it is a Git LFS pointer, fetch the file itself with `git lfs pull`"
    return ""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn HDF5's errors while reading `what` into EpisodeRejected("unreadable_data")."""
    try:
        yield
    except DAMAGE as exc:
        raise EpisodeRejected("unreadable_data", f"{what} cannot be read: {exc}") from exc


def objects(group: h5py.Group) -> dict[str, h5py.Group | h5py.Dataset]:
    """Return everything below a group by path relative to it, in natural order; links are not followed.

    Raises:
        EpisodeRejected: unreadable_data if the file's structure is damaged.
    """
    found: dict[str, h5py.Group | h5py.Dataset] = {}
    with reading(f"group {group.name}"):
        group.visititems(lambda path, item: found.__setitem__(object_name(path), item))
    return dict(sorted(found.items(), key=lambda entry: natural_key(entry[0])))


def datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets below a group by path relative to it, in natural order."""
    return {path: item for path, item in objects(group).items() if isinstance(item, h5py.Dataset)}


def source_digest(group: h5py.Group) -> str:
    """Return the digest of an episode's content, independent of chunks and compression.

    sha256 over the sorted (path, shape, dtype, attributes) of the group and all below it, and the
    first and last row of its numeric datasets of at most two dimensions. Rows of images are left
    out: reading one row of h5py's automatic chunks inflates a whole band of frames. So are rows
    over 64 KiB, which are encoded images. Of a `FlatGroup` the rows of the episode count, and where they are.

    Raises:
        EpisodeRejected: unreadable_data if an object of the episode is damaged.
    """
    digest = hashlib.sha256()
    if isinstance(group, FlatGroup):
        digest.update(f"{group.rows}\0".encode())
    for path, item in sorted({"": group, **objects(group)}.items()):
        with reading(f"{group.name}/{path}"):
            shape = "group" if isinstance(item, h5py.Group) else _shape(group, item)
            dtype = dtype_name(item.dtype) if isinstance(item, h5py.Dataset) else ""
            digest.update(f"{path}\0{shape}\0{dtype}\0".encode(errors="surrogateescape"))
            for name in sorted(item.attrs):
                digest.update(f"{name}\0".encode(errors="surrogateescape"))
                digest.update(_canonical(item.attrs[name]))
            if isinstance(item, h5py.Dataset):
                for row in _edge_rows(group, item):
                    digest.update(row)
    return digest.hexdigest()


def _shape(group: h5py.Group, dataset: h5py.Dataset) -> tuple[int, ...]:
    return (len(rows_of(group, dataset)), *dataset.shape[1:]) if dataset.shape else ()


def _edge_rows(group: h5py.Group, dataset: h5py.Dataset) -> Iterator[bytes]:
    if dataset.shape is None or not 1 <= len(dataset.shape) <= 2 or dataset.dtype.kind not in "biufc":
        return
    if len(dataset) == 0 or prod(dataset.shape[1:]) * dataset.dtype.itemsize > MAX_DIGEST_ROW:
        return
    rows = rows_of(group, dataset)
    yield dataset[rows[0]].tobytes()
    yield dataset[rows[-1]].tobytes()


def form(dataset: h5py.Dataset) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a dataset as it is read: rows of the type H5T_ARRAY have axes of their own."""
    shape, dtype = tuple(dataset.shape or ()), dataset.dtype
    while dtype.subdtype is not None:
        shape, dtype = (*shape, *dtype.shape), dtype.base
    return shape, dtype


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return a name for a dtype that depends on nothing but the file: `float32`, `string`, `vlen uint8`."""
    if h5py.check_string_dtype(dtype) is not None:
        return "string"
    vlen = h5py.check_vlen_dtype(dtype)
    if vlen is not None:
        return f"vlen {np.dtype(vlen).name}"
    return dtype.name if dtype.names is None else str(dtype.descr)


def _canonical(value: Any) -> bytes:
    """Return an attribute's value as bytes that do not depend on the process or the HDF5 version."""
    if isinstance(value, bytes | str):
        data = value.encode(errors="surrogateescape") if isinstance(value, str) else bytes(value)
        return b"s%d:" % len(data) + data
    if isinstance(value, h5py.Empty):
        return b"empty"
    if isinstance(value, h5py.Reference | h5py.RegionReference):
        return b"reference"  # an address in this file: it changes when the file is repacked
    array = np.asarray(value)
    head = f"{array.shape}{dtype_name(array.dtype)}".encode()
    if array.dtype.kind == "O":
        return head + b"".join(map(_canonical, array.ravel()))
    return head + array.tobytes()
