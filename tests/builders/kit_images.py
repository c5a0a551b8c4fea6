"""Images in the formats of tables, and VLMEvalKit's way to write them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image as Picture

from tests.builders import kit_data as made


def _exif(orientation: int) -> Picture.Exif:
    exif = Picture.Exif()
    exif[0x0112] = orientation
    return exif


IMAGES = {
    "rgb": made.encoded(made.picture()),
    "grey": made.encoded(made.picture(mode="L")),
    "alpha": made.encoded(made.picture(mode="RGBA")),
    "grey alpha": made.encoded(made.picture(mode="LA")),
    "palette": made.encoded(made.picture(mode="P")),
    "one bit": made.encoded(made.picture(mode="1")),
    "sixteen bits": made.encoded(made.picture(mode="I;16")),
    "transparent colour": made.encoded(made.picture(), transparency=(1, 2, 3)),
    "oriented png": made.encoded(made.picture(), exif=_exif(6)),
    "jpeg": made.encoded(made.picture(), "JPEG"),
    "grey jpeg": made.encoded(made.picture(mode="L"), "JPEG"),
    "upright jpeg": made.encoded(made.picture(), "JPEG", exif=_exif(1)),
    "oriented jpeg": made.encoded(made.picture(), "JPEG", exif=_exif(6)),
    "webp": made.encoded(made.picture(), "WEBP"),
    "gif": made.encoded(made.picture(), "GIF"),
    "bmp": made.encoded(made.picture(), "BMP"),
    "animation": made.encoded(
        made.picture(1), "PNG", save_all=True, append_images=[made.picture(2)]
    ),
}


def written_by_vlmevalkit(text: str, path: Path) -> None:
    """``vlmeval/smp/vlm.py:150-164``; `test_workarounds` compares it with the original."""
    image_data = base64.b64decode(text)
    image: Picture.Image = Picture.open(io.BytesIO(image_data))
    if image.mode in ("RGBA", "P", "LA"):
        image = image.convert("RGB")
    image.save(path)
