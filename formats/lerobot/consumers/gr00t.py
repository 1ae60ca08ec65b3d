"""GR00T N1 to N1.7."""

from __future__ import annotations

from typing import Any

from ..checks.base import Check
from .annotations import AnnotationsCheck
from .base import Consumer
from .frame_times import FrameTimesCheck
from .gr00t_release import Release
from .gr00t_stats import Gr00tStatsCheck
from .info_keys import InfoKeysCheck
from .modality import ModalityCheck
from .relative_stats import RelativeStatsCheck
from .video_info import VideoInfoCheck
from .videos import VideosCheck


def _consumer(release: Release) -> Consumer:
    checks: list[Check[Any]] = [InfoKeysCheck(release), ModalityCheck(release), AnnotationsCheck(release)]
    checks += [VideoInfoCheck(release)] if release.is_typed else []
    checks += [Gr00tStatsCheck(release)]
    checks += [] if release.is_typed else [RelativeStatsCheck(release)]
    checks += [VideosCheck(release)]
    checks += [FrameTimesCheck()] if release == Release.N1_5 else []
    return Consumer(
        release.title,
        ("v2.1",),
        tuple(checks),
        covers=frozenset({"gr00t"}),
        unread=frozenset({"stats"}),  # episodes_stats.jsonl is LeRobot's alone
        convert="--gr00t ROBOT",
    )


N1, N1_5, N1_6, N1_7 = map(_consumer, Release)
