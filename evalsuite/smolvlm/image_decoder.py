"""Read images in child processes that can be killed.

A file from the wild can make a decoder hang, crash or ask for all memory there is. None of that
may take a run down, so decoding happens in ``python -m evalsuite.smolvlm.image_decoder``, which
imports neither torch nor numpy and starts in a tenth of a second.
"""

from __future__ import annotations

import warnings
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from evalsuite.system.process import Child, ChildDied, ChildTimedOut, serve

DECODE_TIMEOUT = 60.0
"""Seconds one image may take."""
START_TIMEOUT = 120.0
"""Seconds a child may take to start, on a machine busy with other work."""
MAX_PIXELS = 500_000_000
"""Larger images are taken for decompression bombs: this many are 1.5 GB of RGB."""


class MediaError(Exception):
    """An image cannot be had; the message names it and says why, in one line."""


class Decoder:
    """One child process that reads images. It is started when needed and after it was killed."""

    def __init__(self, timeout: float = DECODE_TIMEOUT, *, whitens: bool = False) -> None:
        """Give an image `timeout` seconds; `whitens`: see `image_processing.whitens`."""
        self._timeout = timeout
        self._whitens = whitens
        self._child: Child | None = None
        self._closed = False

    def read(self, path: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Read the image at `path`, upright and in RGB: uint8, (height, width, 3).

        The pixels are those of ``transformers.image_utils.load_image``, once the processor has
        made them RGB. Raises `MediaError`.
        """
        if self._closed:
            raise MediaError(f"{path}: not decoded, the engine was closed")
        try:
            child = self._child = self._child or _start()
            child.send((path, self._whitens))
            reply = child.receive(self._timeout)
            if isinstance(reply, str):
                raise MediaError(f"{path}: {reply}")
            pixels = np.empty(reply, np.uint8)
            child.connection.recv_bytes_into(pixels.data.cast("B"))
        except ChildTimedOut as error:
            self._child = None
            raise MediaError(f"{path}: took over {self._timeout:.0f} s to decode") from error
        except (ChildDied, EOFError, OSError) as error:
            self._stop()
            raise MediaError(f"{path}: its decoder {str(error) or 'stopped midway'}") from error
        return pixels

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._child.pid if self._child else None

    def close(self) -> None:
        """End the child, even one that hangs; later reads raise `MediaError`."""
        self._closed = True
        self._stop()

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


def _start() -> Child:
    child = Child("evalsuite.smolvlm.image_decoder")
    child.receive(START_TIMEOUT)
    return child


def main() -> None:
    """Serve as the child: paths in; a shape and the pixels out, or a reason."""
    connection = serve()
    from PIL import Image, ImageOps

    # Pillow raises above twice this number and only warns between one and two times.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
    warnings.simplefilter("ignore")
    connection.send("ready")
    while True:
        try:
            path, whitens = connection.recv()
        except EOFError:
            return
        try:
            with Image.open(path) as image:
                # The order of load_image. Conversion also reads the pixels.
                rgb = ImageOps.exif_transpose(image).convert("RGB")
            if whitens and rgb.info.get("transparency") is not None:
                # The conversion keeps the note of a transparent colour, which the processor heeds.
                clear = rgb.convert("RGBA")
                white = Image.new("RGBA", clear.size, "white")
                rgb = Image.alpha_composite(white, clear).convert("RGB")
            pixels = rgb.tobytes()
        except Exception as error:  # noqa: BLE001 - whatever a file does to Pillow, the next goes on
            connection.send(_reason(error))
        else:
            _reply(connection, (rgb.height, rgb.width, 3), pixels)


def _reply(connection: Connection[Any, Any], shape: tuple[int, ...], pixels: bytes) -> None:
    connection.send(shape)
    connection.send_bytes(pixels)


def _reason(error: Exception) -> str:
    """Give a short reason that does not repeat the path."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels: taken for a decompression bomb"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = str(error).strip().splitlines() or [""]
    return f"cannot be decoded ({type(error).__name__}: {words[0]})"


if __name__ == "__main__":
    main()
