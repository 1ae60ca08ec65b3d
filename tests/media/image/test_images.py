from __future__ import annotations

import io

import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.media.image.images import ImageDecoder, encode_jpeg, encode_png, image_size

Image = pytest.importorskip("PIL.Image", reason="pillow, the other decoder to compare with, is in the dev extra")


def picture(height: int = 120, width: int = 200) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    wave = 127 + 120 * np.sin(columns / 17 + rows / 29)
    return np.stack([columns / width * 255, rows / height * 255, wave], axis=-1).astype(np.uint8)


def pillow_bytes(image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(**options) -> bytes:
    return pillow_bytes(Image.fromarray(picture()), "JPEG", **{"quality": 92, **options})


def pillow_pixels(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def mean_error(left: np.ndarray, right: np.ndarray) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right).mean())


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(120, 200), (101, 67)])
def test_jpeg_is_what_pillow_sees(subsampling: str, progressive: bool, size: tuple[int, int]) -> None:
    data = pillow_bytes(
        Image.fromarray(picture(*size)), "JPEG", quality=90, subsampling=subsampling, progressive=progressive
    )
    decoded = ImageDecoder().decode(data)
    assert decoded.dtype == np.uint8
    assert mean_error(decoded, pillow_pixels(data)) <= 2
    assert image_size(data) == size


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_becomes_rgb(kind: str) -> None:
    grey = picture()[..., 0]
    decoded = ImageDecoder().decode(
        pillow_bytes(Image.fromarray(grey), kind, **({"quality": 95} if kind == "JPEG" else {}))
    )
    assert mean_error(decoded, np.repeat(grey[..., None], 3, axis=2)) <= 1
    assert decoded.min() <= 3
    assert decoded.max() >= 250


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_is_exact(mode: str) -> None:
    alpha = np.dstack([picture(), np.tile(np.arange(200, dtype=np.uint8), (120, 1))])
    image = Image.fromarray(alpha).convert(mode)
    data = pillow_bytes(image, "PNG")
    np.testing.assert_array_equal(ImageDecoder().decode(data), np.array(image.convert("RGB")))
    assert image_size(data) == (120, 200)


def test_flat_colours_and_channel_order() -> None:
    for colour in [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (10, 200, 90)]:
        flat = np.full((64, 64, 3), colour, np.uint8)
        for data in (encode_jpeg(flat), encode_png(flat), pillow_bytes(Image.fromarray(flat), "JPEG")):
            assert np.abs(ImageDecoder().decode(data).astype(int) - flat).max() <= 3
            assert np.abs(ImageDecoder().decode(data, bgr=True).astype(int) - flat[..., ::-1]).max() <= 3


def test_padding_of_zeros_after_the_end_is_ignored() -> None:
    data = jpeg()
    row = np.zeros(len(data) + 5000, np.uint8)
    row[: len(data)] = np.frombuffer(data, np.uint8)
    np.testing.assert_array_equal(ImageDecoder().decode(row), ImageDecoder().decode(data))
    assert image_size(row) == (120, 200)
    np.testing.assert_array_equal(ImageDecoder().decode(encode_png(picture()) + bytes(99)), picture())


@pytest.mark.parametrize("make", [jpeg, lambda: encode_png(picture())], ids=["jpeg", "png"])
def test_damaged_data_are_rejected_and_do_not_spoil_the_next(make) -> None:
    data = make()
    half = len(data) // 2
    end = data[-12:] if data.startswith(b"\x89PNG") else data[-2:]
    decoder = ImageDecoder()
    good = decoder.decode(data)
    damaged = {
        "cut at half": data[:half],
        "cut at half and padded": data[:half] + bytes(half),
        "without its end": data[: -len(end)],
        "cut at half, with an end": data[:half] + end,
        "cut at nine tenths, with an end": data[: len(data) * 9 // 10] + end,
        "with a hole": data[:half] + bytes(200) + data[half + 200 :],
        "only the first bytes": data[:10],
    }
    for name, content in damaged.items():
        with pytest.raises(EpisodeRejected) as caught:
            pytest.fail(f"{name} was decoded: {decoder.decode(content).shape}")
        assert caught.value.reason == "bad_image"
        np.testing.assert_array_equal(decoder.decode(data), good)


@pytest.mark.parametrize(
    "data", [b"", bytes(100), b"no image at all", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\nIEND\xaeB`\x82"]
)
def test_what_is_no_image_is_rejected(data: bytes) -> None:
    for function in (ImageDecoder().decode, image_size):
        with pytest.raises(EpisodeRejected, match="bad_image"):
            function(data)


def test_cmyk_is_rejected_instead_of_decoded_wrongly() -> None:
    with pytest.raises(EpisodeRejected, match="4 colour components"):
        ImageDecoder().decode(pillow_bytes(Image.new("CMYK", (32, 32)), "JPEG"))


def test_one_decoder_takes_sizes_and_kinds_in_turn() -> None:
    decoder = ImageDecoder()
    for size in [(48, 64), (48, 64), (120, 200), (33, 57), (120, 200)]:
        image = picture(*size)
        assert mean_error(decoder.decode(encode_jpeg(image, 100)), image) <= 4
        np.testing.assert_array_equal(decoder.decode(encode_png(image)), image)


def test_encoding_is_deterministic_and_read_by_others() -> None:
    image = picture(101, 67)
    assert encode_png(image) == encode_png(image)
    assert encode_jpeg(image) == encode_jpeg(image)
    np.testing.assert_array_equal(pillow_pixels(encode_png(image)), image)
    errors = [mean_error(pillow_pixels(encode_jpeg(image, quality)), image) for quality in (100, 50, 1)]
    assert errors[0] <= 2.5
    assert errors == sorted(errors)
    assert errors[2] > errors[0]
