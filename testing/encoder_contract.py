"""Contract of a video encoder: derive a test class and give `settings`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest

from ..core.errors import EpisodeRejected
from ..formats.hdf5.samples.pictures import draw_marker, read_marker
from ..media.encode.encoder import Encoder, make_encoder
from ..media.encode.settings import VideoSettings
from ..media.video.probe import iter_frames, probe

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (0, 0, 0), (255, 255, 255), (30, 200, 90)]


class EncoderContract(ABC):
    """Contract of every encoder; see robotrove.media.encode.encoder.Encoder."""

    @abstractmethod
    def settings(self, codec: str, **changes: Any) -> VideoSettings:
        """Return settings that name the encoder under test."""

    @pytest.fixture(params=["libsvtav1", "libx264"])
    def codec(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def make(self, settings: VideoSettings) -> Encoder:
        """Return the encoder under test; override it for one that is not registered."""
        return make_encoder(settings)

    def encode(self, path: Path, settings: VideoSettings, frames: np.ndarray, fps: int = 30, batch: int = 4) -> int:
        batches = (frames[start : start + batch] for start in range(0, len(frames), batch))
        return self.make(settings).encode(path, batches, width=frames.shape[2], height=frames.shape[1], fps=fps)

    def marked(self, count: int, height: int = 96, width: int = 128) -> np.ndarray:
        """Return noisy frames that bear their index and camera 5."""
        noise = np.random.default_rng(0).integers(60, 120, (count, height, width, 3), dtype=np.uint8)
        for index, frame in enumerate(noise):
            draw_marker(frame, index, 5)
        return noise

    def test_available_and_says_its_version(self, codec: str) -> None:
        settings = self.settings(codec)
        self.make(settings).check_available()
        assert self.make(settings).version() == self.make(settings).version() != ""

    @pytest.mark.parametrize("count", [1, 2, 11])
    def test_every_frame_once_and_in_order(self, tmp_path: Path, codec: str, count: int) -> None:
        path = tmp_path / "a.mp4"
        assert self.encode(path, self.settings(codec), self.marked(count)) == count
        assert [read_marker(frame) for frame in iter_frames(path)] == [(index, 5) for index in range(count)]

    @pytest.mark.parametrize("fps", [7, 15, 25, 30, 60, 240])
    def test_times_are_exact_from_zero(self, tmp_path: Path, codec: str, fps: int) -> None:
        path = tmp_path / "a.mp4"
        self.encode(path, self.settings(codec), self.marked(5), fps=fps)
        info = probe(path, expected_frames=5, fps=fps)
        assert (info.frames, info.width, info.height, info.fps) == (5, 128, 96, Fraction(fps))
        assert (info.codec, info.pix_fmt) == ({"libsvtav1": "av1", "libx264": "h264"}[codec], "yuv420p")
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.start_time == 0
            assert stream.duration is not None
            assert stream.time_base is not None
            assert stream.duration * stream.time_base == Fraction(5, fps)
            packets = [packet for packet in container.demux(stream) if packet.size]
            times = [packet.pts * packet.time_base for packet in packets if packet.pts is not None and packet.time_base]
            assert times == [Fraction(index, fps) for index in range(5)]
            assert all(packet.dts == packet.pts for packet in packets)

    @pytest.mark.parametrize("g", [2, 5])
    def test_keyframes_every_g_and_no_b_frames(self, tmp_path: Path, codec: str, g: int) -> None:
        path = tmp_path / "a.mp4"
        self.encode(path, self.settings(codec, g=g), self.marked(11))
        with av.open(str(path)) as container:
            keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
        assert keys == [index % g == 0 for index in range(11)]
        with av.open(str(path)) as container:
            assert all(frame.pict_type != av.video.frame.PictureType.B for frame in container.decode(video=0))

    def test_colours_survive_in_default_decoders(self, tmp_path: Path, codec: str) -> None:
        path = tmp_path / "a.mp4"
        frames = np.stack([np.full((96, 96, 3), colour, np.uint8) for colour in COLOURS for _ in range(2)])
        self.encode(path, self.settings(codec), frames)
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            assert (context.colorspace, context.color_range) == (6, 1)  # SMPTE 170M (BT.601), limited
            plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        for decoded in (plain, list(iter_frames(path))):
            for index in range(0, len(frames), 2):  # the keyframes: SVT-AV1 may show a flat area one frame late
                error = np.abs(decoded[index].astype(int) - frames[index]).mean()
                assert error <= 3, f"{COLOURS[index // 2]} became {decoded[index].reshape(-1, 3).mean(axis=0)}"

    def test_red_and_blue_keep_their_places(self, tmp_path: Path, codec: str) -> None:
        path = tmp_path / "a.mp4"
        frame = np.zeros((1, 96, 96, 3), np.uint8)
        frame[0, :48, :48] = (255, 0, 0)
        frame[0, 48:, 48:] = (0, 0, 255)
        self.encode(path, self.settings(codec), frame)
        (decoded,) = iter_frames(path)
        assert np.abs(decoded[4:44, 4:44].mean(axis=(0, 1)) - (255, 0, 0)).max() <= 6
        assert np.abs(decoded[52:92, 52:92].mean(axis=(0, 1)) - (0, 0, 255)).max() <= 6
        assert decoded[4:44, 52:92].mean() <= 3

    def test_odd_sizes_are_kept_or_refused_by_name(self, tmp_path: Path, codec: str) -> None:
        path = tmp_path / "a.mp4"
        for height, width in ((97, 128), (96, 129), (97, 129)):
            try:
                self.encode(path, self.settings(codec), self.marked(3, height, width))
            except EpisodeRejected as exc:
                rejection = exc
            else:
                assert codec == "libsvtav1"
                assert [frame.shape for frame in iter_frames(path)] == [(height, width, 3)] * 3
                assert [read_marker(frame)[0] for frame in iter_frames(path)] == [0, 1, 2]
                continue
            assert rejection.reason == "odd_image_size"
            assert "image_resizer: {pad: even}" in rejection.detail

    def test_changed_size_is_rejected_with_the_frame(self, tmp_path: Path, codec: str) -> None:
        batches = iter([self.marked(3), self.marked(2, 96, 96)])
        with pytest.raises(EpisodeRejected, match="frame 3 is 96x96x3 instead of 96x128x3") as caught:
            self.make(self.settings(codec)).encode(tmp_path / "a.mp4", batches, width=128, height=96, fps=30)
        assert caught.value.reason == "image_size_changed"
        assert not psutil.Process().children()

    def test_nothing_is_printed(self, tmp_path: Path, codec: str, capfd: pytest.CaptureFixture[str]) -> None:
        self.encode(tmp_path / "a.mp4", self.settings(codec), self.marked(3))
        with pytest.raises(EpisodeRejected):
            self.encode(tmp_path / "a.mp4", self.settings(codec), self.marked(3).astype(np.int16))
        assert capfd.readouterr() == ("", "")

    def test_other_dtype_and_no_frames_are_rejected(self, tmp_path: Path, codec: str) -> None:
        encoder = self.make(self.settings(codec))
        for batches, reason in (([self.marked(1).astype(np.float32)], "image_dtype"), ([], "no_frames")):
            with pytest.raises(EpisodeRejected) as caught:
                encoder.encode(tmp_path / "a.mp4", iter(batches), width=128, height=96, fps=30)
            assert caught.value.reason == reason

    @pytest.mark.parametrize("error", [RuntimeError("disk"), BrokenPipeError("theirs"), KeyboardInterrupt()])
    def test_errors_of_the_frames_pass_through(self, tmp_path: Path, codec: str, error: BaseException) -> None:
        def batches() -> Iterator[np.ndarray]:
            yield self.marked(3)
            raise error

        with pytest.raises(type(error)) as caught:
            self.make(self.settings(codec)).encode(tmp_path / "a.mp4", batches(), width=128, height=96, fps=30)
        assert caught.value is error
        assert not psutil.Process().children()

    def test_same_bytes_on_any_number_of_cpus(self, tmp_path: Path, codec: str) -> None:
        if not hasattr(os, "sched_setaffinity"):
            pytest.skip("this system does not limit a process to CPUs")
        frames = self.marked(30)
        before = os.sched_getaffinity(0)
        contents = []
        try:
            for cpus in (before, before, {min(before)}):
                os.sched_setaffinity(0, cpus)
                self.encode(tmp_path / "a.mp4", self.settings(codec), frames)
                contents.append((tmp_path / "a.mp4").read_bytes())
        finally:
            os.sched_setaffinity(0, before)
        assert contents[0] == contents[1] == contents[2]

    def test_frames_need_not_be_contiguous_nor_writable(self, tmp_path: Path, codec: str) -> None:
        frames = self.marked(3)
        swapped = np.ascontiguousarray(frames[..., ::-1])[..., ::-1]
        swapped.flags.writeable = False
        self.encode(tmp_path / "a.mp4", self.settings(codec), frames)
        self.encode(tmp_path / "b.mp4", self.settings(codec), swapped)
        assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
