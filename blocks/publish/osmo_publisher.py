"""osmo_publisher: uploads a finished dataset to OSMO, with OSMO's own command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import RobotroveError, UsageError, printable
from ..binding import Bound
from ..dataset.verifier import check
from ..dataset_step import DatasetStep

# What OSMO takes; a dash at the beginning would be an option of the command.
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
_NAME = re.compile(rf"(?:{_WORD}/)?{_WORD}(?::{_WORD})?")
_FOLDER = "lerobot"
_UPLOAD = ("dataset", "upload")
_SHOWN = 12  # of the lines that the command printed last
# OSMO 6 says so and ends with 0 (src/lib/data/dataset/manager.py).
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


class OsmoPublisher(Bound, DatasetStep):
    """Uploads a finished dataset with `osmo dataset upload`, as <recording>/lerobot/…, for OSMO's workflows.

    Put it under `publish:`. The output must be a folder named lerobot, in a folder named after the recording. Other
    files in that folder, such as the run directory, are not sent. Each upload is a new version of OSMO's dataset; it
    sends only new content. The login is that of `osmo login`.

    Args:
        dataset: OSMO's dataset, [BUCKET/]NAME[:TAG] of letters, digits, - and _.
        verify: Check the dataset first, and refuse one with errors.
    """

    name = "osmo_publisher"
    role = "publish"
    has_one_unit = True

    def __init__(self, *, dataset: str, verify: bool = True) -> None:
        if not _NAME.fullmatch(dataset):
            raise UsageError(
                "osmo_publisher", f"dataset {printable(dataset)!r}", "[BUCKET/]NAME[:TAG] of letters, digits, - and _"
            )
        self.dataset = dataset
        self.verify = verify

    def check_ready(self, output: Path, formats: Sequence[str]) -> None:
        """Refuse an output that has not the shape, and a machine without the command.

        Raises:
            UsageError: Saying which.
        """
        if len(formats) > 1:
            raise UsageError(self.name, f"the run makes {' and '.join(formats)}", "one dataset", "formats: [v2.1]")
        if output.name != _FOLDER or not output.parent.name:
            raise UsageError(
                f"{self.name}: {output}",
                f"is not <recording>/{_FOLDER}, which OSMO's workflows read",
                f"a folder {_FOLDER} in one that is named after the recording",
                f"--output {output / _FOLDER}",
            )
        # Its help is there without a login; OSMO 6.4 has no such command any more.
        code, lines, _ = _run([_osmo(), *_UPLOAD, "--help"])
        if code:
            raise UsageError(
                f"osmo {' '.join(_UPLOAD)}",
                f"this osmo does not know it: {_ended(code)}{_shown(lines)}",
                "OSMO before 6.4, which removed its datasets",
                "remove osmo_publisher and pass the output to a workflow, or install an older client",
            )

    def plan(self) -> None:
        """Check the dataset.

        Raises:
            RobotroveError: If it is wrong, or is not of plain files.
        """
        _check_plain(self._root)
        if self.verify:
            check(self._root)

    def units(self) -> list[str]:
        """Return the dataset of OSMO."""
        return [self.dataset]

    def process(self, unit: str) -> None:
        """Upload; OSMO shows a version when it is complete.

        Raises:
            RobotroveError: With the exit code and the last lines of the command if it fails.
        """
        folder = self._root.parent
        # OSMO stores paths from the folder's name on, and matches them from their beginning.
        only = re.escape(f"{folder.name}/{_FOLDER}/")
        code, lines, some_failed = _run([_osmo(), *_UPLOAD, "--regex", only, unit, str(folder)])
        if code or some_failed:
            raise RobotroveError(
                f"osmo {' '.join(_UPLOAD)} {unit}",
                f"{_ended(code)}{', but some files were not uploaded' if not code else ''}{_shown(lines)}",
                "exit code 0, and all files uploaded",
                "fix it (osmo login URL), then rerun the command of the run: only the upload is repeated",
            )

    @property
    def _root(self) -> Path:
        return self.binding.finished_root(self.binding.run.formats[0])


def _osmo() -> str:
    found = shutil.which("osmo")
    if found is None:
        raise UsageError(
            "osmo",
            "this command is not installed, or not on PATH",
            "OSMO's command line, which osmo_publisher calls",
            "install it and log in (osmo login URL), or remove osmo_publisher",
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
