from __future__ import annotations

import threading
from pathlib import Path

import av
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected, UsageError
from robotrove.media.encode.encoder import check_available, encoder_version
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.video.probe import iter_frames
from robotrove.testing.encoder_contract import EncoderContract


class TestPyavEncoder(EncoderContract):
    def settings(self, codec: str, **changes) -> VideoSettings:
        return VideoSettings(codec=codec, encoder="pyav", **changes)

    @pytest.mark.parametrize("size", [(97, 129), (65, 64), (32, 32)])
    def test_av1_keeps_odd_and_small_sizes(self, tmp_path: Path, size: tuple[int, int]) -> None:
        frame = np.full((1, *size, 3), (200, 40, 90), np.uint8)
        self.encode(tmp_path / "a.mp4", self.settings("libsvtav1"), frame)
        (decoded,) = iter_frames(tmp_path / "a.mp4")
        assert decoded.shape == (*size, 3)
        assert np.abs(decoded.astype(int) - frame[0]).mean() <= 3

    def test_last_column_of_an_odd_width_keeps_its_colour(self, tmp_path: Path) -> None:
        frame = np.zeros((1, 97, 129, 3), np.uint8)
        frame[:, :, :100], frame[:, :, 100:] = (255, 0, 0), (0, 0, 255)
        contents = set()
        for _ in range(3):
            self.encode(tmp_path / "a.mp4", self.settings("libsvtav1"), frame)
            contents.add((tmp_path / "a.mp4").read_bytes())
        (decoded,) = iter_frames(tmp_path / "a.mp4")
        assert np.abs(decoded[:, -1].mean(axis=0) - (0, 0, 255)).max() <= 6
        assert len(contents) == 1

    def test_every_frame_a_keyframe(self, tmp_path: Path) -> None:
        self.encode(tmp_path / "a.mp4", self.settings("libsvtav1", g=1), self.marked(4))
        with av.open(str(tmp_path / "a.mp4")) as container:
            assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size] == [True] * 4

    def test_size_that_the_codec_refuses_rejects_the_episode(self, tmp_path: Path) -> None:
        with pytest.raises(EpisodeRejected, match="not_encodable"):
            self.encode(tmp_path / "a.mp4", self.settings("libsvtav1"), np.zeros((1, 2, 2, 3), np.uint8))

    def test_cameras_side_by_side_give_the_same_bytes(self, tmp_path: Path) -> None:
        frames = self.marked(20)
        threads = [
            threading.Thread(target=self.encode, args=(tmp_path / f"{name}.mp4", self.settings("libsvtav1"), frames))
            for name in "abc"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({(tmp_path / f"{name}.mp4").read_bytes() for name in "abc"}) == 1


def test_version_names_the_libraries() -> None:
    version = encoder_version(VideoSettings())
    assert f"pyav {av.__version__}" in version
    assert "libavcodec " + ".".join(map(str, av.library_versions["libavcodec"])) in version


@pytest.mark.parametrize("wrong", [{"codec": "libnope"}, {"codec": "libx264", "preset": "nope"}, {"pix_fmt": "nope"}])
def test_unusable_settings_are_told_before_any_work(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="expected: libsvtav1 or libx264"):
        check_available(VideoSettings(**wrong))
