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


def checks(release: Release, title: str) -> tuple[Check[Any], ...]:
    """Return the checks of a release; `title` is that of the program that runs it."""
    found: list[Check[Any]] = [InfoKeysCheck(release), ModalityCheck(release), AnnotationsCheck(release)]
    found += [VideoInfoCheck(release)] if release.is_typed else []
    found += [Gr00tStatsCheck(release)]
    found += [] if release.is_typed else [RelativeStatsCheck(release)]
    found += [VideosCheck(release)]
    found += [FrameTimesCheck(title)] if release == Release.N1_5 else []
    return tuple(found)


def _consumer(release: Release) -> Consumer:
    return Consumer(release.title, ("v2.1",), checks(release, release.title), frozenset({"gr00t"}), "--gr00t-stats")


N1, N1_5, N1_6, N1_7 = map(_consumer, Release)
