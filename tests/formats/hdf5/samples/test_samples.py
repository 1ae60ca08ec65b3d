from __future__ import annotations

from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import SAMPLES, storage, write_sample
from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.formats.hdf5.samples.sample_spec import action, state, velocity


def test_signals_are_what_they_say() -> None:
    values = state(episode=2, frames=5, joints=3, seed=1)
    assert values[4, 2] == np.float32(0.5 + 0.4 * np.sin(0.05 * 4 + 2 + 0.3 * 2 + 1))
    np.testing.assert_array_equal(action(2, 4, 3, 1), values[1:])
    assert velocity(2, 4, 3, 30, 1)[0, 0] == pytest.approx((values[1, 0] - values[0, 0]) * 30)


def test_pictures_move_and_differ() -> None:
    first, second = islice(pictures(9, 64, 64, camera=0), 2)
    [other] = islice(pictures(9, 64, 64, camera=1), 1)
    seeded = next(pictures(9, 64, 64, camera=0, seed=3))
    np.testing.assert_array_equal(first[50:, 2:40], second[50:, :38])
    assert (first[50, 20] != other[50, 20]).any()
    assert (first[50, 20] != seeded[50, 20]).any()


@pytest.mark.parametrize("name", list(SAMPLES))
@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_compression_changes_no_value(tmp_path: Path, name: str, compression: str) -> None:
    options = {"episodes": 2, "frames": 9, "height": 48, "width": 50, "cameras": ("a",), "seed": 4}
    plain = write_sample(name, tmp_path / "plain", **options)
    packed = write_sample(name, tmp_path / "packed", compression=compression, **options)
    for left, right in zip(plain, packed, strict=True):
        with h5py.File(left) as one, h5py.File(right) as two:
            assert contents(one) == contents(two)


def contents(file: h5py.File) -> dict[str, object]:
    found: dict[str, object] = {}

    def visit(path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            rows = item[()]
            found[path] = [bytes(row) for row in rows] if rows.dtype == object else rows.tobytes()

    file.visititems(visit)
    return found


def test_bands_that_do_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"episodes": 1, "frames": 30, "height": 60, "width": 70, "compression": "gzip"}
    [plain] = write_sample("isaaclab", tmp_path / "plain", **options)
    monkeypatch.setattr(storage, "BAND_BYTES", 1000)
    monkeypatch.setattr(storage, "SLAB_BYTES", 2000)
    [banded] = write_sample("isaaclab", tmp_path / "banded", **options)
    with h5py.File(plain) as one, h5py.File(banded) as two:
        assert one["data/demo_0/obs/front"].chunks[0] > 1
        assert contents(one) == contents(two)


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"height": 40}, {"cameras": ("a", "a")}, {"cameras": ("a/b",)}])
def test_arguments_that_do_not_fit(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        write_sample("isaaclab", tmp_path, **wrong)
    with pytest.raises(UsageError, match="did you mean 'leisaac'"):
        write_sample("leisac", tmp_path)
