"""Names of things on the Hub: hf://datasets/OWNER/NAME[@REVISION][/PATH]."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..core.errors import UsageError

_PREFIX = "hf://"
_ADDRESS = re.compile(r"hf://datasets/(?P<repo_id>[^/@]+/[^/@]+)(@(?P<revision>refs/pr/\d+|[^/@]+))?(/(?P<path>.*))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A file, a folder or a pattern in a dataset repository.

    Attributes:
        repo_id: OWNER/NAME.
        revision: Branch, tag or commit.
        path: Inside of the repository; empty for all of it.
    """

    repo_id: str
    revision: str
    path: str


def is_on_hub(text: str) -> bool:
    """True for a text that names something on the Hub."""
    return text.startswith(_PREFIX)


def parse(text: str) -> Address:
    """Return the parts of a name.

    Raises:
        UsageError: If it is none.
    """
    found = _ADDRESS.fullmatch(text)
    path = PurePosixPath((found and found["path"]) or "")
    if found is None or ".." in path.parts:
        raise UsageError(text, "is not a name on the Hub", "hf://datasets/OWNER/NAME[@REVISION][/PATH]")
    return Address(found["repo_id"], found["revision"] or "main", "" if path == PurePosixPath() else str(path))
