from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator

import pytest

from robotrove.core.prefetch import prefetch


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_order_and_end() -> None:
    assert list(prefetch(iter(range(50)))) == list(range(50))
    assert list(prefetch(iter(()))) == []
    assert not _threads()


def test_never_more_ahead_than_said() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    for seen in prefetch(items(), depth=3):
        time.sleep(0.005)
        assert len(made) <= seen + 1 + 3 + 1  # taken, waiting, and one in the making


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("row 3")

    seen = []
    with pytest.raises(KeyError, match="row 3"):
        seen.extend(prefetch(items()))
    assert seen == [1, 2]
    assert not _threads()


def test_closing_ends_the_thread() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    stream = prefetch(endless())
    next(stream)
    assert len(_threads()) == 1
    assert isinstance(stream, Generator)
    stream.close()
    assert not _threads()
