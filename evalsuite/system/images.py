"""The image files that are opened: which formats, and of which size.

Pillow knows some forty formats. For some it starts other programs (Ghostscript for EPS, whatever
the file's suffix), and images are untrusted. The limits are checked before pixels are decoded.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from evalsuite.system.files import open_regular

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 178_956_970
"""Pillow's own limit. In RGB such an image has half a gigabyte; decoding takes up to two."""


def open_image(source: Path | IO[bytes]) -> Image.Image:
    """Open an image without decoding its pixels.

    Raises `OSError` if it cannot be read, and `ValueError` for an unknown format or too many
    pixels.
    """
    Image.init()  # registers the formats; some builds lack AVIF
    file = os.fdopen(open_regular(source), "rb") if isinstance(source, Path) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        raise ValueError("not an image in a known format") from error
    except Image.DecompressionBombError as error:
        raise ValueError(_TOO_LARGE) from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(_TOO_LARGE)
    return image


_TOO_LARGE = f"more than {MAX_PIXELS:,} pixels: rejected as a decompression bomb"


def restrict_pillow() -> None:
    """Apply the formats and the limit to all images that libraries open in this process."""
    Image.init()
    for name in set(Image.ID) - set(FORMATS):
        Image.ID.remove(name)
        Image.OPEN.pop(name, None)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow raises above twice this number
