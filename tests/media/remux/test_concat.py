from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.formats.hdf5.samples.pictures import draw_marker, read_marker
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.remux.clip import Clip
from robotrove.media.remux.concat import NotCopyable, join, split
from robotrove.media.remux.video_index import read_index
from robotrove.media.video.probe import iter_frames, probe
from robotrove.tests.support.media.odd_videos import make_odd
from robotrove.tests.support.media.recorded_videos import FPS, KINDS, concatenate, numbers, record

both = pytest.mark.parametrize("codec", ["libsvtav1", "libx264"])
LENGTHS = (5, 1, 8)


def write(path: Path, codec: str, count: int, camera: int = 0, size: tuple[int, int] = (96, 128), **changes) -> Path:
    frames = np.random.default_rng(camera).integers(40, 140, (count, *size, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        draw_marker(frame, index, camera)
    settings = VideoSettings(codec=codec, **changes)
    make_encoder(settings).encode(path, iter([frames]), width=size[1], height=size[0], fps=30)
    return path


def marks(path: Path) -> list[tuple[int, int]]:
    return [read_marker(frame) for frame in iter_frames(path)]


@pytest.fixture
def sources(codec: str, tmp_path: Path) -> list[Path]:
    """One file per entry of LENGTHS; its frames bear their index and the file's number."""
    return [write(tmp_path / f"{number}.mp4", codec, count, number) for number, count in enumerate(LENGTHS)]


def whole(sources: list[Path]) -> list[Clip]:
    return [Clip(path, 0, count) for path, count in zip(sources, LENGTHS, strict=True)]


def assert_same_pixels(out: Path, clips: list[Clip]) -> None:
    expected = [frame for clip in clips for frame in iter_frames(clip.path, clip.first, clip.frames)]
    found = list(iter_frames(out))
    assert len(found) == len(expected)
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right)


@both
def test_whole_files(sources: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    join(whole(sources), out, 30)
    probe(out, expected_frames=14, fps=30)
    assert marks(out) == [(index, number) for number, count in enumerate(LENGTHS) for index in range(count)]
    assert_same_pixels(out, whole(sources))
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.start_time, stream.duration * stream.time_base * 30) == (0, 14)
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (6, 1)


@both
def test_pieces_of_a_joined_file_in_any_order(sources: list[Path], tmp_path: Path) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    join(whole(sources), first, 30)
    clips = [Clip(first, 6, 8), Clip(sources[0], 2, 3), Clip(first, 0, 5), Clip(first, 5, 1), Clip(first, 2, 2)]
    join(clips, second, 30)
    probe(second, expected_frames=19, fps=30)
    file_2, file_0 = [(index, 2) for index in range(8)], [(index, 0) for index in range(5)]
    assert marks(second) == [*file_2, *file_0[2:], *file_0, (0, 1), *file_0[2:4]]
    assert_same_pixels(second, clips)


@both
def test_same_bytes_each_time_and_with_the_index_in_front(sources: list[Path], tmp_path: Path) -> None:
    contents = []
    for name, faststart in (("a", False), ("b", False), ("c", True)):
        join(whole(sources), tmp_path / name, 30, faststart=faststart)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].index(b"mdat") < contents[0].index(b"moov")
    assert contents[2].index(b"moov") < contents[2].index(b"mdat")
    assert marks(tmp_path / "c") == marks(tmp_path / "a")


@both
def test_clip_must_begin_at_a_keyframe(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match=r"2\.mp4: the clip of frames 3 to 6 cannot .*frame 3 is not a keyframe"):
        join([Clip(sources[0], 0, 5), Clip(sources[2], 3, 4)], tmp_path / "out.mp4", 30)


@both
@pytest.mark.parametrize("clip", [(0, 9), (4, 5), (6, 3)])
def test_missing_frames_are_named(sources: list[Path], tmp_path: Path, clip: tuple[int, int]) -> None:
    with pytest.raises(RobotroveError, match=r"2\.mp4: it ends before frame 8"):
        join([Clip(sources[2], *clip)], tmp_path / "out.mp4", 30)


