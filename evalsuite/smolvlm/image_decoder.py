"""Decode images in child processes that can be killed.

A malformed file can make a decoder hang, crash or allocate all memory. To protect the run, ``python
-m evalsuite.smolvlm.image_decoder`` decodes in a process of its own. It imports neither torch nor
numpy and starts in a tenth of a second.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.system.process import Child, ChildDied, ChildTimedOut, serve
from evalsuite.system.text import one_line

DECODE_TIMEOUT = 60.0
"""Seconds to decode one image."""
START_TIMEOUT = 120.0
"""Seconds to start a child process on a busy machine."""
MAX_DEATHS = 3
"""An image is an error if this many decoders died on it. One may have been killed by chance."""
LARGE_PIXELS = 32_000_000
"""Larger images are decoded one at a time, which limits the memory of several decoders."""
_LARGE = threading.Lock()


class MediaError(Exception):
    """An image cannot be read. The message contains its path and the reason, in one line."""


class Decoder:
    """A child process that decodes images. It is started on demand, and again after a kill."""

    def __init__(
        self, timeout: float = DECODE_TIMEOUT, *, whitens_transparency: bool = False
    ) -> None:
        """`timeout` is in seconds per image; see `image_processing.whitens_transparency`."""
        self._timeout = timeout
        self._whitens_transparency = whitens_transparency
        self._child: Child | None = None
        self._closed = False

    def read(self, path: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the image at `path`, upright and in RGB: uint8, (height, width, 3).

        The pixels equal ``transformers.image_utils.load_image`` followed by the processor's
        conversion to RGB. Raises `MediaError`.
        """
        for deaths in range(1, MAX_DEATHS + 1):
            if self._closed:
                raise MediaError(f"{path}: not decoded because the engine was closed")
            try:
                reply = self._ask(path)
            except ChildTimedOut as error:
                self._child = None
                why = f"decoding took more than {self._timeout:.0f} s"
                raise MediaError(f"{path}: {why}") from error
            except (ChildDied, EOFError, OSError) as error:
                self._stop()
                reply = f"the decoder {str(error) or 'stopped'}, {deaths} times"
            else:
                break
        if isinstance(reply, str):
            raise MediaError(f"{path}: {reply}")
        return reply

    def _ask(self, path: str) -> np.ndarray[Any, np.dtype[np.uint8]] | str:
        """Return the pixels, or the reason why there are none."""
        child = self._child = self._child or _start()
        child.send((path, self._whitens_transparency))
        with contextlib.ExitStack() as stack:
            reply = child.receive(self._timeout)
            if reply is None:
                stack.enter_context(_LARGE)
                child.send(None)
                reply = child.receive(self._timeout)
            if isinstance(reply, str):
                return reply
            pixels = np.empty(reply, np.uint8)
            view = pixels.data.cast("B")
            at = 0
            while at < len(view):
                at += child.connection.recv_bytes_into(view[at:])
        return pixels

    @property
    def pid(self) -> int | None:
        """Process id of the child, if one is running."""
        return self._child.pid if self._child else None

    def close(self) -> None:
        """Kill the child; later reads raise `MediaError`."""
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
    """Entry point of the child: receives paths, sends a shape and pixels, or an error text."""
    connection = serve()
    from PIL import Image, ImageOps

    from evalsuite.system.images import open_image, restrict_pillow

    restrict_pillow()
    warnings.simplefilter("ignore")
    connection.send("ready")
    while True:
        try:
            path, whitens_transparency = connection.recv()
        except EOFError:
            return
        try:
            with open_image(Path(path)) as image:
                if image.width * image.height > LARGE_PIXELS:
                    connection.send(None)
                    connection.recv()
                # Same order as load_image. The conversion also decodes the pixels.
                rgb = ImageOps.exif_transpose(image).convert("RGB")
            if whitens_transparency and rgb.info.get("transparency") is not None:
                # Conversion keeps the transparent colour as metadata, which the processor uses.
                clear = rgb.convert("RGBA")
                white = Image.new("RGBA", clear.size, "white")
                rgb = Image.alpha_composite(white, clear).convert("RGB")
        except Exception as error:  # noqa: BLE001 - Pillow raises anything; go on with the next file
            connection.send(_reason(error))
        else:
            _reply(connection, rgb)


_ROWS_PIXELS = 1 << 24
"""Pixels sent at a time."""


def _reply(connection: Connection[Any, Any], rgb: Any) -> None:
    connection.send((rgb.height, rgb.width, 3))
    step = max(1, _ROWS_PIXELS // rgb.width)
    for top in range(0, rgb.height, step):
        bottom = min(top + step, rgb.height)
        part = rgb if bottom - top == rgb.height else rgb.crop((0, top, rgb.width, bottom))
        connection.send_bytes(part.tobytes())


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error) is ValueError:  # of `open_image`
        return str(error)
    return f"cannot be decoded ({one_line(error, with_type=True)})"


if __name__ == "__main__":
    main()
