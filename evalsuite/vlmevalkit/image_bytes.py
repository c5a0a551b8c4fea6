"""Image bytes as VLMEvalKit writes them to disk."""

from __future__ import annotations

import io

from PIL import Image as PILImage
from PIL import UnidentifiedImageError


def open_image(data: bytes) -> PILImage.Image:
    """Open an image; raises Pillow's errors, without the name of a memory buffer."""
    try:
        return PILImage.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise ValueError(f"{len(data)} bytes that are not an image") from error


def lossless_suffix(data: bytes) -> str | None:
    """Return the suffix under which `data` can be stored as is; None if VLMEvalKit changes pixels.

    VLMEvalKit removes alpha, palette and EXIF orientation and writes PNG. None is also returned for
    files without an end marker, so that the full decoder reports the error.
    """
    image = open_image(data)
    if image.mode not in ("RGB", "L") or getattr(image, "n_frames", 1) != 1:
        return None
    if image.format == "PNG" and data[-8:-4] == b"IEND":
        # The orientation may be compressed and come after the pixels.
        if any(chunk in data for chunk in (b"eXIf", b"tEXt", b"zTXt", b"iTXt")):
            image.load()
            return ".png" if image.getexif().get(_ORIENTATION, 1) == 1 else None
        return ".png"
    if image.format == "JPEG" and data[-2:] == b"\xff\xd9":
        return ".jpg" if image.getexif().get(_ORIENTATION, 1) == 1 else None
    return None


_ORIENTATION = 0x0112


def re_encoded(data: bytes, suffix: str) -> tuple[bytes, str]:
    """Encode as ``vlmeval/smp/vlm.py:decode_base64_to_image_file`` does; returns bytes and suffix.

    That raises for modes that the format of `suffix` does not have, such as CMYK in PNG. Then the
    file is kept as it is, and shown as if a path had named it.
    """
    image = open_image(data)
    if image.mode in ("RGBA", "P", "LA"):
        image = image.convert("RGB")
    image.load()
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=PILImage.registered_extensions()[suffix.lower()])
    except OSError:
        return data, f".{image.format or 'image'}".lower()
    return buffer.getvalue(), suffix
