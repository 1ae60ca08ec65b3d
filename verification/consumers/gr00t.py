"""GR00T N1 to N1.7."""

from __future__ import annotations

from typing import Any

from ..check import Check, Consumer
from .gr00t_release import HorizonCheck, Release
from .gr00t_stats import CheckpointStatsCheck, Gr00tStatsCheck, RelativeStatsCheck
from .info_keys import CameraSizesCheck, InfoKeysCheck, VideoInfoCheck
from .libero import LiberoCheck
from .modality import AnnotationsCheck, ModalityCheck
from .videos import DecodingCheck, FrameTimesCheck


def _consumer(release: Release) -> Consumer:
    checks: list[Check[Any]] = [InfoKeysCheck(release), ModalityCheck(release), AnnotationsCheck(release)]
    checks += [VideoInfoCheck(release), CameraSizesCheck(release)] if release.is_typed else []
    checks += [Gr00tStatsCheck(release)]
    checks += [] if release.is_typed else [RelativeStatsCheck(release), HorizonCheck(release)]
    checks += [CheckpointStatsCheck()] if release == Release.N1_6 else []
    checks += [DecodingCheck(release), LiberoCheck(release)]
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
