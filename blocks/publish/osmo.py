"""OSMO's own command: addresses, uploads of both its families of commands, and its output without secrets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...core.errors import RobotroveError, UsageError, printable

FOLDER = "lerobot"
ADDRESSES = "[BUCKET/]NAME[:TAG] of letters, digits, - and _, or swift://…, s3://…, gs://…, tos://…, azure://…"

# A dash at the beginning would be an option of the command.
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
_NAME = re.compile(rf"(?:{_WORD}/)?({_WORD})(?::{_WORD})?")
# src/lib/api/storage.py of NVIDIA/OSMO at 1da31e19, without white space and logins.
_HOST, _PART = r"[^/,;*\s@]+", r"/[^/,;*\s]+"
_URI = re.compile(
    rf"(?:swift://{_HOST}(?:{_PART}){{2,}}|(?:s3|gs)://{_HOST}(?:{_PART})*|(?:tos|azure)://{_HOST}(?:{_PART})+)/*"
)
# Both families are in OSMO 6.3.1; 7e937500, for 6.4, removed the first.
_DATASET, _DATA = ("dataset", "upload"), ("data", "upload")
_FORMS = {_DATASET: "[BUCKET/]NAME[:TAG]", _DATA: "a URI such as s3://BUCKET/PATH"}
_SHOWN = 12  # of the lines that the command printed last
# It says so and exits with 0 (src/lib/data/storage/client.py).
_SOME_FAILED = "Failed on files"

HIDDEN = "***"
_SECRET_NAMES = (
    r"(?:token|secret|password|passwd|signature|credentials?|authorization|api[-_]?key|access[-_]?key(?:[-_]?id)?)"
)
_GIVEN = re.compile(rf"({_SECRET_NAMES}[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"'&,;]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(://)[^/\s@]+@")
# Tokens that are known by how they begin: JSON web tokens, the Hub's, AWS's, GitHub's, NVIDIA's.
_KNOWN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|\b(?:hf|ghp|nvapi)[_-]\w{16,}|\bA[KS]IA[A-Z0-9]{16}\b")
_VARIABLE = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|KEY", re.IGNORECASE)
_MIN_VALUE = 8  # shorter ones are no secrets, and would be found in ordinary words


class OsmoAddress:
    """Place of an upload: a dataset of OSMO up to 6.3, or a URI of its storage.

    Args:
        text: [BUCKET/]NAME[:TAG], or swift://…, s3://…, gs://…, tos://… or azure://….
        where: What it was given to, for the error.

    Raises:
        UsageError: If it is neither.
    """

    def __init__(self, text: str, where: str) -> None:
        name = _NAME.fullmatch(text)
        if not name and not _URI.fullmatch(text):
            raise UsageError(where, f"{printable(redacted(text))!r} is not an address of OSMO", ADDRESSES)
        self.text = text
        self._name = name and name[1]

    @property
    def _command(self) -> tuple[str, str]:
        return _DATASET if self._name else _DATA

    @property
    def workflow_input(self) -> dict[str, Any]:
        """Entry under `inputs` of a workflow that downloads it."""
        return {"dataset": {"name": self.text}} if self._name else {"url": self.text}

    def workflow_path(self, recording: str) -> str:
        """Return the folder of the dataset in a workflow with this as its first input."""
        return "/".join(["{{input:0}}", *([self._name] if self._name else []), recording, FOLDER])

    def check_known(self) -> None:
        """Refuse a machine without OSMO's command, or with one that does not take such addresses.

        Raises:
            UsageError: With the form of addresses that it takes.
        """
        code, lines, _ = _run([_osmo(), *self._command, "--help"])  # works without a login
        if not code:
            return
        [other] = {_DATASET, _DATA} - {self._command}
        takes = not _run([_osmo(), *other, "--help"])[0]
        raise UsageError(
            f"osmo {' '.join(self._command)}",
            f"this osmo does not know it: {_ended(code)}{_shown(lines)}",
            "OSMO before 6.4, which removed its datasets" if self._name else "OSMO 6.3 or later",
            f"give {_FORMS[other]}, for `osmo {' '.join(other)}`" if takes else "install OSMO's command line",
        )

    def upload(self, root: Path) -> None:
        """Upload a dataset as <recording>/lerobot/…; of OSMO's datasets this makes a new version.

        Raises:
            RobotroveError: With the exit code and the last lines of the command if it fails.
        """
        _check_plain(root)
        with _in_shape(root) as folder:
            # OSMO stores paths from the folder's name on, and matches them from their beginning.
            only = re.escape(f"{folder.name}/{FOLDER}/")
            code, lines, some_failed = _run([_osmo(), *self._command, "--regex", only, self.text, str(folder)])
        if code or some_failed:
            raise RobotroveError(
                f"osmo {' '.join(self._command)} {redacted(self.text)}",
                f"{_ended(code)}{', but some files were not uploaded' if not code else ''}{_shown(lines)}",
                "exit code 0, and all files uploaded",
                "fix it (osmo login URL), then rerun the command of robotrove: only the upload is repeated",
            )


def recording_of(root: Path) -> str:
    """Return the name of the folder that OSMO gets: of <recording>/lerobot the recording, else the dataset's own."""
    root = Path(os.path.abspath(root))
    return root.parent.name if root.name == FOLDER and root.parent.name else root.name


