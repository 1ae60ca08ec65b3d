"""Video settings: one value for a whole pipeline, and its options for each codec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...core.errors import EpisodeRejected, UsageError

DEFAULT_PRESETS: dict[str, str] = {"libsvtav1": "12", "libx264": "medium", "libx265": "medium"}
COLOUR_TAGS = {"colorspace": "smpte170m", "color_range": "tv"}


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """Settings of every video of a pipeline; the defaults are LeRobot's.

    Attributes:
        codec: FFmpeg's name of the encoder: ``libsvtav1``, ``libx264``, or any other that `encoder` supports.
        crf: Constant quality; lower is better.
        g: Frames from one keyframe to the next.
        pix_fmt: Pixel format of the video.
        preset: Speed of the encoder, None for the codec's usual one; see `effective_preset`.
        threads: Threads of one encoder; a setting, because the bytes depend on it.
        encoder: ``pyav``, or ``ffmpeg`` for an ffmpeg program with other codecs.

    Raises:
        UsageError: If a number is out of range.
    """

    codec: str = "libsvtav1"
    crf: int = 30
    g: int = 2
    pix_fmt: str = "yuv420p"
    preset: str | int | None = None
    threads: int = 1
    encoder: str = "pyav"

    def __post_init__(self) -> None:
        allowed = {"crf": (0, 63 if self.is_av1 else 51), "g": (1, 600), "threads": (1, 64)}
        for name, (low, high) in allowed.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"video {name}", f"{value}", f"{low} to {high} for {self.codec}")

    @property
    def is_av1(self) -> bool:
        """True if the codec's videos are AV1."""
        return "av1" in self.codec

    @property
    def format(self) -> str:
        """Format of the codec's videos, as in a file: ``av1``, ``h264``, ``hevc``; the codec if unknown."""
        marks = {"av1": "av1", "264": "h264", "265": "hevc", "hevc": "hevc", "vp9": "vp9"}
        return next((name for mark, name in marks.items() if mark in self.codec), self.codec)

    @property
    def effective_preset(self) -> str | None:
        """The preset used; None if the codec is left to its own default."""
        return DEFAULT_PRESETS.get(self.codec) if self.preset is None else str(self.preset)

    def check_size(self, width: int, height: int) -> None:
        """Refuse sizes in pixels that the codec cannot hold.

        Raises:
            EpisodeRejected: ``odd_image_size``, with the line to add.
        """
        if "420" in self.pix_fmt and not self.is_av1 and (width % 2 or height % 2):
            raise odd_size(self.codec, width, height)


def odd_size(codec: str, width: int, height: int) -> EpisodeRejected:
    """Return the rejection of frames that only an even size would make encodable."""
    return EpisodeRejected(
        "odd_image_size",
        f"{codec} cannot encode {width}x{height} pixels, width and height must be even; "
        "add this step to the pipeline: `image_resizer: {pad: even}`",
    )


def _svt_av1(settings: VideoSettings) -> dict[str, str]:
    return {"crf": str(settings.crf), "svtav1-params": f"lp={settings.threads}"}


def _x264(settings: VideoSettings) -> dict[str, str]:
    # cpu-independent: otherwise the bytes depend on the SIMD level of the machine.
    return {
        "crf": str(settings.crf),
        "bf": "0",
        "sc_threshold": "0",
        "forced-idr": "1",
        "x264-params": "cpu-independent=1:open-gop=0",
    }


def _x265(settings: VideoSettings) -> dict[str, str]:
    fixed = f"bframes=0:open-gop=0:scenecut=0:frame-threads=1:pools={settings.threads}:log-level=error"
    return {"crf": str(settings.crf), "forced-idr": "1", "x265-params": fixed}


def _nvenc(settings: VideoSettings) -> dict[str, str]:
    return {"rc": "vbr", "cq": str(settings.crf), "bf": "0", "no-scenecut": "1", "forced-idr": "1"}


def _mpeg4(settings: VideoSettings) -> dict[str, str]:
    # Quantizer scale, 1 to 31, instead of the quality of other codecs: their default of 30 becomes 3.
    scale = str(max(2, settings.crf // 8))
    return {"qmin": scale, "qmax": scale, "bf": "0", "sc_threshold": "1000000000"}


def _other(settings: VideoSettings) -> dict[str, str]:
    return {"crf": str(settings.crf), "bf": "0"}


_FAMILIES: dict[str, Callable[[VideoSettings], dict[str, str]]] = {
    "libsvtav1": _svt_av1,
    "libx264": _x264,
    "libx265": _x265,
    "h264_nvenc": _nvenc,
    "hevc_nvenc": _nvenc,
    "av1_nvenc": _nvenc,
    "mpeg4": _mpeg4,
}


def codec_options(settings: VideoSettings) -> dict[str, str]:
    """Return FFmpeg's codec options, the same for both encoders.

    They give closed GOPs of `settings.g` frames without B-frames, and tag the stream as BT.601 in
    limited range, which is what the encoders convert RGB to.
    """
    options = {"g": str(settings.g), "threads": str(settings.threads), **COLOUR_TAGS}
    if settings.effective_preset is not None:
        options["preset"] = settings.effective_preset
    return options | _FAMILIES.get(settings.codec, _other)(settings)
