from __future__ import annotations

import pytest

from robotrove.core.errors import EpisodeRejected, UsageError
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings, codec_options


def test_defaults_are_lerobots() -> None:
    settings = VideoSettings()
    assert (settings.codec, settings.crf, settings.g, settings.pix_fmt) == ("libsvtav1", 30, 2, "yuv420p")
    assert codec_options(settings) == {
        "crf": "30",
        "g": "2",
        "preset": "12",
        "svtav1-params": "lp=1",
        "threads": "1",
        "colorspace": "smpte170m",
        "color_range": "tv",
    }


@pytest.mark.parametrize(
    ("changes", "preset"),
    [
        ({}, "12"),
        ({"codec": "libx264"}, "medium"),
        ({"preset": 8}, "8"),
        ({"codec": "libx264", "preset": "fast"}, "fast"),
        ({"codec": "h264_nvenc"}, None),
    ],
)
def test_effective_preset(changes: dict, preset: str | None) -> None:
    settings = VideoSettings(**changes)
    assert settings.effective_preset == preset
    assert codec_options(settings).get("preset") == preset


def test_threads_reach_the_codec() -> None:
    assert codec_options(VideoSettings(threads=3))["svtav1-params"] == "lp=3"
    x264 = codec_options(VideoSettings(codec="libx264", threads=3))
    assert x264["threads"] == "3"
    assert "cpu-independent=1" in x264["x264-params"]
    assert x264["bf"] == "0"


@pytest.mark.parametrize("size", [(641, 480), (640, 481)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    VideoSettings().check_size(*size)
    VideoSettings(codec="libx264", pix_fmt="yuv444p").check_size(*size)
    with pytest.raises(EpisodeRejected, match=rf"odd_image_size: libx264 cannot encode {size[0]}x{size[1]}.*pad: even"):
        VideoSettings(codec="libx264").check_size(*size)


@pytest.mark.parametrize("wrong", [{"crf": 64}, {"crf": 52, "codec": "libx264"}, {"g": 0}, {"threads": 0}])
def test_numbers_out_of_range(wrong: dict) -> None:
    with pytest.raises(UsageError, match=f"video {next(iter(wrong))}: .*(\n.*)*expected: "):
        VideoSettings(**wrong)


def test_unknown_encoder_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no such encoder \(did you mean 'ffmpeg'\?\)"):
        make_encoder(VideoSettings(encoder="ffmpg"))
