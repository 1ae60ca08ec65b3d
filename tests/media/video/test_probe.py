from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.formats.hdf5.samples.pictures import draw_marker, read_marker
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.mp4.sample_table import read_table
from robotrove.media.remux.clip import Clip
from robotrove.media.remux.reencode import reencode
from robotrove.media.video.probe import VideoInfo, check_frames, iter_frames, probe
from robotrove.tests.support.media.recorded_videos import FPS, KINDS, concatenate, numbers, record


@pytest.fixture(scope="module", params=["libsvtav1", "libx264"])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 marked frames of 96x128 at 30 fps with a keyframe every 5."""
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    frames = np.full((20, 96, 128, 3), 80, np.uint8)
    for index, frame in enumerate(frames):
        draw_marker(frame, index, 0)
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
    assert info == probe(video) == VideoInfo(20, 128, 96, Fraction(30), info.codec, "yuv420p", (0, 5, 10, 15))
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
    assert [read_marker(frame)[0] for frame in everything] == list(range(20))
    for first in range(20):
        part = list(iter_frames(video, first, min(3, 20 - first)))
        assert [read_marker(frame)[0] for frame in part] == list(range(20))[first : first + 3]
        for frame, expected in zip(part, everything[first:], strict=False):
            np.testing.assert_array_equal(frame, expected)
    assert [read_marker(frame)[0] for frame in iter_frames(video, 17)] == [17, 18, 19]
    assert list(iter_frames(video, 3, 0)) == []


def test_single_frames_in_any_order(video: Path) -> None:
    check_frames(video, [19, 0, 7, 7, 6, 18, 19, 1])
    check_frames(video, range(20))
    check_frames(video, [])
    for wanted in ([0, 20, 1], [19, 40], [25]):
        with pytest.raises(RobotroveError, match=r"frame \d+ is missing"):
            check_frames(video, wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [0, 5])
def test_single_frames_of_recorded_videos(tmp_path: Path, kind: str, first: int) -> None:
    path = record(tmp_path / "a.mp4", kind, 25, first=first)
    for wanted in (range(25), range(24, -1, -1), [12, 0, 24, 0]):
        check_frames(path, wanted)
    with pytest.raises(RobotroveError, match="frame 25 is missing"):
        check_frames(path, [0, 25])


def test_a_single_frame_that_cannot_be_decoded_is_found(tmp_path: Path) -> None:
    path = odd_video(tmp_path / "a.mp4", list(range(10)), g="5", preset="ultrafast")
    table = read_table(path)
    content = bytearray(path.read_bytes())
    begin, size = int(table.offsets[5]), int(table.sizes[5])
    content[begin : begin + size] = bytes(size)
    path.write_bytes(content)
    check_frames(path, [0, 4])
    with pytest.raises(RobotroveError, match=r"a\.mp4: (frame \d is missing|cannot be read as video)"):
        check_frames(path, [0, 4, 5, 9])


def test_missing_frames_are_named(video: Path, tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match="frame 20 is missing"):
        list(iter_frames(video, 18, 5))
    with pytest.raises(RobotroveError, match="frame 40 is missing"):
        list(iter_frames(video, 40, 1))
    with pytest.raises(RobotroveError, match="frame 3 is missing"):
        list(iter_frames(odd_video(tmp_path / "gap.mp4", [0, 1, 2, 4, 5, 6, 7, 8])))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_stored_in_any_order(tmp_path: Path, kind: str) -> None:
    path = record(tmp_path / "a.mp4", kind, 25)
    info = probe(path, expected_frames=25, fps=FPS, in_order=False)
    assert (info.frames, info.fps, info.width, info.height) == (25, 30, 64, 64)
    if kind not in ("av1", "h264 in order"):
        with pytest.raises(RobotroveError, match=r"a\.mp4: frame \d+ is (stored out of order|shown at)"):
            probe(path, fps=FPS)


@pytest.mark.parametrize(
    ("pts", "fps", "problem"),
    [
        ([0, 1, 2, 4, 5], 30, "frame 3 is missing"),
        ([0, 1, 2, *range(4, 40)], 30, "frame 3 is missing"),
        ([0, 1, 2, 3], 15, "a frame is shown at 512, no multiple of 1024"),
        ([1, 2, 3], 30, r"a frame is shown at \d+, no multiple of 512"),
    ],
)
def test_every_frame_is_there_once_in_any_order(tmp_path: Path, pts: list[int], fps: int, problem: str) -> None:
    path = odd_video(tmp_path / "gap.mp4", pts)
    with pytest.raises(RobotroveError, match=rf"gap\.mp4: {problem}"):
        probe(path, expected_frames=len(pts), fps=fps, in_order=False)
    with pytest.raises(RobotroveError, match=r"late\.mp4: frame 3 is stored first"):
        probe(record(tmp_path / "late.mp4", "av1", 4, first=3), fps=30, in_order=False)
    with pytest.raises(RobotroveError, match="4 frames\n  expected: 5 frames"):
        probe(odd_video(tmp_path / "four.mp4", [0, 1, 2, 3]), expected_frames=5, fps=30, in_order=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("first", "time_base"), [(0, Fraction(1, 30)), (5, Fraction(1, 30)), (5, Fraction(1, 1000))])
def test_any_frame_by_number_in_recordings(tmp_path: Path, kind: str, first: int, time_base: Fraction) -> None:
    path = record(tmp_path / "a.mp4", kind, 26, first=first, time_base=time_base)
    assert numbers(path) == list(range(26))
    for frame in range(26):
        assert numbers(path, frame, 1) == [frame]
    assert numbers(path, 23) == [23, 24, 25]
    with pytest.raises(RobotroveError, match="frame 26 is missing"):
        numbers(path, 24, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_any_frame_by_number_in_recordings_put_together(tmp_path: Path, kind: str) -> None:
    parts = [record(tmp_path / f"{n}.mp4", kind, 9, number=n) for n in (0, 9, 18)]
    path = concatenate(parts, tmp_path / "all.mp4")
    for frame in range(26):
        assert numbers(path, frame, 2) == [frame, frame + 1]


@pytest.mark.parametrize("kind", KINDS)
def test_any_frame_where_the_last_recording_is_a_single_frame(tmp_path: Path, kind: str) -> None:
    """Its decoder has no delay: that of those before makes the file's average rate too low."""
    parts = [record(tmp_path / f"{n}.mp4", kind, count, number=n) for n, count in ((0, 9), (9, 12), (21, 1))]
    path = concatenate(parts, tmp_path / "all.mp4")
    assert [read_marker(frame)[0] for frame in iter_frames(path, fps=FPS)] == list(range(22))
    for frame in range(22):
        assert [read_marker(found)[0] for found in iter_frames(path, frame, 1, FPS)] == [frame]
    check_frames(path, [0, 8, 20, 21], FPS)
    reencode(Clip(path, 20, 2), tmp_path / "cut.mp4", FPS, VideoSettings(codec="libx264"))
    assert numbers(tmp_path / "cut.mp4") == [20, 21]