@contextmanager
def _in_shape(root: Path) -> Iterator[Path]:
    """Yield a folder with the recording's name that has the dataset as `lerobot`.

    Of a dataset with another name, this is a temporary folder of links: OSMO reads the files behind links, and does
    not walk into folders behind them (src/lib/data/storage/common.py).
    """
    root = Path(os.path.abspath(root))
    if root.name == FOLDER and root.parent.name and not root.is_symlink():
        yield root.parent
        return
    with tempfile.TemporaryDirectory(prefix="robotrove-osmo-") as place:
        folder = Path(place, recording_of(root))
        for path in sorted(root.rglob("*")):
            if path.is_file():
                link = folder / FOLDER / path.relative_to(root)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
        yield folder


def _osmo() -> str:
    found = shutil.which("osmo")
    if found is None:
        raise UsageError(
            "osmo",
            "this command is not installed, or not on PATH",
            "OSMO's command line, which uploads",
            "install it and log in: osmo login URL",
        )
    return found


def _check_plain(root: Path) -> None:
    """Refuse links and devices: OSMO would leave them out, or stop at them."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise RobotroveError(str(path), "is not a plain file", "a dataset of plain files and folders")


def _run(command: Sequence[str]) -> tuple[int, list[str], bool]:
    """Run a command; return its exit code, the last lines that it printed, and whether it said that files failed."""
    last: deque[str] = deque(maxlen=_SHOWN)
    some_failed = False
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as exc:
        raise UsageError(command[0], f"cannot be started: {exc.strerror}", "OSMO's command line") from exc
    with process:
        assert process.stdout is not None
        try:
            for line in process.stdout:  # progress bars end their lines with \r, which counts as an end here
                some_failed |= _SOME_FAILED in line
                if line.strip():
                    last.append(line.strip())
        except BaseException:
            process.kill()
            raise
    return process.returncode, list(last), some_failed


def _ended(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"


def _shown(lines: Sequence[str]) -> str:
    return "".join(f"\n    {printable(redacted(line))}" for line in lines)


def redacted(text: str) -> str:
    """Return a text with what looks like a secret, or is one in the environment, replaced by ***."""
    for name, value in os.environ.items():
        if _VARIABLE.search(name) and len(value) >= _MIN_VALUE:
            text = text.replace(value, HIDDEN)
    text = _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)
    text = _GIVEN.sub(rf"\1{HIDDEN}", text)
    return _KNOWN.sub(HIDDEN, _BEARER.sub(rf"\1 {HIDDEN}", text))
