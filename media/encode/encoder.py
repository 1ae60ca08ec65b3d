"""Encoder: batches of RGB frames in, one mp4 out, with frame i at exactly i/fps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ...core.columns import Array
from ...core.errors import EpisodeRejected
from ...core.registry import Registry
from .settings import VideoSettings

if TYPE_CHECKING:
    from ..image.pixels import Pixels

ENCODERS = Registry(
    "encoder",
    __package__ or "",
    {"pyav": "pyav_encoder:PyavEncoder", "ffmpeg": "ffmpeg_encoder:FfmpegEncoder"},
)


class Encoder(ABC):
    """Encodes frames of one camera; a new one needs `encode` and passes robotrove.testing.encoder_contract.

    Attributes:
        settings: How to encode.
    """

    def __init__(self, settings: VideoSettings) -> None:
        self.settings = settings

    @abstractmethod
    def encode(self, path: Path, frames: Iterator[Array], *, width: int, height: int, fps: int) -> int:
        """Write all frames to `path` as mp4; memory does not grow with their number.

        Frame i is shown from exactly i/fps s, every `settings.g`-th is a keyframe, the first one
        included, and frames are stored in the order in which they are shown.

        Args:
            path: File to write; overwritten.
            frames: Batches (n, height, width, 3), uint8 RGB. What they raise passes through unchanged.
            width: Pixels per row.
            height: Rows.
            fps: Frames per second.

        Returns:
            Number of frames written.

        Raises:
            EpisodeRejected: If the frames are of a size that the codec does not take, or change.
        """

    def check_available(self) -> None:  # noqa: B027 - an encoder without dependencies has nothing to check
        """Raise UsageError if this machine cannot encode with the settings."""

    def version(self) -> str:
        """Return what the bytes depend on apart from the settings: the versions of the libraries used."""
        return type(self).__qualname__


def make_encoder(settings: VideoSettings) -> Encoder:
    """Return the encoder that the settings name; raise UsageError if there is no such."""
    encoder: Encoder = ENCODERS[settings.encoder](settings)
    return encoder


def check_available(settings: VideoSettings) -> None:
    """Make sure, before any work, that this machine can encode so.

    Raises:
        UsageError: Says what is missing and what to do.
    """
    make_encoder(settings).check_available()


def encoder_version(settings: VideoSettings) -> str:
    """Return a stable text of encoder and library versions for the digest of a run."""
    return make_encoder(settings).version()


def single_frames(batches: Iterator[Array], width: int, height: int) -> Iterator[Pixels]:
    """Yield the frames (height, width, 3) of batches one by one, contiguous.

    Raises:
        EpisodeRejected: ``image_size_changed``, ``image_dtype``, or ``no_frames`` if there is none.
    """
    index = 0
    for batch in batches:
        if batch.shape[1:] != (height, width, 3):
            found = "x".join(map(str, batch.shape[1:]))
            raise EpisodeRejected(
                "image_size_changed", f"frame {index} is {found} instead of {height}x{width}x3 (rows x columns x RGB)"
            )
        if batch.dtype != np.uint8:
            raise EpisodeRejected("image_dtype", f"frame {index} is {batch.dtype} instead of uint8")
        yield from cast("Pixels", np.ascontiguousarray(batch))
        index += len(batch)
    if index == 0:
        raise EpisodeRejected("no_frames", "has no frame to encode")
