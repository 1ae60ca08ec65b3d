"""Facts of a dataset card, read from the dataset's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...core.features import DEFAULT_FEATURES, cameras
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.provenance import has_origins, origins
from ...hub.card import CardFacts, code_span

_SHOWN_NAMES = 16
_SHOWN_SOURCES = 10


def card_facts(
    dataset: Dataset, *, repo_id: str, branch: str, license: Mapping[str, Any], is_verified: bool
) -> CardFacts:
    """Return the facts of a dataset; raises Damaged where its meta cannot be read."""
    features = {key: feature for key, feature in dataset.features.items() if key not in DEFAULT_FEATURES}
    seen = cameras(features)
    return CardFacts(
        repo_id=repo_id,
        version=dataset.version,
        branch=branch,
        license=license,
        robot=str(dataset.info.get("robot_type") or ""),
        fps=dataset.fps,
        episodes=len(dataset.lengths),
        frames=int(dataset.lengths.sum()),
        tasks=dataset.task_texts,
        cameras={key: _camera(dataset, key) for key in seen},
        features={key: (str(feature), _names(feature.names)) for key, feature in features.items() if key not in seen},
        made=list(_made(dataset)),
        is_verified=is_verified,
    )


def _camera(dataset: Dataset, key: str) -> tuple[str, str]:
    entry = dataset.info["features"][key]
    info = entry.get("info") or entry.get("video_info") or {}
    feature = dataset.features[key]
    height, width = feature.shape[:2] if feature.shape[0] != 3 else feature.shape[1:]  # some are written channels first
    stored = info.get("video.codec", "video") if key in dataset.video_keys else "images"
    return f"{width}×{height}", str(stored)


def _names(names: tuple[str, ...] | None) -> str:
    shown = ", ".join((names or ())[:_SHOWN_NAMES])
    return shown + (", …" if names and len(names) > _SHOWN_NAMES else "")


def _made(dataset: Dataset) -> Iterator[str]:
    if not has_origins(dataset):
        yield "Nothing is known about where its episodes come from."
        return
    sources: dict[str, int] = {}
    versions: dict[tuple[str, str], None] = {}
    for origin in origins(dataset):
        sources[origin.source_name] = sources.get(origin.source_name, 0) + 1
        versions[origin.robotrove_version, origin.encoder_version] = None
    for version, encoder in versions:
        yield f"By robotrove {code_span(version)} with {code_span(encoder)}."
    yield f"`{dataset.provenance_path}` says of each episode from which recording, and which rows of it, it was made:"
    yield ""
    for name in list(sources)[:_SHOWN_SOURCES]:
        yield f"- {code_span(name)}: {sources[name]:,} episodes"
    if (more := len(sources) - _SHOWN_SOURCES) > 0:
        yield f"- and {more:,} more recordings"
    if (dataset.root / paths_v30.RUN).exists():
        yield ""
        yield f"Run {code_span(str(dataset.json(paths_v30.RUN).get('run_digest', ''))[:12])}."
