from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.media import barcode
from robotrove.media.encoder import make_encoder
from robotrove.media.probe import VideoInfo, iter_frames, probe
from robotrove.media.settings import VideoSettings


@pytest.fixture(scope="module", params=["libsvtav1", "libx264"])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 marked frames of 96x128 at 30 fps with a keyframe every 5."""
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    frames = np.full((20, 96, 128, 3), 80, np.uint8)
    for index, frame in enumerate(frames):
        barcode.draw(frame, index, 0)
    make_encoder(VideoSettings(codec=request.param, g=5)).encode(path, iter([frames]), width=128, height=96, fps=30)
    return path


def odd_video(path: Path, pts: list[int], time_base: Fraction = Fraction(1, 30), **options: str) -> Path:
    """Write a video whose times are whatever is asked for."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0", "g": "2", **options})
        stream.width, stream.height, stream.codec_context.time_base = 64, 64, time_base
        for time in pts:
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_facts(video: Path) -> None:
    info = probe(video, expected_frames=20, fps=30)
    assert info == probe(video) == VideoInfo(20, 128, 96, Fraction(30), info.codec, "yuv420p")
    assert info.codec in ("av1", "h264")


def test_wrong_count_and_rate(video: Path) -> None:
    with pytest.raises(RobotroveError, match=r"a\.mp4: 20 frames\n  expected: 21 frames"):
        probe(video, expected_frames=21, fps=30)
    with pytest.raises(RobotroveError, match="frame 0 lasts 512 instead of 768"):
        probe(video, fps=20)
    with pytest.raises(RobotroveError, match="cannot hold frames of 1/29 s exactly"):
        probe(video, fps=29)


@pytest.mark.parametrize(
    ("pts", "problem"),
    [
        ([0, 1, 2, 4, 5], "frame 2 lasts 1024 instead of 512"),
        ([1, 2, 3], r"frame 0 is shown at \d+ instead of 0"),
    ],
)
def test_the_first_deviating_frame_is_named(tmp_path: Path, pts: list[int], problem: str) -> None:
    path = odd_video(tmp_path / "gap.mp4", pts)
    with pytest.raises(RobotroveError, match=rf"gap\.mp4: {problem}"):
        probe(path, fps=30)


def test_b_frames_and_rounded_times_are_found(tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match=r"b\.mp4: frame \d is (stored|shown)"):
        probe(odd_video(tmp_path / "b.mp4", list(range(12)), bf="2", g="12"), fps=30)
    milliseconds = odd_video(tmp_path / "ms.mp4", [round(k * 1000 / 30) for k in range(9)], Fraction(1, 1000))
    with pytest.raises(RobotroveError, match=r"ms\.mp4: "):
        probe(milliseconds, fps=30)


def test_damaged_files_are_named(video: Path, tmp_path: Path) -> None:
    content = video.read_bytes()
    for name, data in {"cut": content[: len(content) // 2], "empty": b"", "text": b"no video"}.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(data)
        with pytest.raises(RobotroveError, match=rf"{name}\.mp4: cannot be read as video"):
            probe(path)
    with pytest.raises(RobotroveError, match=r"gone\.mp4: cannot be read as video"):
        probe(tmp_path / "gone.mp4")


def test_any_frame_by_index(video: Path) -> None:
    everything = list(iter_frames(video))
    assert [barcode.read(frame)[0] for frame in everything] == list(range(20))
    for first in range(20):
        part = list(iter_frames(video, first, min(3, 20 - first)))
        assert [barcode.read(frame)[0] for frame in part] == list(range(20))[first : first + 3]
        for frame, expected in zip(part, everything[first:], strict=False):
            np.testing.assert_array_equal(frame, expected)
    assert [barcode.read(frame)[0] for frame in iter_frames(video, 17)] == [17, 18, 19]
    assert list(iter_frames(video, 3, 0)) == []


def test_missing_frames_are_named(video: Path, tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match="frame 20 is missing"):
        list(iter_frames(video, 18, 5))
    with pytest.raises(RobotroveError, match="frame 40 is missing"):
        list(iter_frames(video, 40, 1))
    with pytest.raises(RobotroveError, match="frame 3 is missing"):
        list(iter_frames(odd_video(tmp_path / "gap.mp4", [0, 1, 2, 4, 5, 6, 7, 8])))