@both
def test_other_encodings_are_refused_with_the_difference(codec: str, sources: list[Path], tmp_path: Path) -> None:
    other = "libx264" if codec == "libsvtav1" else "libsvtav1"
    cases = {
        "size 96x128 instead of 128x96": write(tmp_path / "size.mp4", codec, 2, size=(128, 96)),
        "codec (av1|h264) instead of": write(tmp_path / "codec.mp4", other, 2),
    }
    if codec == "libx264":
        cases["extradata [0-9a-f]+ instead of"] = write(tmp_path / "preset.mp4", codec, 2, preset="ultrafast")
        cases["pix_fmt yuv444p instead of yuv420p"] = write(tmp_path / "pix.mp4", codec, 2, pix_fmt="yuv444p")
    for difference, path in cases.items():
        with pytest.raises(RobotroveError, match=rf"{path.name}: the clip .* its encoding differs .*{difference}"):
            join([*whole(sources), Clip(path, 0, 2)], tmp_path / "out.mp4", 30)


@both
def test_other_rate_is_refused(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match=r"0\.mp4: a frame is shown at 512, between the times of frames 0 and 1"):
        join(whole(sources), tmp_path / "out.mp4", 15)


@both
def test_nothing_to_join(codec: str, tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match="no clip"):
        join([], tmp_path / "out.mp4", 30)


@both
def test_many_clips_keep_one_source_open(codec: str, sources: list[Path], tmp_path: Path, monkeypatch) -> None:
    make_odd(sources[0])
    links = [tmp_path / f"link{number}.mp4" for number in range(150)]
    for link in links:
        link.symlink_to(sources[0])
    seen = []
    real_open = av.open

    def counting_open(*args, **kwargs):
        seen.append(len(os.listdir("/proc/self/fd")))
        return real_open(*args, **kwargs)

    monkeypatch.setattr(av, "open", counting_open)
    join([Clip(link, 0, 4) for link in links], tmp_path / "out.mp4", 30)
    assert max(seen) - seen[0] <= 1  # the output
    assert marks(tmp_path / "out.mp4") == [(index, 0) for index in range(4)] * 150


@both
def test_consecutive_clips_of_a_file_are_one_pass(sources: list[Path], tmp_path: Path, monkeypatch) -> None:
    make_odd(sources[2])
    opened = []
    real_open = av.open

    def noting_open(name, *args, **kwargs):
        opened.append(Path(name).name)
        return real_open(name, *args, **kwargs)

    monkeypatch.setattr(av, "open", noting_open)
    join([Clip(sources[2], 0, 2), Clip(sources[2], 2, 4), Clip(sources[2], 6, 2)], tmp_path / "out.mp4", 30)
    assert opened == ["out.mp4", "2.mp4"]


