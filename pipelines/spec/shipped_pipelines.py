"""Shipped pipelines, found by name, and the text of the pipeline that a command line names."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ...core.errors import UsageError, nearest

_SHIPPED = Path(__file__).parents[1] / "shipped"


def shipped_names() -> list[str]:
    """Return the names of the shipped pipelines."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def shipped_text(name: str) -> str:
    """Return the text of a shipped pipeline, in which `source.files` is left out.

    Raises:
        UsageError: If there is none of this name.
    """
    names = shipped_names()
    if name not in names:
        raise UsageError(
            f"pipeline {name!r}",
            f"there is neither a file nor a shipped pipeline of this name{nearest(name, names)}",
            "a pipeline file, or one of " + ", ".join(names),
            "robotrove init --pipeline NAME copies a shipped one, robotrove init FILE… writes one for files",
        )
    return (_SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")


def is_shipped(path: Path) -> bool:
    """True if a path that was given is no file but the bare name of a pipeline."""
    return path.name == str(path) and not path.suffix and not path.is_file()


def pipeline_file_text(path: Path) -> str:
    """Return the text of a pipeline file, or of a shipped pipeline if `path` is its name.

    Raises:
        UsageError: If it cannot be read.
    """
    if is_shipped(path):
        return shipped_text(path.name)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise UsageError(str(path), f"is not text in UTF-8 (byte {exc.start})", "a pipeline file in YAML") from exc
    except OSError as exc:
        names = [item.name for item in path.parent.glob("*.y*ml")]
        close = get_close_matches(path.name, names, n=1)
        action = f"did you mean {path.with_name(close[0])}?" if close else "robotrove init FILE… writes one"
        raise UsageError(str(path), f"cannot be read: {exc.strerror}", "a pipeline file in YAML", action) from exc
