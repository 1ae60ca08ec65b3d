from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.media import barcode
from robotrove.media.encoder import make_encoder
from robotrove.media.join import Clip, join
from robotrove.media.probe import iter_frames, probe
from robotrove.media.settings import VideoSettings

pytestmark = pytest.mark.parametrize("codec", ["libsvtav1", "libx264"])
LENGTHS = (5, 1, 8)


def write(path: Path, codec: str, count: int, camera: int = 0, size: tuple[int, int] = (96, 128), **changes) -> Path:
    frames = np.random.default_rng(camera).integers(40, 140, (count, *size, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        barcode.draw(frame, index, camera)
    settings = VideoSettings(codec=codec, **changes)
    make_encoder(settings).encode(path, iter([frames]), width=size[1], height=size[0], fps=30)
    return path


def marks(path: Path) -> list[tuple[int, int]]:
    return [barcode.read(frame) for frame in iter_frames(path)]


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


def test_pieces_of_a_joined_file_in_any_order(sources: list[Path], tmp_path: Path) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    join(whole(sources), first, 30)
    clips = [Clip(first, 6, 8), Clip(sources[0], 2, 3), Clip(first, 0, 5), Clip(first, 5, 1), Clip(first, 2, 2)]
    join(clips, second, 30)
    probe(second, expected_frames=19, fps=30)
    file_2, file_0 = [(index, 2) for index in range(8)], [(index, 0) for index in range(5)]
    assert marks(second) == [*file_2, *file_0[2:], *file_0, (0, 1), *file_0[2:4]]
    assert_same_pixels(second, clips)


def test_same_bytes_each_time_and_with_the_index_in_front(sources: list[Path], tmp_path: Path) -> None:
    contents = []
    for name, faststart in (("a", False), ("b", False), ("c", True)):
        join(whole(sources), tmp_path / name, 30, faststart=faststart)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].index(b"mdat") < contents[0].index(b"moov")
    assert contents[2].index(b"moov") < contents[2].index(b"mdat")
    assert marks(tmp_path / "c") == marks(tmp_path / "a")


def test_clip_must_begin_at_a_keyframe(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match=r"2\.mp4: the clip of frames 3 to 6 cannot .*frame 3 is no keyframe"):
        join([Clip(sources[0], 0, 5), Clip(sources[2], 3, 4)], tmp_path / "out.mp4", 30)


@pytest.mark.parametrize("clip", [(0, 9), (4, 5), (6, 3)])
def test_missing_frames_are_named(sources: list[Path], tmp_path: Path, clip: tuple[int, int]) -> None:
    with pytest.raises(RobotroveError, match=r"2\.mp4: it ends before frame 8"):
        join([Clip(sources[2], *clip)], tmp_path / "out.mp4", 30)


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
        with pytest.raises(RobotroveError, match=rf"{path.name}: encoded otherwise .*{difference}"):
            join([*whole(sources), Clip(path, 0, 2)], tmp_path / "out.mp4", 30)


def test_other_rate_is_refused(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match=r"0\.mp4: frame 1 is shown at 512"):
        join(whole(sources), tmp_path / "out.mp4", 15)


def test_nothing_to_join(codec: str, tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match="no clip"):
        join([], tmp_path / "out.mp4", 30)


def test_many_clips_keep_one_source_open(codec: str, sources: list[Path], tmp_path: Path, monkeypatch) -> None:
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


def test_consecutive_clips_of_a_file_are_one_pass(sources: list[Path], tmp_path: Path, monkeypatch) -> None:
    opened = []
    real_open = av.open

    def noting_open(name, *args, **kwargs):
        opened.append(Path(name).name)
        return real_open(name, *args, **kwargs)

    monkeypatch.setattr(av, "open", noting_open)
    join([Clip(sources[2], 0, 2), Clip(sources[2], 2, 4), Clip(sources[2], 6, 2)], tmp_path / "out.mp4", 30)
    assert opened == ["out.mp4", "2.mp4"]
