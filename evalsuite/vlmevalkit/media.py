"""Images and frames on disk, each found by its content.

What VLMEvalKit keeps by a sample's index, and then serves stale when the data change, is kept here
by the digest of its bytes. Files appear whole or not at all: several processes may share a store.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Picture
from PIL import UnidentifiedImageError

from evalsuite.benchmarks import FrameRule
from evalsuite.digests import file_digest
from evalsuite.errors import DiskError
from evalsuite.files import disk_errors, write_atomically
from evalsuite.samples import Frames
from evalsuite.smolvlm.prompts import MAX_FRAMES, shown_frames
from evalsuite.vlmevalkit import mends


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames a rule picks of one video; those that are shown lie on disk."""

    folder: Path
    indices: tuple[int, ...]
    """The picked frames' places in the video."""
    per_second: float
    """The video's average frame rate."""
    n_frames: int
    """The video's frames in all."""
    shown: Frames

    @property
    def paths(self) -> list[str]:
        """Where all the picked frames would lie."""
        return [str(_frame_path(self.folder, number)) for number in range(len(self.indices))]


class MediaError(Exception):
    """An image or a video that cannot be read."""


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Tell what is wrong with media from what is wrong with us or the disk."""
    try:
        yield
    except DiskError:
        raise
    except Exception as error:  # decoders raise what they like
        lines = str(error).strip().splitlines()
        raise MediaError(lines[0] if lines else type(error).__name__) from error


class Store:
    """A folder of images, and of frames by video. Its methods raise `MediaError`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._images: dict[tuple[bytes, str], str] = {}
        self._digests: dict[str, str] = {}

    def image(self, text: str, suffix: str = ".png") -> str:
        """Where the image in base64 `text` lies, with the pixels VLMEvalKit would have written.

        `suffix` is of the file VLMEvalKit would write.
        """
        key = (hashlib.sha256(text.encode()).digest(), suffix)
        if key not in self._images:
            with _reading():
                data = base64.b64decode(text)
                kept = _lossless_suffix(data) if suffix == ".png" else None
                if kept is None:
                    data = _rewritten(data, suffix)
            digest = hashlib.sha256(data).hexdigest()
            path = self._root / digest[:2] / f"{digest}{kept or suffix}"
            _write(path, data)
            self._images[key] = str(path)
            self._digests[str(path)] = digest
        return self._images[key]

    def digest(self, path: str) -> str:
        """Return the SHA-256 of an image's bytes."""
        if path not in self._digests:
            with _reading():
                data = Path(path).read_bytes()
                _open(data)
            # Not remembered: a file that is not ours may change.
            return hashlib.sha256(data).hexdigest()
        return self._digests[path]

    def clip(self, video: Path, rule: FrameRule) -> Clip:
        """Decode the frames of `video` that are shown."""
        with _reading():
            digest = file_digest(video)
            folder = self._root / "frames" / digest[:2] / f"{digest}-{rule}-{MAX_FRAMES}"
            if not (folder / _FACTS).exists():
                self._decode(video, rule, folder)
            return _read_clip(folder)

    def _decode(self, video: Path, rule: FrameRule, folder: Path) -> None:
        with disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
        try:
            _decode(video, rule, draft)
            with disk_errors(folder):
                try:
                    draft.rename(folder)
                except OSError:
                    # Another process may have been faster.
                    if not (folder / _FACTS).exists():
                        raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)


_FACTS = "frames.json"


def _frame_path(folder: Path, number: int) -> Path:
    return folder / f"frame-{number:05}.jpg"


def picked(n_frames: int, per_second: float, rule: FrameRule) -> list[int]:
    """Which of a video's frames `rule` picks: VLMEvalKit's formulas (``videomme.py:170-178``)."""
    if rule.per_second is None:
        assert rule.count is not None
        step = n_frames / (rule.count + 1)
        return [int(i * step) for i in range(1, rule.count + 1)]
    step = per_second / rule.per_second
    count = int(n_frames / per_second * rule.per_second)
    return mends.at_least_one_frame([int(i * step) for i in range(count)])


def _decode(video: Path, rule: FrameRule, folder: Path) -> None:
    """Write the shown frames as VLMEvalKit does: read by decord, JPEG at Pillow's own quality."""
    import decord

    reader = decord.VideoReader(str(video))
    n_frames, per_second = len(reader), float(reader.get_avg_fps())
    indices = picked(n_frames, per_second, rule)
    digest = hashlib.sha256()
    for number in shown_frames(len(indices)):
        path = _frame_path(folder, number)
        frame = Picture.fromarray(reader[indices[number]].asnumpy())
        with disk_errors(path):
            frame.save(path)
        digest.update(path.read_bytes())
    facts = {
        "indices": indices,
        "per_second": per_second,
        "n_frames": n_frames,
        "digest": digest.hexdigest(),
    }
    write_atomically(folder / _FACTS, json.dumps(facts))


def _read_clip(folder: Path) -> Clip:
    facts: dict[str, Any] = json.loads((folder / _FACTS).read_text())
    indices, per_second = tuple(facts["indices"]), facts["per_second"]
    numbers = tuple(shown_frames(len(indices)))
    shown = Frames(
        paths=tuple(str(_frame_path(folder, number)) for number in numbers),
        times=tuple(indices[number] / per_second for number in numbers),
        digest=facts["digest"],
        numbers=numbers,
    )
    return Clip(folder, indices, per_second, facts["n_frames"], shown)


def _open(data: bytes) -> Picture.Image:
    """Read an image's header; raises what Pillow raises, without naming a buffer in memory."""
    try:
        return Picture.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise ValueError(f"{len(data)} bytes that are no image") from error


def _lossless_suffix(data: bytes) -> str | None:
    """Say under which suffix `data` can be kept as they are, or None if VLMEvalKit changes pixels.

    VLMEvalKit drops alpha, palette and EXIF orientation, and writes a PNG. A file without its end
    mark is left to the full decoder, which says what is wrong with it.
    """
    picture = _open(data)
    if picture.mode not in ("RGB", "L") or getattr(picture, "n_frames", 1) != 1:
        return None
    if picture.format == "PNG" and data[-8:-4] == b"IEND":
        oriented = b"eXIf" in data or b"Raw profile type" in data or b"Orientation" in data
        return None if oriented else ".png"
    if picture.format == "JPEG" and data[-2:] == b"\xff\xd9":
        return ".jpg" if picture.getexif().get(_ORIENTATION, 1) == 1 else None
    return None


_ORIENTATION = 0x0112


def _rewritten(data: bytes, suffix: str) -> bytes:
    """Encode again as ``vlmeval/smp/vlm.py:decode_base64_to_image_file`` does."""
    picture = _open(data)
    if picture.mode in ("RGBA", "P", "LA"):
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, format=Picture.registered_extensions()[suffix.lower()])
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Put `data` at `path` at once, unless they are there."""
    if path.exists() and path.stat().st_size == len(data):
        return
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)
