"""Images and frames on disk, each found by its content.

What VLMEvalKit keeps by a sample's index or a video's name, and then serves stale when the data
change, is kept here by the digest of its bytes. Files appear whole or not at all, and what was
thrown away is made again: several processes may share a store, and prune it.
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

from PIL import Image as Picture

from evalsuite.errors import DiskError, UsageError
from evalsuite.sample import Frames
from evalsuite.smolvlm.prompts import MAX_FRAMES, shown_frames
from evalsuite.system.files import disk_errors, write_atomically
from evalsuite.vlmevalkit.image_bytes import lossless_suffix, opened, rewritten
from evalsuite.vlmevalkit.video_frames import Cut, content, open_reel, picked, times


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames a rule picks of one video; those that are shown lie on disk."""

    folder: Path
    suffix: str
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
        numbers = range(len(self.indices))
        return [str(_frame_path(self.folder, number, self.suffix)) for number in numbers]


class MediaError(Exception):
    """An image or a video that cannot be read; says which and why, in one line."""


@contextlib.contextmanager
def _reading(what: object) -> Iterator[None]:
    """Tell what is wrong with media from what is wrong with us or the disk."""
    try:
        yield
    except (DiskError, MediaError):
        raise
    except FileNotFoundError as error:
        raise MediaError(f"{what}: no such file") from error
    except UsageError as error:  # names the file itself
        raise MediaError(str(error)) from error
    except OSError as error:
        raise MediaError(f"{what}: {error.strerror or _one_line(error)}") from error
    except Exception as error:  # decoders raise what they like
        raise MediaError(f"{what}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class Store:
    """A folder of images, and of frames by video. Its methods raise `MediaError`."""

    def __init__(self, root: Path, *, lossless: bool = False) -> None:
        """Keep all under `root`; `lossless` keeps frames as decoded, VLMEvalKit's go through JPEG.

        Threads may share it.
        """
        self._root = root
        self._suffix = ".png" if lossless else ".jpg"
        self._images: dict[tuple[bytes, str], str] = {}
        self._digests: dict[str, str] = {}

    def image(self, text: str, suffix: str = ".png") -> str:
        """Where the image in base64 `text` lies, with the pixels VLMEvalKit would have written.

        `suffix` is of the file VLMEvalKit would write.
        """
        key = (hashlib.sha256(text.encode()).digest(), suffix)
        if key in self._images and _used(Path(self._images[key])):
            return self._images[key]
        with _reading("its image"):
            data = base64.b64decode(text)
            kept = lossless_suffix(data) if suffix == ".png" else None
            if kept is None:
                data = rewritten(data, suffix)
        digest = hashlib.sha256(data).hexdigest()
        path = self._root / digest[:2] / f"{digest}{kept or suffix}"
        _write(path, data)
        self._images[key] = str(path)
        self._digests[str(path)] = digest
        return str(path)

    def digest(self, path: str) -> str:
        """Return the SHA-256 of an image's bytes."""
        if path not in self._digests:
            with _reading(path):
                data = Path(path).read_bytes()
                opened(data)
            # Not remembered: a file that is not ours may change.
            return hashlib.sha256(data).hexdigest()
        return self._digests[path]

    def clip(self, cut: Cut, threads: int = 0) -> Clip:
        """Decode the frames of a cut that are shown, by `threads` (0: one a core)."""
        with _reading(cut.video):
            digest = content(cut)
            kind = self._suffix.removeprefix(".")
            folder = self._frames(digest) / f"{digest}-{cut.key}-{MAX_FRAMES}-{kind}"
            clip = _read_clip(folder, self._suffix)
            if clip is None:
                with self._draft(folder.parent) as draft:
                    _decode(cut, draft, self._suffix, threads)
                    _put(draft, folder, self._suffix)
                clip = _read_clip(folder, self._suffix)
        if clip is None:
            raise DiskError(f"{folder}: gone as soon as written; is the cache's limit too small?")
        return clip

    def clips(self, cuts: Iterable[Cut]) -> dict[Cut, Clip | MediaError]:
        """Decode many cuts side by side, and say what is wrong with those that cannot be.

        Threads do: decord lets go of Python's lock. Four videos of 720p cost 4.6 s of processor
        time in turn and side by side, which on two cores took 4.7 s and 2.4 s.
        """
        distinct = list(dict.fromkeys(cuts))
        cores = len(os.sched_getaffinity(0))
        workers = max(1, min(len(distinct), cores, _MOST_AT_ONCE))
        threads = max(1, cores // workers)

        def clip(cut: Cut) -> Clip | MediaError:
            try:
                return self.clip(cut, threads)
            except MediaError as error:
                return error

        with ThreadPoolExecutor(workers) as pool:
            return dict(zip(distinct, pool.map(clip, distinct), strict=True))

    def _frames(self, digest: str) -> Path:
        return self._root / "frames" / digest[:2]

    @contextlib.contextmanager
    def _draft(self, parent: Path) -> Iterator[Path]:
        with disk_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


_MOST_AT_ONCE = 8
"""Videos decoded at once: each holds some decoded frames in memory."""
_FACTS = "frames.json"
_UNUSED_SECONDS = 3600
"""How old a mark of use may become before it is renewed."""


def _used(path: Path) -> bool:
    """Whether `path` is there; if so, mark it as in use, for who drops what is used least."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    if age > _UNUSED_SECONDS:
        with contextlib.suppress(OSError):  # another user's store can be read all the same
            os.utime(path)
    return True


def _frame_path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"frame-{number:05}{suffix}"


def _decode(cut: Cut, folder: Path, suffix: str, threads: int) -> None:
    """Write the shown frames of a cut; as JPEG they are what VLMEvalKit writes, byte for byte.

    MVBench's classes take pixels through floats and back (``mvbench.py:200``), which changes none.
    """
    reel = open_reel(cut, threads)
    indices = picked(reel, cut)
    numbers = shown_frames(len(indices))
    digest = hashlib.sha256()
    for number in numbers:
        path = _frame_path(folder, number, suffix)
        frame = reel.frame(indices[number])
        data = io.BytesIO()
        frame.save(data, Picture.registered_extensions()[suffix], **_QUALITY[suffix])
        with disk_errors(path):
            path.write_bytes(data.getvalue())
        digest.update(data.getvalue())
    at, seconds = times(reel, cut, [indices[number] for number in numbers])
    facts = {
        "indices": indices,
        "per_second": reel.per_second,
        "n_frames": reel.last - reel.first + 1,
        "times": at,
        "seconds": seconds,
        "digest": digest.hexdigest(),
    }
    write_atomically(folder / _FACTS, json.dumps(facts))


_QUALITY: dict[str, dict[str, Any]] = {".jpg": {}, ".png": {"compress_level": 1}}
"""JPEG at Pillow's own quality is VLMEvalKit's; PNG's level changes size and speed only."""


def _put(draft: Path, folder: Path, suffix: str) -> None:
    """Let `draft` become `folder`, unless another process was faster."""
    with disk_errors(folder):
        try:
            draft.rename(folder)
        except OSError:
            if _read_clip(folder, suffix) is not None:
                return
            # What is there is half of one that somebody is throwing away, or was.
            left = folder.with_name(f"{draft.name}-left")
            folder.rename(left)
            shutil.rmtree(left, ignore_errors=True)
            draft.rename(folder)


def _read_clip(folder: Path, suffix: str) -> Clip | None:
    """Return the clip in `folder`, or None if not all of it is there."""
    if not _used(folder):
        return None
    with disk_errors(folder):
        try:
            facts = json.loads((folder / _FACTS).read_text())
        except (FileNotFoundError, ValueError):
            return None
    indices = tuple(facts["indices"])
    numbers = tuple(shown_frames(len(indices)))
    paths = [_frame_path(folder, number, suffix) for number in numbers]
    if not all(path.exists() for path in paths):
        return None
    shown = Frames(
        paths=tuple(map(str, paths)),
        times=tuple(facts["times"]),
        digest=facts["digest"],
        numbers=numbers,
        seconds=facts["seconds"],
    )
    return Clip(folder, suffix, indices, facts["per_second"], facts["n_frames"], shown)


def _write(path: Path, data: bytes) -> None:
    """Put `data` at `path` at once, unless they are there."""
    if _used(path) and path.stat().st_size == len(data):
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
