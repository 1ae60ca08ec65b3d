"""Flows through the code: the modules that are entered, in order, as CONTRIBUTING.md lists them."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from datatrove.utils.logging import logger

from robotrove.cli.runs.run import command
from robotrove.core.workspace import Workspace
from robotrove.executors.local import LocalExecutor
from robotrove.executors.stage import Steps
from robotrove.executors.worker import Worker
from robotrove.manifests.shard_progress import ShardProgress
from robotrove.media.encode.encoder import encoder_version
from robotrove.pipelines.run.creation import create
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.stages import stages
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    sample,
    write_pipeline,
)
from robotrove.tests.support.places import MODULES, ROOT

LIMIT = 25
_OURS = set(map(str, MODULES))
_ASIDE = ("core", "manifests")


class Flow:
    """Modules of ours in which a function is called, `core/` and `manifests/` aside, in order of the first call.

    Functions that run while a module is imported do not count. What a thread calls stands where it was started, so
    that the order does not depend on which of two threads is faster.
    """

    def __init__(self, until: CodeType | None) -> None:
        self._until = until
        self._calls: dict[int, list[str | threading.Thread]] = {}
        self._is_over = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call; the function that `sys.setprofile` takes."""
        if event != "call" or self._is_over:
            return
        if frame.f_code is self._until:
            self._is_over = True
        calls = self._calls.setdefault(threading.get_ident(), [])
        if frame.f_code is threading.Thread.start.__code__:
            calls.append(frame.f_locals["self"])
            return
        module = _module(frame)
        if module and module.split("/")[0] not in _ASIDE and module not in calls and not _is_importing(frame):
            calls.append(module)

    def modules(self) -> list[str]:
        """Return the modules of the thread that was watched, and of the threads that it started."""
        return list(dict.fromkeys(self._of(threading.get_ident())))

    def _of(self, thread: int) -> Iterator[str]:
        for call in self._calls.get(thread, []):
            if isinstance(call, str):
                yield call
            else:
                yield from self._of(call.ident or 0)


def _module(frame: FrameType) -> str:
    name = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
    return name if name in _OURS else ""  # an environment may lie in the checkout


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and _module(frame):
            return True
        frame = frame.f_back
    return False


@contextmanager
def watched(until: Callable[..., Any] | None = None) -> Iterator[Flow]:
    """Watch a block, or what comes before a function is called in it."""
    flow = Flow(until.__code__ if until else None)
    threading.setprofile(flow)
    sys.setprofile(flow)
    try:
        yield flow
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def listed(title: str) -> list[str]:
    """Return the modules that CONTRIBUTING.md lists under a title."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(r"[\w/]+\.py", text.partition(f"\n{title}")[2].partition("\n\n")[0].partition("```")[0])


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline as in the README, on a file with one camera."""
    file = sample(tmp_path, "a.hdf5", 2, 6)
    return write_pipeline(tmp_path, [file], steps=["success_filter"])


def test_from_the_command_to_a_resolved_pipeline(pipeline: Path, tmp_path: Path) -> None:
    for output in ("first", "second"):
        with watched(until=execute) as flow:
            command.main([str(pipeline), "--output", str(tmp_path / output), "--workers", "1"], standalone_mode=False)
    check(flow.modules()[:-1], "Command to execute")


def test_from_execute_to_the_first_rank(pipeline: Path, tmp_path: Path) -> None:
    for output in ("first", "second"):
        resolved, workspace = load_pipeline(pipeline), Workspace.for_output(tmp_path / output)
        executor = LocalExecutor(workers=1)
        with watched(until=Worker.give) as flow:
            execute(resolved, workspace, executor)
    check(flow.modules(), "Execute to the first rank")


def test_from_a_row_to_the_committed_episode(pipeline: Path, tmp_path: Path) -> None:
    for output in ("first", "second"):
        resolved, workspace = load_pipeline(pipeline), Workspace.for_output(tmp_path / output)
        create(resolved, workspace, encoder_version(resolved.video), most_ranks=1)
        steps = stages(workspace)[0].build()
        logger.configure(patcher=lambda record: None)  # that of ranks which an earlier test has run in this process
        with watched() as flow:
            commit_one(steps)
        assert ShardProgress(workspace, 0).is_done(0)
    check(flow.modules(), "Row to the committed episode")


def commit_one(steps: Steps) -> None:
    """Have the first episode of shard 0 committed."""
    episodes: Any = None
    for step in steps:
        episodes = step(episodes, 0, 1)
    next(episodes)


def check(found: list[str], title: str) -> None:
    """Compare a flow with the list under a title, and with the limit.

    It is that of a second run in the same process: what is cached by then depends on no other test.
    """
    assert found == listed(title), f"list in CONTRIBUTING.md, under {title!r}: {' '.join(found)}"
    assert 0 < len(found) <= LIMIT