def times(path: Path) -> list[float]:
    """Return when frames are shown, in frames, from the packets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(float(packet.pts * stream.time_base * FPS) for packet in container.demux(stream) if packet.size)


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_in_any_order(kind: str, tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{n}.mp4", kind, count, number=n) for n, count in ((0, 7), (7, 5), (12, 8))]
    source = concatenate(parts, tmp_path / "all.mp4")
    late = record(tmp_path / "late.mp4", kind, 9, number=100, first=4)
    clips = [Clip(late, 0, 9), Clip(source, 12, 8), Clip(source, 0, 7), Clip(source, 7, 5), Clip(parts[1], 0, 5)]
    out = tmp_path / "out.mp4"
    join(clips, out, FPS)
    probe(out, expected_frames=34, fps=FPS, in_order=False)
    assert times(out) == list(range(34))
    assert numbers(out) == [*range(100, 109), *range(12, 20), *range(7), *range(7, 12), *range(7, 12)]
    assert_same_pixels(out, clips)
    again = tmp_path / "again.mp4"
    join([Clip(out, 9, 25), Clip(out, 0, 9)], again, FPS)  # what it writes, it can read
    assert numbers(again) == numbers(out, 9) + numbers(out, 0, 9)
    assert times(again) == list(range(34))


@pytest.mark.parametrize("kind", KINDS)
def test_split(kind: str, tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{n}.mp4", kind, count, number=n) for n, count in ((0, 7), (7, 5), (12, 8))]
    source = concatenate(parts, tmp_path / "all.mp4")
    clips = [Clip(source, 7, 5), Clip(source, 12, 8), Clip(parts[2], 0, 8), Clip(source, 0, 7)]
    outs = [tmp_path / f"out{number}.mp4" for number in range(4)]
    split(list(zip(clips, outs, strict=True)), FPS, faststart=True)
    for clip, out in zip(clips, outs, strict=True):
        probe(out, expected_frames=clip.frames, fps=FPS, in_order=False)
        assert times(out) == list(range(clip.frames))
        assert_same_pixels(out, [clip])
        assert out.read_bytes().index(b"moov") < out.read_bytes().index(b"mdat")
    assert numbers(outs[0]) == list(range(7, 12))


@pytest.mark.parametrize("kind", ["av1", "h264 B-frames"])
def test_rounded_times_become_exact(kind: str, tmp_path: Path) -> None:
    source = record(tmp_path / "ms.mp4", kind, 36, first=2, time_base=Fraction(1, 1000))
    assert times(source) != list(range(2, 38))
    out = tmp_path / "out.mp4"
    join([Clip(source, 24, 12), Clip(source, 12, 12)], out, FPS)
    assert times(out) == list(range(24))
    assert numbers(out) == [*range(24, 36), *range(12, 24)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_copyable_can_be_copied_and_nothing_else(kind: str, tmp_path: Path) -> None:
    source, out = record(tmp_path / "a.mp4", kind, 17), tmp_path / "out.mp4"
    index = read_index(source, FPS)
    for clip in (Clip(source, first, n) for first in range(17) for n in (1, 3, 17 - first) if first + n <= 17):
        if index.is_copyable(clip.first, clip.frames):
            split([(clip, out)], FPS)
            assert numbers(out) == list(range(clip.first, clip.first + clip.frames))
        else:
            with pytest.raises(NotCopyable, match=rf"a\.mp4: {clip} cannot be copied: frame \d+ "):
                split([(clip, out)], FPS)
            with pytest.raises(NotCopyable):
                join([clip], out, FPS)


def test_clips_split_in_order_are_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_odd(record(tmp_path / "a.mp4", "h264 of LeRobot", 12))
    opened = []
    real_open = av.open

    def noting_open(name: str, *args: object, **kwargs: object) -> object:
        opened.append(Path(name).name)
        return real_open(name, *args, **kwargs)

    monkeypatch.setattr(av, "open", noting_open)
    split([(Clip(source, first, 4), tmp_path / f"{first}.mp4") for first in (0, 4, 8)], FPS)
    assert opened == ["a.mp4", "0.mp4", "4.mp4", "8.mp4"]


def test_keyframes_with_parameters_of_their_own_are_refused(tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{name}.mp4", "h264 of LeRobot", 6, preset=name) for name in ("medium", "ultrafast")]
    source, out = concatenate(parts, tmp_path / "all.mp4"), tmp_path / "out.mp4"
    join([Clip(source, 0, 6)], out, FPS)
    for clip in (Clip(source, 6, 6), Clip(source, 4, 8)):
        with pytest.raises(NotCopyable, match="frame 6 has parameters other than those of its file"):
            join([clip], out, FPS)


def test_the_first_clip_may_be_too_short_to_tell_how_far_ahead_frames_are_stored(tmp_path: Path) -> None:
    short = record(tmp_path / "1.mp4", "h264 B-frames", 1, number=50)
    long = record(tmp_path / "12.mp4", "h264 B-frames", 12)
    both, again, cut = (tmp_path / f"{name}.mp4" for name in ("both", "again", "cut"))
    join([Clip(short, 0, 1), Clip(long, 0, 12), Clip(short, 0, 1)], both, FPS)
    assert numbers(both) == [50, *range(12), 50]
    assert probe(both, fps=FPS, in_order=False).frames == 14
    split([(Clip(both, 0, 1), again), (Clip(both, 1, 12), cut)], FPS)
    assert (numbers(again), numbers(cut)) == ([50], list(range(12)))
