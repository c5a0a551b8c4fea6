"""Images and frames of a page: thumbnails, addresses of the originals, or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from PIL import ImageOps

from evalsuite.report.page.data import Picture
from evalsuite.system.files import read_bytes, write_bytes_atomically
from evalsuite.system.images import open_image
from evalsuite.system.process import usable_cpus
from evalsuite.system.text import one_line

KINDS = ("thumbnails", "reference", "none")
SIDE = 256
"""The longest side of a thumbnail, in pixels."""
_QUALITY = 78
_RECIPE = f"webp-{SIDE}-{_QUALITY}"
"""Part of the hash that names a thumbnail: another size or quality is another file."""
GONE = "the image was removed"


def prepare(
    paths: Collection[str], kind: str, page: Path, advanced: Callable[[], None]
) -> dict[str, Picture]:
    """Return how each of `paths` is shown; thumbnails are written below ``media`` of `page`.

    `advanced` is called after each image. An unreadable image has a reason instead of a source.
    Raises `DiskError`.
    """
    if kind == "none":
        return {}
    if kind == "reference":
        return {path: _referenced(Path(path), page) for path in paths}
    made: dict[str, Picture] = {}
    workers = ThreadPoolExecutor(usable_cpus())  # decoding and scaling release the GIL
    with contextlib.ExitStack() as stack:
        stack.callback(workers.shutdown, cancel_futures=True)
        for path, picture in zip(
            paths, workers.map(lambda path: _thumbnail(Path(path), page), paths), strict=True
        ):
            made[path] = picture
            advanced()
    return made


def names(pictures: Collection[Picture]) -> set[str]:
    """Return the names of the thumbnails among `pictures`, relative to ``media``."""
    return {
        picture.source.removeprefix("media/")
        for picture in pictures
        if picture.source.startswith("media/")
    }


def _referenced(path: Path, page: Path) -> Picture:
    where = path.absolute()
    if not os.path.isfile(where):  # noqa: PTH113 - accepts invalid paths
        return Picture("", GONE)
    with contextlib.suppress(ValueError):
        return Picture(quote(where.relative_to(page.absolute()).as_posix()))
    return Picture(where.as_uri())


def _thumbnail(path: Path, page: Path) -> Picture:
    try:
        if not os.path.isfile(path):  # noqa: PTH113 - as above
            return Picture("", GONE)
        content = read_bytes(path)
    except OSError as error:
        return Picture("", f"the image cannot be read: {error.strerror}")
    digest = hashlib.sha256(_RECIPE.encode() + content).hexdigest()[:32]
    name = f"media/{digest[:2]}/{digest}.webp"
    target = page / name
    if target.exists():  # the same image under another path, or from an earlier page
        return Picture(name)
    try:
        small = _small(content)
    except Exception as error:  # noqa: BLE001 - decoders raise any error
        return Picture("", f"the image cannot be read: {one_line(error)}"[:200])
    write_bytes_atomically(target, small)
    return Picture(name)


def _small(content: bytes) -> bytes:
    with open_image(io.BytesIO(content)) as image:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG need not be decoded at full size
        turned = ImageOps.exif_transpose(image)
        clear = turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info
        plain = turned.convert("RGBA" if clear else "RGB")
        plain.thumbnail((SIDE, SIDE))
        out = io.BytesIO()
        plain.save(out, "WEBP", quality=_QUALITY)
    return out.getvalue()
