"""The card of a dataset: README.md as the Hub reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import yaml

from ..core.errors import printable
from ..core.version import MARK

VISUALIZER = "https://huggingface.co/spaces/lerobot/visualize_dataset?path="
_SHOWN = 20
_BACKTICKS = re.compile("`+")
_PIPE = re.compile(r"(\\*)\|")  # an odd number of backslashes keeps one from ending its cell, in code too


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Content of a card.

    Attributes:
        repo_id: OWNER/NAME.
        version: Codebase version.
        branch: Branch that shows this version.
        license: The keys `license`, `license_name` and `license_link` of the front matter that are known.
        robot: Type of the robot.
        fps: Frames per second.
        episodes: Number of episodes.
        frames: Number of frames.
        tasks: Instructions.
        cameras: Camera to the size and the codec of its pictures.
        features: Feature to type and names of its values.
        made: How it was made, as sentences.
        is_verified: False if the dataset was not checked before it was pushed.
    """

    repo_id: str
    version: str
    branch: str
    license: Mapping[str, Any]
    robot: str | None
    fps: float
    episodes: int
    frames: int
    tasks: Sequence[str]
    cameras: Mapping[str, tuple[str, str]]
    features: Mapping[str, tuple[str, str]]
    made: Sequence[str]
    is_verified: bool


def card(facts: CardFacts) -> str:
    """Return README.md."""
    head = {
        **facts.license,
        "task_categories": ["robotics"],
        "tags": ["LeRobot", "robotrove", *([facts.robot] if facts.robot else [])],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    }
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return "\n".join(["---", front + "---", "", *_body(facts), "", MARK, ""])


def _body(facts: CardFacts) -> Iterator[str]:
    name = facts.repo_id.partition("/")[2]
    yield f"# {name}"
    yield ""
    yield f"{facts.episodes:,} episodes, {facts.frames:,} frames at {facts.fps:g} per second, in LeRobot's format"
    yield f"{facts.version}. [Look at it]({VISUALIZER}{quote(facts.repo_id, safe='')})."
    yield ""
    if not facts.is_verified:
        yield "**This dataset was pushed without a check** (`--no-verify`)."
        yield ""
    yield from _table(
        ("", ""),
        [
            ("robot", code_span(facts.robot) if facts.robot else "not stated"),
            ("cameras", ", ".join(map(_camera, facts.cameras.items())) or "none"),
            ("licence", code_span(_named(facts.license)) if facts.license else "not stated; ask the publisher"),
        ],
    )
    yield ""
    yield "## Tasks"
    yield ""
    yield from (f"- {code_span(task)}" for task in facts.tasks[:_SHOWN])
    if (more := len(facts.tasks) - _SHOWN) > 0:
        yield f"- and {more:,} more"
    yield ""
    yield "## Features"
    yield ""
    rows = [
        (code_span(key), code_span(kind), names and code_span(names)) for key, (kind, names) in facts.features.items()
    ]
    yield from _table(("feature", "type", "values"), rows)
    yield ""
    yield "## How it was made"
    yield ""
    yield from facts.made
    yield ""
    yield "```python"
    yield "from lerobot.datasets.lerobot_dataset import LeRobotDataset"
    yield ""
    revision = f', revision="{facts.branch}"' if facts.branch not in ("main", facts.version) else ""
    yield f'dataset = LeRobotDataset("{facts.repo_id}"{revision})'
    yield "```"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(_PIPE.sub(r"\1\1\\|", cell) for cell in row) + " |"


def _camera(camera: tuple[str, tuple[str, str]]) -> str:
    key, (size, stored) = camera
    return f"{code_span(key)} ({size}, {code_span(stored)})"


def _named(license: Mapping[str, Any]) -> str:
    return str(license.get("license_name") or license.get("license"))


def code_span(text: str) -> str:
    """Return text as Markdown that shows it as it is: no link, image, HTML or mention in it is live."""
    shown = printable(" ".join(text.split())) or " "
    fence = "`" * (1 + max(map(len, _BACKTICKS.findall(shown)), default=0))
    pad = " " if "`" in (shown[0], shown[-1]) else ""  # a reader of Markdown takes one space away at both ends
    return f"{fence}{pad}{shown}{pad}{fence}"
