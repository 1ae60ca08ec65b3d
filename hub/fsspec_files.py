"""Recordings at other addresses, by fsspec: s3://, gs://, https://…; the user installs the protocol's package."""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import fsspec

from ..core.commit import sync_file
from ..core.errors import RobotroveError, UsageError
from . import cache
from .cache import fill

_PIECE = 8 << 20
_TRIES = 4
# What the protocols of fsspec say of a file that is another when the file is: none says all of them.
_FACTS = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created", "md5", "checksum")


def files(text: str, suffixes: Sequence[str]) -> list[cache.Elsewhere]:
    """Return the files that a name means, see `source_files.find`."""
    system, path = _opened(text)
    protocol = text.partition("://")[0]
    try:
        if path.lower().endswith(tuple(suffixes)) and not has_magic(path):
            found = [path]
        elif has_magic(path):
            found = [str(name) for name in system.glob(path)]
        else:
            inside = [entry for entry in system.ls(path, detail=True) if entry["type"] == "file"]
            names = [entry["name"] for entry in inside]
            found = [name for name in names if name == path or name.lower().endswith(tuple(suffixes))]
        places = []
        for name in found:
            url = system.unstrip_protocol(name) if "://" not in name else name
            places.append(cache.Elsewhere(_version(url, system.info(name)), protocol, url.partition("://")[2]))
        return places
    except ImportError as exc:
        raise _missing(text, exc) from exc
    except Exception as exc:  # each protocol has its own
        if _is_gone(exc, protocol):
            return []
        raise _failed(text, exc) from exc


def fetch(place: cache.Elsewhere) -> None:
    """Bring one file to its place, and make room for it.

    Raises:
        FileNotFoundError: If it is gone, or another one by now.
    """
    system, path = _opened(place.url)
    size = _checked(system, path, place)
    cache.make_room(size)
    fill(place.file, lambda incomplete: _download(system, path, place, size, incomplete))


def _download(system: Any, path: str, place: cache.Elsewhere, size: int, incomplete: Path) -> None:
    """Complete what is there of a file."""
    for tries in range(_TRIES):
        try:
            _append(system, path, size, incomplete)
            break
        except Exception as exc:
            if _is_gone(exc, place.protocol):
                raise
            if tries == _TRIES - 1:
                raise _failed(place.url, exc) from exc
            time.sleep(2.0**tries)
    _checked(system, path, place)  # it was not replaced while it came
    sync_file(incomplete)


def _append(system: Any, path: str, size: int, incomplete: Path) -> None:
    with open(incomplete, "ab") as stream:
        if stream.tell() > size:
            stream.truncate(0)
        try:
            with system.open(path, "rb", cache_type="none") as remote:
                if stream.tell():
                    remote.seek(stream.tell())
                _copy(remote, stream, size)
        except ValueError:  # of a web server that gives files from their beginning only
            stream.truncate(0)
            with system.open(path, "rb", block_size=0) as remote:
                _copy(remote, stream, size)


def _copy(remote: BinaryIO, stream: BinaryIO, size: int) -> None:
    while (missing := size - stream.tell()) and (piece := remote.read(min(_PIECE, missing))):
        stream.write(piece)
    if missing:
        raise OSError(errno.EIO, f"it ends {missing:,} bytes early")


def _checked(system: Any, path: str, place: cache.Elsewhere) -> int:
    """Return the size of a file that is the same as when it was found."""
    try:
        facts = system.info(path)
    except Exception as exc:
        if _is_gone(exc, place.protocol):
            raise
        raise _failed(place.url, exc) from exc
    if _version(place.url, facts) != place.version:
        raise FileNotFoundError(errno.ENOENT, "was replaced by another file", place.url)
    return int(facts["size"])


def _is_gone(exc: Exception, protocol: str) -> bool:
    """True if the answer was that there is no such file: fsspec raises the same where a web server gave none."""
    if not isinstance(exc, FileNotFoundError):
        return False
    why = exc.__cause__
    return not protocol.startswith("http") or why is None or getattr(why, "status", 0) in (404, 410)


def _version(url: str, facts: Mapping[str, Any]) -> str:
    if not isinstance(facts.get("size"), int):
        raise RobotroveError(url, "its size is unknown", "a place that reports file sizes")
    known = {key: str(facts[key]) for key in _FACTS if key in facts}
    return hashlib.sha256(json.dumps([url, known]).encode()).hexdigest()[:40]


def _opened(text: str) -> tuple[Any, str]:
    """Return the file system of a name, and the name in it."""
    protocol, _, rest = text.partition("://")
    parts = urlsplit(text)
    if parts.password or (parts.query and protocol in ("http", "https")):
        shown = f"{protocol}://…"
        raise UsageError(
            shown,
            "contains a password, or a query with a possible signature: the files of the run would contain it",
            "a name without secrets",
            "log in by the environment or the configuration files of the protocol's package",
        )
    if "::" in text or not rest:
        raise UsageError(text, "names no file", "PROTOCOL://PATH")
    try:
        system, path = fsspec.core.url_to_fs(text, use_listings_cache=False)
        return system, str(path)
    except ImportError as exc:
        raise _missing(text, exc) from exc
    except ValueError as exc:
        known = "hf://, or a protocol of fsspec such as s3, gs, az, sftp, https"
        raise UsageError(text, str(exc), known) from exc
    except Exception as exc:
        raise _failed(text, exc) from exc


def _missing(text: str, exc: ImportError) -> UsageError:
    expected = "the package that fsspec needs for this protocol"
    return UsageError(text, f"the package of this protocol is missing: {exc}", expected, "pip install it")


def _failed(text: str, exc: Exception) -> RobotroveError:
    if isinstance(exc, FileNotFoundError) and isinstance(exc.__cause__, Exception):
        exc = exc.__cause__
    told = " ".join(str(exc).split()) or type(exc).__name__
    return RobotroveError(text, told, "a readable place", "check it, then rerun the command to resume")
