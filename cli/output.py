"""Output of commands on standard output: text, JSON, sizes, counts."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from contextlib import suppress
from typing import Any, Literal

import click

from ..core.commit import finite
from ..core.errors import in_utf8, without_controls


def echo(text: str, *, err: bool = False) -> None:
    """Print a text; control characters, and what the terminal's encoding or UTF-8 cannot hold, are escaped.

    Args:
        text: The text.
        err: Print it on standard error; what that does not take is lost.
    """
    if err:
        with suppress(OSError):
            click.echo(without_controls(in_utf8(text)), err=True)
    else:
        echo_drawn(without_controls(text))


def echo_drawn(text: str) -> None:
    """Print a text with colours, the names in it `printable`; otherwise as `echo`."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def echo_json(document: Any) -> None:
    """Print one JSON document; numbers that JSON has no word for become "nan", "inf" and "-inf"."""
    echo(terminal_json(finite(document, str), indent=2))


def terminal_json(document: Any, indent: int | None = None) -> str:
    """Return JSON that a terminal can show: where control characters are in it, all but ASCII is escaped."""
    # Surrogates of names that are no UTF-8 come out as \udcxx, which is JSON's own way to write them.
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return text if without_controls(text) == text else json.dumps(document, indent=indent)


def colours() -> Literal["24bit", "256", "none"]:
    """Return how standard output takes colours: none where it is no terminal, by NO_COLOR, or without UTF-8."""
    is_utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    if os.environ.get("NO_COLOR") or not is_utf8 or not sys.stdout.isatty():
        return "none"
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "24bit"
    return "256" if "256color" in os.environ.get("TERM", "") else "none"


def size(count: int) -> str:
    """Return a number of bytes for people: 512 B, 3.4 KB, 1.2 GB (powers of 1000)."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one: 3 episodes, 1 entry → 2 entries."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian wide letters two, accents over others none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def padded(text: str, width: int) -> str:
    """Return a text with spaces up to a number of columns."""
    return text + " " * (width - columns(text))


def cut(text: str, width: int) -> str:
    """Return a text of at most so many columns, with an ellipsis if letters are missing."""
    if columns(text) <= width:
        return text
    while columns(text) > width - 1:
        text = text[:-1]
    return f"{text}…"
