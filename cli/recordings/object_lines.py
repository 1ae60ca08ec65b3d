"""Objects of an HDF5 file as lines of text."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from operator import itemgetter
from textwrap import wrap
from typing import Any

from ...core.errors import printable
from ...formats.hdf5.hdf5_file import natural_key
from ...formats.hdf5.preview import Pictures, Preview
from ...formats.hdf5.tree import MAX_VALUES, Branch, Node, Spread
from ...media.image.overview import Colours, filmstrip
from ..output import columns, counted, padded, size

WIDTH = 80
_MOST_NAME = 32
_MOST_TEXT = 200
FRAMES = 4  # of a filmstrip
_MOST_BUT = 3  # names shown of objects between others that are not alike


def tree_lines(branch: Branch, *, attrs: bool, max_level: int | None) -> Iterator[tuple[list[str], Branch]]:
    """Yield the texts of each object of a tree with the object, members in natural order.

    The first text is the object, on two lines where one would be longer than 80 columns, the others are its attributes.

    Args:
        branch: Where to begin.
        attrs: Also show attributes.
        max_level: Deepest level to show, the root being 0; None for all.
    """
    width = min(_MOST_NAME, _widest(branch, max_level))
    yield from _below(branch, _in_order([branch]), width, attrs, max_level)


def _widest(branch: Branch, max_level: int | None) -> int:
    node = branch.node
    own = 2 * node.level + columns(printable(_name(node)))
    is_shown = max_level is None or node.level < max_level
    return max([own, *(_widest(member, max_level) for member in branch.below if is_shown)])


def _in_order(siblings: Sequence[Branch]) -> list[tuple[Any, str, Branch]]:
    """Return sort key and name of all objects of siblings, with their branch; of many, sorting them again is slow."""
    if all(len(branch.names) == 1 for branch in siblings):
        return []
    found = [(natural_key(name), name, branch) for branch in siblings for name in dict.fromkeys(branch.names)]
    return sorted(found, key=itemgetter(0))


def _below(
    branch: Branch, in_order: Sequence[tuple[Any, str, Branch]], width: int, attrs: bool, max_level: int | None
) -> Iterator[tuple[list[str], Branch]]:
    node, indent = branch.node, "  " * branch.node.level
    if len(set(branch.names)) > 1:
        head = f"{indent}{_alike(branch, in_order)}, {size(branch.size)}"
    else:
        head = f"{padded(indent + printable(_name(node)), width)}  {facts(branch)}"
        form, mark, storage = head.rpartition(", chunks ")
        if mark and columns(head) > WIDTH:
            head = f"{form},\n{'':<{width}}  chunks {storage}"
    found = branch.attrs.items() if attrs else ()
    yield [head, *(f"{indent}  @{printable(name)} = {_values(values)}" for name, values in found)], branch
    if max_level is None or node.level < max_level:
        members = _in_order(branch.below)
        for member in branch.below:
            yield from _below(member, members, width, attrs, max_level)


def _name(node: Node) -> str:
    return node.path.rpartition("/")[2] or "/"


def _alike(branch: Branch, in_order: Sequence[tuple[Any, str, Branch]]) -> str:
    names = list(dict.fromkeys(branch.names))
    first, last = map(natural_key, (names[0], names[-1]))
    after = islice(in_order, bisect_right(in_order, first, key=itemgetter(0)), None)
    inside = takewhile(lambda entry: entry[0] < last, after)
    between = list(islice((name for _, name, other in inside if other is not branch), _MOST_BUT + 1))
    but = ", ".join(map(printable, between[:_MOST_BUT])) + (", …" if len(between) > _MOST_BUT else "")
    rows = f", {_range(branch.rows)} row{'s' * (branch.rows != (1, 1))}" if branch.rows else ""
    ends = f"{printable(names[0])} … {printable(names[-1])}"
    return f"{ends} ({len(names):,} alike{f', without {but}' if but else ''}{rows})"


def _range(ends: tuple[float, float], to: str = " to ") -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,}{to}{ends[1]:,}"


def _values(spread: Spread) -> str:
    if len(spread.values) > 1 and spread.low is not None and spread.high is not None:
        return _range((_rounded(spread.low), _rounded(spread.high)))
    more = ["…"] if len(spread.values) > MAX_VALUES else []
    return ", ".join([*map(short, spread.values[:MAX_VALUES]), *more])


def facts(branch: Branch) -> str:
    """Return what is known of an object, without its name and attributes."""
    node = branch.node
    if node.kind == "group":
        return f"group, {counted(node.n_children, 'member')}"
    if node.kind == "type":
        return f"type {printable(node.dtype)}"
    if node.kind == "link":
        nowhere = f", LEADS NOWHERE: {printable(node.problem)}" if node.problem else ""
        return f"link to {printable(node.target)}{nowhere}" if node.target else "link, not followed"
    if node.kind == "unreadable":
        return f"CANNOT BE READ: {printable(node.problem)}"
    other = f"in another file: {printable(node.target)}" if node.target else ""
    if other and node.shape is None and node.problem:
        return f"{printable(node.dtype)}, {other}, NOT READ: {printable(node.problem)}"
    storage = other or (f"chunks {node.chunks}" if node.chunks else "contiguous")
    packing = "".join(f", {printable(text)}" for text in (node.compression, node.problem) if text)
    total = " in all" if len(branch.names) > 1 else ""
    return f"{_shape(branch)} {printable(node.dtype)}, {size(branch.size)}{total}, {storage}{packing}"


def _shape(branch: Branch) -> str:
    shape = branch.node.shape
    if shape and branch.rows and branch.rows[0] != branch.rows[1]:
        text = str((0, *shape[1:]))
        return f"({branch.rows[0]}–{branch.rows[1]}{text[2:]}"
    return "empty" if shape is None else str(shape)


def preview_lines(found: Preview | None, shown: Pictures, how: Colours, indent: str = "") -> Iterator[str]:
    """Yield the values of a dataset: numbers, texts, and pictures as a filmstrip of 80 columns.

    Args:
        found: Its `preview`.
        shown: Its `pictures`.
        how: How the terminal takes colours.
        indent: Before each line of text.
    """
    values = list(_text_lines(found) if found.different is not None else _number_lines(found)) if found else []
    texts = []
    if shown.rows:
        note = f" ({shown.note})" if shown.note else ""
        texts.append(f"frames {', '.join(f'{row:,}' for row, _ in shown.rows)}{note}")
    parts = [part for part in (found, shown) if part]
    texts += [f"CANNOT BE READ: {printable(part.problem)}" for part in parts if part.problem]
    texts += [f"not shown: {printable(part.skipped)}" for part in parts if part.skipped]
    for text in values:
        yield from wrap(
            text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}{'':<7}", break_long_words=False
        )
    yield from (indent + text for text in dict.fromkeys(texts))  # numbers and pictures may lack the same
    if shown.rows:
        yield from filmstrip([frame for _, frame in shown.rows], WIDTH, how)


def _number_lines(found: Preview) -> Iterator[str]:
    if found.first is not None:
        yield f"first {short(_rounded(found.first))}"
        yield f"last  {short(_rounded(found.last))}"
    if found.rows_read:
        bad = f", {counted(found.not_finite, 'value')} not finite" if found.not_finite else ""
        low, mean, high = (short(_rounded(value)) for value in (found.minimum, found.mean, found.maximum))
        yield f"min {low}, mean {mean}, max {high}{bad}{_sampled(found)}"


def _text_lines(found: Preview) -> Iterator[str]:
    if found.rows == 1:
        yield short(found.first)
    elif found.first is not None:
        yield f"first {short(found.first)}"
        yield f"last  {short(found.last)}"
        yield f"{counted(found.different or 0, 'different text')}{_sampled(found)}"


def _sampled(found: Preview) -> str:
    return f" (of {found.rows_read:,} of {found.rows:,} rows)" if found.rows_read < found.rows else ""


def _rounded(value: Any) -> Any:
    """Return numbers with 6 significant digits."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def short(value: Any) -> str:
    """Return a plain value as one line of text, at most 200 characters of it; texts of JSON stay readable."""
    is_quoted = isinstance(value, str) and '"' in value and "'" not in value
    text = printable(f"'{value}'" if is_quoted else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"
