import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from transformers.image_utils import load_image

from evalsuite.smolvlm.image_decoder import Decoder, MediaError


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder()
    yield decoder
    decoder.close()


def noise(width: int, height: int, channels: int = 3) -> PIL.Image.Image:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("rgb.png", noise(31, 17)),
        ("photo.jpg", noise(31, 17)),
        ("grey.png", noise(9, 4, channels=1)),
        ("transparent.png", noise(9, 4, channels=4)),
        ("palette.gif", noise(9, 4).quantize(16)),
        ("dot.png", noise(1, 1)),
        ("ribbon.png", noise(20000, 10)),
    ],
)
def test_pixels_equal_load_image(
    decoder: Decoder, tmp_path: Path, name: str, image: PIL.Image.Image
) -> None:
    path = tmp_path / name
    image.save(path)
    np.testing.assert_array_equal(decoder.read(str(path)), np.array(load_image(str(path))))


def test_exif_orientation_is_applied(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "rotated.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    noise(30, 10).save(path, exif=exif)
    pixels = decoder.read(str(path))
    assert pixels.shape == (30, 10, 3)
    np.testing.assert_array_equal(pixels, np.array(load_image(str(path))))


def bomb() -> bytes:
    """A PNG of 70 bytes that claims 40,000 × 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no such file"),
        (b"", "not an image in a known format"),
        (b"<html>404</html>", "not an image in a known format"),
        (bomb(), "more than 500,000,000 pixels"),
    ],
)
def test_unreadable_files_are_errors_with_path_and_reason(
    decoder: Decoder, tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError) as error:
        decoder.read(str(path))
    assert str(error.value).startswith(f"{path}: {why}")


def test_a_truncated_photo_is_an_error_and_the_next_is_read(
    decoder: Decoder, tmp_path: Path
) -> None:
    whole, half = tmp_path / "whole.jpg", tmp_path / "half.jpg"
    noise(64, 64).save(whole)
    half.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(MediaError, match=r"half\.jpg: cannot be decoded \(OSError: .*truncated"):
        decoder.read(str(half))
    assert decoder.read(str(whole)).shape == (64, 64, 3)


def test_a_hanging_decoder_is_killed_and_replaced(tmp_path: Path) -> None:
    fifo, good = tmp_path / "fifo.png", tmp_path / "good.png"
    os.mkfifo(fifo)
    noise(8, 8).save(good)
    decoder = Decoder(timeout=1)
    decoder.read(str(good))  # so that the start of the child is not timed below
    started = time.monotonic()
    with pytest.raises(MediaError) as error:
        decoder.read(str(fifo))
    assert time.monotonic() - started < 5
    assert str(fifo) in str(error.value)
    assert "1 s" in str(error.value)
    assert decoder.read(str(good)).shape == (8, 8, 3)
    decoder.close()


def test_a_crashed_decoder_is_an_error_and_replaced(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    noise(8, 8).save(good)
    decoder = Decoder()
    decoder.read(str(good))
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGKILL)
    with pytest.raises(MediaError, match="decoder was killed"):
        decoder.read(str(good))
    assert decoder.read(str(good)).shape == (8, 8, 3)
    decoder.close()
    with pytest.raises(MediaError, match="the engine was closed"):
        decoder.read(str(good))


def test_neither_prompts_nor_decoders_import_torch() -> None:
    code = (
        "import sys, evalsuite.smolvlm.prompts, evalsuite.smolvlm.requests, "
        "evalsuite.smolvlm.image_decoder; print({'torch', 'transformers'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
