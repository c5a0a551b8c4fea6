import base64
import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from transformers.image_utils import load_image

from evalsuite.smolvlm import image_decoder
from evalsuite.smolvlm.image_decoder import LARGE_PIXELS, Decoder, MediaError
from evalsuite.system.process import Child
from evalsuite.vlmevalkit.media_store import MediaError as StoreError
from evalsuite.vlmevalkit.media_store import MediaStore


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
        (bomb(), "more than 178,956,970 pixels"),
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
    with pytest.raises(MediaError, match=r"fifo\.png: it is a named pipe, not a file"):
        decoder.read(str(fifo))
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGSTOP)
    with pytest.raises(MediaError, match=r"good\.png: decoding took more than 1 s"):
        decoder.read(str(good))
    assert decoder.read(str(good)).shape == (8, 8, 3)
    decoder.close()


def test_a_killed_decoder_is_replaced_and_the_image_read(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    noise(8, 8).save(good)
    decoder = Decoder()
    decoder.read(str(good))
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGKILL)
    assert decoder.read(str(good)).shape == (8, 8, 3), "another decoder reads it"
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


def test_an_image_that_kills_each_decoder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "a.png"
    noise(8, 8).save(image)
    decoder = Decoder()
    started = 0

    class Dying(Child):
        def send(self, message: object) -> None:
            nonlocal started
            started += 1
            os.kill(self.pid, signal.SIGKILL)
            super().send(message)

    monkeypatch.setattr(image_decoder, "Child", Dying)
    with pytest.raises(MediaError, match=r"a\.png: the decoder was killed .*, 3 times"):
        decoder.read(str(image))
    assert started == 3


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".eps"])
def test_no_program_is_started_for_a_file_in_another_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Pillow runs Ghostscript for a file that begins like this, whatever its name."""
    started = tmp_path / "started"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with PIL.Image.open(path) as image, contextlib.suppress(Exception):
        image.load()  # what Pillow does
    assert started.exists()
    started.unlink()
    fresh = Decoder()
    with pytest.raises(MediaError, match="not an image in a known format"):
        fresh.read(str(path))
    fresh.close()
    with pytest.raises(StoreError, match="not an image in a known format"):
        MediaStore(tmp_path).image(base64.b64encode(path.read_bytes()).decode())
    assert not started.exists()


def test_libraries_of_a_restricted_process_open_the_same_formats(tmp_path: Path) -> None:
    code = """
import sys
from evalsuite.system.images import FORMATS, MAX_PIXELS, restrict_pillow
from PIL import Image
Image.MAX_IMAGE_PIXELS = 1e9  # as VLMEvalKit
restrict_pillow()
assert set(Image.OPEN) <= set(FORMATS), Image.OPEN
assert 2 * Image.MAX_IMAGE_PIXELS == MAX_PIXELS
Image.open(sys.argv[1]).load()
try:
    Image.open(sys.argv[2])
except Image.UnidentifiedImageError:
    print("refused")
"""
    good, bad = tmp_path / "a.webp", tmp_path / "a.png"
    noise(8, 8).save(good)
    bad.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    command = [sys.executable, "-c", code, str(good), str(bad)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "refused\n"


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    """And sent in parts: the pixels are those of the whole."""
    path = tmp_path / "large.png"
    rows = PIL.Image.linear_gradient("L").resize((100, 330_000))
    rows.save(path, compress_level=0)
    assert rows.width * rows.height > LARGE_PIXELS
    decoder = Decoder()
    with image_decoder._LARGE:
        waiting = ThreadPoolExecutor(1).submit(decoder.read, str(path))
        time.sleep(0.5)
        assert not waiting.done()
    assert np.array_equal(waiting.result(), np.asarray(rows.convert("RGB")))
    decoder.close()
