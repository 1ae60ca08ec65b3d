"""Contract of a layout, run on a sample file: derive a test class and give the layout's facts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ..core.episode import Episode
from ..core.errors import EpisodeRejected
from ..formats.hdf5 import LAYOUTS
from ..formats.hdf5.hdf5_file import natural_key, open_hdf5, source_digests
from ..formats.hdf5.layout import Layout, guess_layout
from ..formats.hdf5.samples import write_sample
from ..formats.hdf5.samples.pictures import PATCHES, patch, read_marker
from ..formats.hdf5.samples.sample_spec import action, state

FRAMES = 20
HEIGHT, WIDTH = 48, 64
FRAMING: dict[str, Any] = {"height": HEIGHT, "width": WIDTH, "cameras": ("front", "wrist")}


class LayoutContract:
    """A layout: a registered one, or your own, for which `make` and `write` are overridden.

    Inherit and fill in the class attributes. Episodes of the sample hold `action` and `state` of `sample_spec`, unless
    `values` is overridden, and its pictures.
    """

    sample: ClassVar[str]
    layout: ClassVar[str]
    state_width: ClassVar[int]
    action_width: ClassVar[int]
    task: ClassVar[tuple[str, str]]  # text and source
    fps: ClassVar[tuple[int, str]] = (30, "file")
    success: ClassVar[list[bool | None]]
    files: ClassVar[int] = 1
    color_error: ClassVar[int] = 0  # per channel; JPEG is not exact
    actions: ClassVar[tuple[str, ...]] = ("actions", "action", "command")  # dataset of the actions, one of these

    def make(self) -> Layout:
        layout: Layout = LAYOUTS[self.layout]()
        return layout

    @classmethod
    def write(cls, folder: Path, **options: Any) -> list[Path]:
        """Write the sample; options as in `write_sample`."""
        return write_sample(cls.sample, folder, **options)

    def values(self, episode: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the actions and states of an episode of the sample."""
        return action(episode, FRAMES, self.action_width), state(episode, FRAMES, self.state_width)

    @pytest.fixture(scope="class")
    @classmethod
    def paths(cls, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
        return cls.write(tmp_path_factory.mktemp(cls.sample), episodes=11, frames=FRAMES, **FRAMING)

    def episodes(self, paths: list[Path]) -> Iterator[Episode]:
        layout = self.make()
        for path in paths:
            with open_hdf5(path, locking=True) as file:
                for key in layout.list(file):
                    yield layout.open(file, key)

    def test_is_recognised(self, paths: list[Path]) -> None:
        with open_hdf5(paths[0], locking=True) as file:
            if self.layout in LAYOUTS:
                assert guess_layout(file) == (None if self.layout == "generic" else self.layout)
            else:
                assert self.make().matches(file)

    def test_episodes_come_in_natural_order_with_known_values(self, paths: list[Path]) -> None:
        ids = []
        for number, ep in enumerate(self.episodes(paths)):
            ids.append(ep.id)
            assert ep.length == FRAMES
            actions, states = self.values(number)
            np.testing.assert_array_equal(ep["action"], actions)
            np.testing.assert_array_equal(ep["observation.state"], states)
            assert ep["action"].dtype == np.float32
        assert len(ids) == 11 == len(set(ids))
        assert ids == sorted(ids, key=natural_key) != sorted(ids)

    def test_facts(self, paths: list[Path]) -> None:
        episodes = list(self.episodes(paths))
        assert [ep.success for ep in episodes] == self.success
        ep = episodes[1]
        assert (ep.text, ep.origin.task_source) == self.task
        assert (ep.fps, ep.origin.fps_source) == self.fps

    def test_every_frame_in_order_upright_and_with_its_colours(self, paths: list[Path]) -> None:
        layout = self.make()
        with open_hdf5(paths[0], locking=True) as file:
            ep = layout.open(file, layout.list(file)[0])
            for camera, key in enumerate(("observation.images.front", "observation.images.wrist")):
                assert (ep.features[key].dtype, ep.features[key].shape) == ("video", (HEIGHT, WIDTH, 3))
                frames = np.concatenate(list(ep.frames(key)))
                assert frames.dtype == np.uint8
                assert [read_marker(frame) for frame in frames] == [(index, camera) for index in range(FRAMES)]
                for name, color in PATCHES.items():
                    found = frames[FRAMES // 2][patch(name, HEIGHT, WIDTH)].reshape(-1, 3)
                    assert np.abs(np.median(found, axis=0) - color).max() <= self.color_error

    def test_a_range_of_frames(self, paths: list[Path]) -> None:
        layout = self.make()
        with open_hdf5(paths[0], locking=True) as file:
            column = layout.open(file, layout.list(file)[0]).columns["observation.images.wrist"]
            found = [read_marker(frame)[0] for batch in column.batches(7, 12) for frame in batch]
        assert found == [7, 8, 9, 10, 11]

    def test_digest_is_of_the_episode(self, paths: list[Path], tmp_path: Path) -> None:
        again = self.write(tmp_path, episodes=11, frames=FRAMES, **FRAMING)
        first, second = self.digests(paths), self.digests(again)
        assert first == second
        assert len(set(first)) == 11

    def digests(self, paths: list[Path]) -> list[str]:
        layout, digests = self.make(), []
        for path in paths:
            with open_hdf5(path, locking=True) as file:
                digests += [source_digests(layout.group(file, key))[0] for key in layout.list(file)]
        return digests

    def test_a_missing_action_is_named(self, paths: list[Path], tmp_path: Path) -> None:
        path = tmp_path / "broken.hdf5"
        path.write_bytes(paths[0].read_bytes())
        layout = self.make()
        with h5py.File(path, "a") as file:
            key = layout.list(file)[0]
            found = next(name for name in self.actions if name in file[key])
            file[key].move(found, "moved")
        with open_hdf5(path, locking=True) as file, pytest.raises(EpisodeRejected, match=found) as caught:
            layout.open(file, key)
        assert caught.value.reason == "missing_dataset"

    def test_a_file_without_episodes(self, tmp_path: Path) -> None:
        path = tmp_path / "none.hdf5"
        h5py.File(path, "w").close()
        with open_hdf5(path, locking=True) as file:
            with pytest.raises(EpisodeRejected) as caught:
                self.make().list(file)
            assert guess_layout(file) is None
        assert caught.value.reason == "no_episodes"
