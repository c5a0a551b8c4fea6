"""Images and frames on disk, addressed by content.

VLMEvalKit stores media by sample index or video name and reuses them even if the data changed. This
store uses the digest of the bytes. Files are written atomically and recreated if deleted, so
several processes may share and prune a store.
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
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PILImage

from evalsuite.errors import DiskError, UsageError
from evalsuite.sample import Frames
from evalsuite.smolvlm.prompts import MAX_FRAMES, shown_frames
from evalsuite.system.files import disk_errors, read_bytes, write_atomically, write_bytes_atomically
from evalsuite.system.images import open_image
from evalsuite.system.process import usable_cpus
from evalsuite.system.text import one_line
from evalsuite.vlmevalkit.video_frames import (
    ClipSpec,
    content_digest,
    frame_times,
    open_video,
    selected_frames,
)


@dataclass(frozen=True, slots=True)
class StoredClip:
    """The frames that a rule selects from one video. Those that are shown are on disk."""

    folder: Path
    suffix: str
    indices: tuple[int, ...]
    """Frame numbers in the video."""
    per_second: float
    """Average frame rate of the video."""
    n_frames: int
    """Number of frames of the video."""
    shown: Frames

    @property
    def paths(self) -> list[str]:
        """Paths of all selected frames; only those shown exist."""
        numbers = range(len(self.indices))
        return [str(_frame_path(self.folder, number, self.suffix)) for number in numbers]


class MediaError(Exception):
    """An image or video cannot be read. The message is one line with the file and the reason."""


@contextlib.contextmanager
def _media_errors(what: object) -> Iterator[None]:
    """Convert errors of media to `MediaError`; pass on disk errors."""
    try:
        yield
    except (DiskError, MediaError):
        raise
    except FileNotFoundError as error:
        raise MediaError(f"{what}: no such file") from error
    except UsageError as error:  # names the file itself
        raise MediaError(str(error)) from error
    except OSError as error:
        raise MediaError(f"{what}: {error.strerror or one_line(error)}") from error
    except Exception as error:  # decoders raise anything
        raise MediaError(f"{what}: {one_line(error)}") from error


class MediaStore:
    """A folder of images and of frames by video. Threads may share it. Raises `MediaError`."""

    def __init__(self, root: Path, *, lossless: bool = False) -> None:
        """Use the folder `root`. `lossless` stores frames as PNG, not as VLMEvalKit's JPEG."""
        self._root = root
        self._suffix = ".png" if lossless else ".jpg"
        self._images: dict[tuple[bytes, str], str] = {}
        self._digests: dict[str, str] = {}

    def image(self, text: str, suffix: str = ".png") -> str:
        """Return the path of a base64 image, with the pixels that VLMEvalKit would write.

        `suffix` is that of VLMEvalKit's file.
        """
        key = (hashlib.sha256(text.encode()).digest(), suffix)
        if key in self._images and _mark_used(Path(self._images[key])):
            return self._images[key]
        with _media_errors("its image"):
            data = base64.b64decode(text.translate(_URL_SAFE))
            kept = _lossless_suffix(data) if suffix == ".png" else None
            if kept is None:
                data, kept = _re_encoded(data, suffix)
        digest = hashlib.sha256(data).hexdigest()
        path = self._root / digest[:2] / f"{digest}{kept}"
        _write_once(path, data)
        self._images[key] = str(path)
        self._digests[str(path)] = digest
        return str(path)

    def digest(self, path: str) -> str:
        """Return the SHA-256 of an image file."""
        if path not in self._digests:
            with _media_errors(path):
                data = read_bytes(Path(path))
                _open_image(data)
            # Not cached: the user's file may change.
            return hashlib.sha256(data).hexdigest()
        return self._digests[path]

    def clip(self, spec: ClipSpec, threads: int = 0) -> StoredClip:
        """Decode the shown frames of a clip with `threads` threads (0: one per core)."""
        with _media_errors(spec.video):
            digest = content_digest(spec)
            kind = self._suffix.removeprefix(".")
            parent = self._root / "frames" / digest[:2]
            folder = parent / f"{digest}-{spec.key}-{MAX_FRAMES}-{kind}-{_DECODING}"
            clip = _read_clip(folder, self._suffix)
            if clip is None:
                with _draft(parent) as draft:
                    _decode(spec, draft, self._suffix, threads)
                    _move_into_place(draft, folder, self._suffix)
                clip = _read_clip(folder, self._suffix)
        if clip is None:
            raise DiskError(f"{folder}: removed directly after writing; raise the cache limit")
        return clip

    def clips(self, specs: Iterable[ClipSpec]) -> dict[ClipSpec, StoredClip | MediaError]:
        """Decode several clips in parallel; return the error for those that fail.

        Threads suffice because decord releases the GIL: on two cores, four 720p videos took 4.7 s
        one after the other and 2.4 s in parallel.
        """
        distinct = list(dict.fromkeys(specs))
        cores = usable_cpus()
        workers = max(1, min(len(distinct), cores, _MAX_VIDEOS_IN_PARALLEL))
        threads = max(1, cores // workers)

        def clip(spec: ClipSpec) -> StoredClip | MediaError:
            try:
                return self.clip(spec, threads)
            except MediaError as error:
                return error

        with ThreadPoolExecutor(workers) as pool:
            return dict(zip(distinct, pool.map(clip, distinct), strict=True))


@contextlib.contextmanager
def _draft(parent: Path) -> Iterator[Path]:
    with disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


_URL_SAFE = {ord("-"): "+", ord("_"): "/"}
"""From base64 for addresses to standard base64."""
_MAX_VIDEOS_IN_PARALLEL = 8
"""Videos decoded in parallel; each keeps some decoded frames in memory."""
_METADATA_FILE = "frames.json"
_DECODING = 2
"""Raised when the frames of some file change, so that stored ones are not used."""
_REFRESH_SECONDS = 3600
"""Modification times older than this are renewed on use."""


def _mark_used(path: Path) -> bool:
    """Return whether `path` exists; if so, renew its modification time, which pruning uses."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    if age > _REFRESH_SECONDS:
        with contextlib.suppress(OSError):  # another user's store may be read-only
            os.utime(path)
    return True


def _frame_path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"frame-{number:05}{suffix}"


def _decode(spec: ClipSpec, folder: Path, suffix: str, threads: int) -> None:
    """Write the shown frames of a clip; JPEG files equal VLMEvalKit's byte for byte.

    MVBench's classes convert pixels to floats and back (``mvbench.py:200``), without any change.
    """
    source = open_video(spec, threads)
    indices = selected_frames(source, spec)
    numbers = shown_frames(len(indices))
    digest = hashlib.sha256()
    for number in numbers:
        path = _frame_path(folder, number, suffix)
        frame = source.frame(indices[number])
        data = io.BytesIO()
        frame.save(data, PILImage.registered_extensions()[suffix], **_SAVE_OPTIONS[suffix])
        with disk_errors(path):
            path.write_bytes(data.getvalue())
        digest.update(data.getvalue())
    shown_at, seconds = frame_times(source, spec, [indices[number] for number in numbers])
    metadata = {
        "indices": indices,
        "per_second": source.per_second,
        "n_frames": source.last - source.first + 1,
        "times": shown_at,
        "seconds": seconds,
        "digest": digest.hexdigest(),
    }
    write_atomically(folder / _METADATA_FILE, json.dumps(metadata))


_SAVE_OPTIONS: dict[str, dict[str, Any]] = {".jpg": {}, ".png": {"compress_level": 1}}
"""Pillow's default JPEG quality is VLMEvalKit's. PNG's level changes only size and speed."""


def _move_into_place(draft: Path, folder: Path, suffix: str) -> None:
    """Rename `draft` to `folder`, unless another process did it first."""
    with disk_errors(folder):
        try:
            draft.rename(folder)
        except OSError:
            if _read_clip(folder, suffix) is not None:
                return
            # The existing folder is incomplete: another process is deleting it.
            incomplete = folder.with_name(f"{draft.name}-left")
            folder.rename(incomplete)
            shutil.rmtree(incomplete, ignore_errors=True)
            draft.rename(folder)


def _read_clip(folder: Path, suffix: str) -> StoredClip | None:
    """Return the clip in `folder`, or None if it is incomplete."""
    if not _mark_used(folder):
        return None
    with disk_errors(folder):
        try:
            metadata = json.loads((folder / _METADATA_FILE).read_text())
        except (FileNotFoundError, ValueError):
            return None
    indices = tuple(metadata["indices"])
    numbers = tuple(shown_frames(len(indices)))
    paths = [_frame_path(folder, number, suffix) for number in numbers]
    if not all(path.exists() for path in paths):
        return None
    shown = Frames(
        paths=tuple(map(str, paths)),
        times=tuple(metadata["times"]),
        digest=metadata["digest"],
        numbers=numbers,
        seconds=metadata["seconds"],
    )
    return StoredClip(folder, suffix, indices, metadata["per_second"], metadata["n_frames"], shown)


def _write_once(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, unless it exists."""
    if _mark_used(path) and path.stat().st_size == len(data):
        return
    write_bytes_atomically(path, data)


# Image bytes as VLMEvalKit writes them to disk


def _open_image(data: bytes) -> PILImage.Image:
    """Open an image; raises `ValueError` or Pillow's errors."""
    try:
        return open_image(io.BytesIO(data))
    except ValueError as error:
        raise ValueError(f"{len(data)} bytes: {error}") from error


def _lossless_suffix(data: bytes) -> str | None:
    """Return the suffix under which `data` can be stored as is; None if VLMEvalKit changes pixels.

    VLMEvalKit removes alpha, palette and EXIF orientation and writes PNG. None is also returned for
    files without an end marker, so that the full decoder reports the error.
    """
    image = _open_image(data)
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


def _re_encoded(data: bytes, suffix: str) -> tuple[bytes, str]:
    """Encode as ``vlmeval/smp/vlm.py:decode_base64_to_image_file`` does; returns bytes and suffix.

    That raises for modes that the format of `suffix` does not have, such as CMYK in PNG. Then the
    file is kept as it is, and shown as if a path had named it.
    """
    image = _open_image(data)
    if image.mode in ("RGBA", "P", "LA"):
        image = image.convert("RGB")
    image.load()
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=PILImage.registered_extensions()[suffix.lower()])
    except OSError:
        return data, f".{image.format or 'image'}".lower()
    return buffer.getvalue(), suffix
