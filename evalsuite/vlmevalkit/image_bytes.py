"""An image's bytes, as VLMEvalKit would write them to disk."""

from __future__ import annotations

import io

from PIL import Image as Picture
from PIL import UnidentifiedImageError


def opened(data: bytes) -> Picture.Image:
    """Read an image's header; raises what Pillow raises, without naming a buffer in memory."""
    try:
        return Picture.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise ValueError(f"{len(data)} bytes that are no image") from error


def lossless_suffix(data: bytes) -> str | None:
    """Say under which suffix `data` can be kept as they are, or None if VLMEvalKit changes pixels.

    VLMEvalKit drops alpha, palette and EXIF orientation, and writes a PNG. A file without its end
    mark is left to the full decoder, which says what is wrong with it.
    """
    picture = opened(data)
    if picture.mode not in ("RGB", "L") or getattr(picture, "n_frames", 1) != 1:
        return None
    if picture.format == "PNG" and data[-8:-4] == b"IEND":
        # What says how it is turned may be compressed, and stand behind the pixels.
        if any(chunk in data for chunk in (b"eXIf", b"tEXt", b"zTXt", b"iTXt")):
            picture.load()
            return ".png" if picture.getexif().get(_ORIENTATION, 1) == 1 else None
        return ".png"
    if picture.format == "JPEG" and data[-2:] == b"\xff\xd9":
        return ".jpg" if picture.getexif().get(_ORIENTATION, 1) == 1 else None
    return None


_ORIENTATION = 0x0112


def rewritten(data: bytes, suffix: str) -> bytes:
    """Encode again as ``vlmeval/smp/vlm.py:decode_base64_to_image_file`` does."""
    picture = opened(data)
    if picture.mode in ("RGBA", "P", "LA"):
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, format=Picture.registered_extensions()[suffix.lower()])
    return buffer.getvalue()
