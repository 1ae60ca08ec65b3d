"""The card of a dataset: README.md as the Hub reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import yaml

from ..core.version import MARK

VISUALIZER = "https://huggingface.co/spaces/lerobot/visualize_dataset?path="
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Content of a card.

    Attributes:
        repo_id: OWNER/NAME.
        version: Codebase version.
        branch: Branch that shows this version.
        license: As the Hub names it; None leaves it open.
        robot: Type of the robot.
        fps: Frames per second.
        episodes: Number of episodes.
        frames: Number of frames.
        tasks: Instructions.
        cameras: Camera to what is known of its pictures.
        features: Feature to type and names of its values.
        made: How it was made, as sentences.
        is_verified: False if the dataset was not checked before it was pushed.
    """

    repo_id: str
    version: str
    branch: str
    license: str | None
    robot: str | None
    fps: float
    episodes: int
    frames: int
    tasks: Sequence[str]
    cameras: Mapping[str, str]
    features: Mapping[str, tuple[str, str]]
    made: Sequence[str]
    is_verified: bool


def card(facts: CardFacts) -> str:
    """Return README.md."""
    head = {
        **({"license": facts.license} if facts.license else {}),
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
            ("robot", facts.robot or "not stated"),
            ("cameras", ", ".join(f"{_code(key)} ({what})" for key, what in facts.cameras.items()) or "none"),
            ("licence", facts.license or "not stated; ask the publisher"),
        ],
    )
    yield ""
    yield "## Tasks"
    yield ""
    yield from (f"- {_text(task)}" for task in facts.tasks[:_SHOWN])
    if (more := len(facts.tasks) - _SHOWN) > 0:
        yield f"- and {more:,} more"
    yield ""
    yield "## Features"
    yield ""
    rows = [(_code(key), kind, names) for key, (kind, names) in facts.features.items()]
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
        yield "| " + " | ".join(map(_text, row)) + " |"


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def _text(text: str) -> str:
    """Return a text that stays inside of its line and cell, whoever wrote it."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
