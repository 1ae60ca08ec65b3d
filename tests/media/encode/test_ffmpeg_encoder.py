from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from robotrove.core.errors import EpisodeRejected, RobotroveError, UsageError
from robotrove.media.encode.encoder import check_available, encoder_version
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.video.probe import probe
from robotrove.testing.encoder_contract import EncoderContract

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg program")


@needs_ffmpeg
class TestFfmpegEncoder(EncoderContract):
    def settings(self, codec: str, **changes) -> VideoSettings:
        return VideoSettings(codec=codec, encoder="ffmpeg", **changes)

    def test_another_codec(self, tmp_path: Path) -> None:
        settings = self.settings("libx265")
        try:
            check_available(settings)
        except UsageError:
            pytest.skip("this ffmpeg has no libx265")
        self.encode(tmp_path / "a.mp4", settings, self.marked(7))
        assert probe(tmp_path / "a.mp4", expected_frames=7, fps=30).codec == "hevc"

    def test_failing_program_is_named_with_its_words(self, tmp_path: Path) -> None:
        with pytest.raises(RobotroveError, match=r"ffmpeg ended with status .*No such file") as caught:
            self.encode(tmp_path / "missing" / "a.mp4", self.settings("libx264"), self.marked(200, 240, 320))
        assert not isinstance(caught.value, EpisodeRejected)

    def test_version_is_ffmpegs_first_line(self) -> None:
        assert encoder_version(self.settings("libx264")).startswith("ffmpeg version ")

    @pytest.mark.parametrize("wrong", [{"codec": "libnope"}, {"codec": "libx264", "preset": "nope"}])
    def test_unusable_settings_are_told_before_any_work(self, wrong: dict[str, str]) -> None:
        with pytest.raises(UsageError, match="ffmpeg cannot encode"):
            check_available(VideoSettings(encoder="ffmpeg", **wrong))


def test_missing_program_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"program `ffmpeg` is missing.*(\n.*)*encoder: pyav"):
        check_available(VideoSettings(encoder="ffmpeg"))
