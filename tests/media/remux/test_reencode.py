from __future__ import annotations

from pathlib import Path

import av
import pytest

from robotrove.core.errors import RobotroveError, UsageError
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.remux.clip import Clip, Encoding
from robotrove.media.remux.concat import join
from robotrove.media.remux.reencode import reencode, settings_like
from robotrove.media.remux.video_index import read_index
from robotrove.media.video.probe import probe
from robotrove.tests.support.media.recorded_videos import FPS, KINDS, concatenate, numbers, record


@pytest.mark.parametrize("kind", KINDS)
def test_just_the_frames_of_the_clip_are_in_the_result(kind: str, tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{n}.mp4", kind, 13, number=n) for n in (0, 13)]
    source, out = concatenate(parts, tmp_path / "all.mp4"), tmp_path / "out.mp4"
    assert not read_index(source, FPS).is_copyable(3, 15)
    encoding = read_index(source, FPS).encoding
    settings = settings_like(encoding, VideoSettings(g=4))
    if settings.codec not in av.codecs_available:
        pytest.skip(f"PyAV has no {settings.codec}")
    reencode(Clip(source, 3, 15), out, FPS, settings)
    info = probe(out, expected_frames=15, fps=FPS)
    assert (info.codec, info.pix_fmt, info.width) == (encoding.codec, encoding.pix_fmt, 64)
    assert numbers(out) == list(range(3, 18))
    result = read_index(out, FPS)
    assert result.encoding.is_like(encoding)
    assert [k for k in range(15) if result.is_copyable(k, 1)] == [0, 4, 8, 12]
    join([Clip(out, 4, 11), Clip(out, 0, 4)], tmp_path / "joined.mp4", FPS)
    assert numbers(tmp_path / "joined.mp4") == [*range(7, 18), *range(3, 7)]


def test_frames_that_are_not_there(tmp_path: Path) -> None:
    source = record(tmp_path / "a.mp4", "av1", 6)
    with pytest.raises(RobotroveError, match=r"a\.mp4: frame 6 is missing"):
        reencode(Clip(source, 4, 3), tmp_path / "out.mp4", FPS, VideoSettings())
    with pytest.raises(RobotroveError, match=r"a\.mp4: the clip has no frame"):
        reencode(Clip(source, 4, 0), tmp_path / "out.mp4", FPS, VideoSettings())


def test_settings_like() -> None:
    base = VideoSettings(codec="libsvtav1", crf=23, g=5, preset=8, threads=2)
    av1 = Encoding("av1", 64, 64, "yuv420p10le", "00")
    assert settings_like(av1, base) == VideoSettings("libsvtav1", 23, 5, "yuv420p10le", 8, 2)
    h264 = Encoding("h264", 64, 64, "yuv444p", "00")
    assert settings_like(h264, base) == VideoSettings("libx264", 23, 5, "yuv444p", None, 2)
    assert settings_like(Encoding("hevc", 8, 8, "yuv420p", "00"), base).codec == "libx265"
    with pytest.raises(UsageError, match="codec vp9"):
        settings_like(Encoding("vp9", 8, 8, "yuv420p", "00"), base)
