"""Video frames: which are selected, and how they are stored."""

import math
import os
import struct
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Picture

from evalsuite.benchmarks.benchmark import FrameRule
from evalsuite.errors import DiskError
from evalsuite.vlmevalkit.media_store import MediaError, MediaStore, StoredClip
from evalsuite.vlmevalkit.video_frames import ClipSpec, evenly_spaced, segment_middles
from tests.builders import kit_data as made

EACH_SECOND = FrameRule(per_second=1)


def clip(root: Path, video: Path, rule: FrameRule = EACH_SECOND, **options: object) -> StoredClip:
    return MediaStore(root / "media").clip(ClipSpec(video, rule, **options))  # type: ignore[arg-type] # any field


def brightness(clip: StoredClip) -> list[float]:
    """Return the mean brightness of each shown frame."""
    return [float(np.asarray(Picture.open(path)).mean()) for path in clip.shown.paths]


# --------------------------------------------------------------------------------------------------
# Selection
# --------------------------------------------------------------------------------------------------


def test_evenly_spaced() -> None:
    assert evenly_spaced(35, 10, FrameRule(per_second=1)) == [0, 10, 20]
    assert evenly_spaced(100, 29.97, FrameRule(per_second=0.5)) == [0]
    assert evenly_spaced(30, 10, FrameRule(count=2)) == [10, 20]
    assert evenly_spaced(9, 10, FrameRule(per_second=1)) == [0], "VLMEvalKit shows no frame"


def test_segment_middles() -> None:
    # Segments of 9.67: 4.83, 14.83 and 23.83 with rounding.
    assert segment_middles(0, 29, 3) == [4, 14, 23]
    assert segment_middles(10, 20, 2) == [12, 17]
    assert segment_middles(5, 5, 3) == [5, 5, 5]


def test_a_clip_of_a_video(tmp_path: Path) -> None:
    video = made.video(tmp_path / "v.mp4", 50)  # 10 frames a second
    middle = clip(tmp_path, video, FrameRule(count=2), segment_middles=True, bounds=(1.0, 2.0))
    assert middle.indices == (12, 17)
    assert middle.shown.times == (0.2, 0.7)
    assert middle.shown.seconds == 1.0
    assert brightness(middle) == pytest.approx([20 + 4 * 12, 20 + 4 * 17], abs=4)
    steady = clip(tmp_path, video, bounds=(1.5, math.inf))
    assert steady.indices == (15, 25, 35)
    assert steady.shown.times == (0, 1, 2)
    assert steady.shown.seconds == 3.5
    assert clip(tmp_path, video, bounds=(0.0, 2.0)).indices == (0, 10)
    assert clip(tmp_path, video, bounds=(4.5, 99.0)).indices == (45,)


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ((7.0, 9.0), "its clip from 7 to 9 s exceeds its length of 5.0 s"),
        ((2.0, 1.0), "its clip from 2 to 1 s is empty"),
        ((math.nan, 1.0), "its clip from nan to 1 s is empty"),
    ],
)
def test_invalid_clips_are_errors(tmp_path: Path, bounds: tuple[float, float], why: str) -> None:
    video = made.video(tmp_path / "v.mp4", 50)
    for middles_of in (True, False):
        with pytest.raises(MediaError) as raised:
            clip(tmp_path, video, FrameRule(count=2), segment_middles=middles_of, bounds=bounds)
        assert str(raised.value) == f"{video}: {why}"


def test_frames_of_an_animation(tmp_path: Path) -> None:
    pictures = [Picture.new("RGB", (20, 10), (10 * n, 0, 0)) for n in range(26)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    got = clip(tmp_path, path, FrameRule(count=2), medium="gif", segment_middles=True)
    assert got.indices == (6, 18)  # segments of 12.5
    assert got.shown.times == (0.24, 0.72)  # 25 a second
    reds = [np.asarray(Picture.open(p))[..., 0].mean() for p in got.shown.paths]
    assert reds == pytest.approx([60, 180], abs=3)


def test_frames_of_an_image_folder(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(1, 10):
        mode = "CMYK" if n == 7 else "RGB"
        Picture.new("RGB", (16, 16), (20 * n,) * 3).convert(mode).save(folder / f"{n:05}.jpg")
    rule = FrameRule(count=2)
    got = clip(tmp_path, folder, rule, medium="frame", segment_middles=True)
    assert got.indices == (3, 7)  # 1 to 9: segments of 4
    assert got.shown.times == (0.667, 2.0)  # three a second, from the first on
    assert got.shown.seconds == 3.0
    assert brightness(got) == pytest.approx([60, 140], abs=3)
    bounded = clip(tmp_path, folder, rule, medium="frame", segment_middles=True, bounds=(1.0, 2.0))
    assert bounded.indices == (3, 5)  # 3 to 6: 3.75, 5.75 with rounding
    Picture.new("RGB", (16, 16)).save(folder / "00003.jpg")
    assert clip(tmp_path, folder, rule, medium="frame", segment_middles=True).shown != got.shown
    (folder / "00007.jpg").rename(folder / "7.jpg")
    with pytest.raises(MediaError, match=r"images: .*00007.jpg"):
        clip(tmp_path, folder, rule, medium="frame", segment_middles=True)


# --------------------------------------------------------------------------------------------------
# Unusual files
# --------------------------------------------------------------------------------------------------


def encoded(path: Path, stamps: Sequence[int], **options: str) -> Path:
    """Write an H.264 video with a frame at each of `stamps` (milliseconds), each brighter."""
    milliseconds = Fraction(1, 1000)
    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream("h264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.time_base = stream.codec_context.time_base = milliseconds
        rng = np.random.default_rng(0)
        for number, stamp in enumerate(stamps):
            level = np.uint8(20 + 200 * number // len(stamps))
            noise = rng.integers(0, 25, (32, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(noise + level, format="rgb24")
            frame.pts, frame.time_base = stamp, milliseconds
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def test_a_varying_frame_rate(tmp_path: Path) -> None:
    """Frames are selected by the average rate, as in VLMEvalKit; their times are exact."""
    stamps = [0, 100, 200, 300, 1300, 2300, 2400, 2500, 2600, 2700]
    got = clip(tmp_path, encoded(tmp_path / "v.mp4", stamps))
    assert got.per_second == pytest.approx(10 / 2.8, abs=0.1)
    assert got.indices == (0, 3)  # 2.8 seconds, 3.6 frames each
    assert got.shown.times == (0.0, 0.3)
    assert got.shown.seconds == pytest.approx(2.7 + 1 / got.per_second, abs=0.01)
    # The last of four shown is the one at 2.4 seconds.
    even = clip(tmp_path, tmp_path / "v.mp4", FrameRule(count=4))
    assert even.indices == (2, 4, 6, 8)
    assert even.shown.times == (0.2, 1.3, 2.4, 2.6)


def test_times_start_at_the_first_frame(tmp_path: Path) -> None:
    stamps = [5000 + 100 * n for n in range(30)]
    got = clip(tmp_path, encoded(tmp_path / "v.mkv", stamps), FrameRule(count=2))
    assert got.indices == (10, 20)
    assert got.shown.times == (1.0, 2.0)


def test_rotation_metadata_are_applied(tmp_path: Path) -> None:
    """decord applies the rotation, so VLMEvalKit does too."""
    wide = encoded(tmp_path / "wide.mp4", range(0, 2000, 100))
    data = bytearray(wide.read_bytes())
    header = data.index(b"tkhd") + 4
    matrix = header + (52 if data[header] else 40)
    assert struct.unpack_from(">9i", data, matrix)[:5] == (65536, 0, 0, 0, 65536)
    struct.pack_into(">9i", data, matrix, 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "tall.mp4").write_bytes(data)
    sizes = [
        Picture.open(clip(tmp_path, tmp_path / name).shown.paths[0]).size
        for name in ("wide.mp4", "tall.mp4")
    ]
    assert sizes == [(64, 32), (32, 64)]


def _audio(path: Path) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100, layout="mono")
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 44100, 1024 * number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def _truncated(path: Path) -> Path:
    path.write_bytes(made.video(path.with_name("whole.mp4"), 20).read_bytes()[:600])
    return path


def _half_downloaded(path: Path) -> Path:
    """A file with its index first, without its second half."""
    whole = encoded(path.with_name("w.mp4"), range(0, 6000, 100), movflags="faststart")
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def _damaged(path: Path) -> Path:
    """A file with invalid bytes in its second half."""
    whole = encoded(path.with_name("w.mp4"), range(0, 2000, 100))
    with av.open(str(whole)) as file:
        packets = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    data = bytearray(whole.read_bytes())
    for at, size in packets[10:]:
        data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _text(path: Path) -> Path:
    path.write_text("<html>not found</html>")
    return path


def _truncated_after_its_index(path: Path) -> Path:
    """An incomplete download of a file whose index comes first."""
    whole = path.with_name("f.mp4")
    with av.open(str(whole), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        rng = np.random.default_rng(0)
        for _ in range(100):
            noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        file.mux(stream.encode())
    with av.open(str(whole)) as file:
        ends = [packet.pos + packet.size for packet in file.demux(video=0) if packet.size]
    # Cut after a complete frame; elsewhere decord notices the missing data.
    path.write_bytes(whole.read_bytes()[: ends[59]])
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_truncated_after_its_index, "60 of 100 frames"),
        (_audio, "no video stream"),
        (_truncated, "it is not a video, or it is truncated"),
        (_text, "it is not a video, or it is truncated"),
        (_half_downloaded, "it is not a video, or it is truncated"),
        (_damaged, "some frames cannot be decoded; the file is damaged"),
        (_empty, "it is empty"),
        (_folder, "it is a folder, not a video"),
        (lambda path: path, "no such file"),
    ],
)
def test_unreadable_videos_are_errors(tmp_path: Path, make: object, why: str) -> None:
    assert callable(make)
    path = make(tmp_path / "bad.mp4")
    good = made.video(tmp_path / "good.mp4", 20)
    store = MediaStore(tmp_path / "media")
    found = store.clips([ClipSpec(path, EACH_SECOND), ClipSpec(good, EACH_SECOND)])
    error, whole = found.values()
    assert isinstance(whole, StoredClip)
    assert len(whole.shown.paths) == 2
    assert isinstance(error, MediaError)
    assert str(error).startswith(f"{path}: ")
    assert str(error).endswith(why)
    assert "\n" not in str(error)
    assert not list((tmp_path / "media").rglob(".draft*"))


@pytest.mark.parametrize("width", [16, 24, 48, 72])
def test_narrow_videos(tmp_path: Path, width: int) -> None:
    """decord returns more than three channels for these."""
    video = tmp_path / "narrow.mp4"
    with av.open(str(video), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height = width, 64
        ramp = np.linspace(0, 255, width).astype(np.uint8)
        picture = np.broadcast_to(ramp[None, :, None], (64, width, 3))
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    store = MediaStore(tmp_path / "media", lossless=True)
    got = store.clip(ClipSpec(video, EACH_SECOND))
    for path in got.shown.paths:
        shown = Picture.open(path)
        assert shown.mode == "RGB"
        assert shown.size == (width, 64)
        assert np.abs(np.asarray(shown).astype(int) - picture).mean() < 6


def test_similar_rules_have_separate_frames(tmp_path: Path) -> None:
    video = made.video(tmp_path / "v.mp4", 50)
    one = clip(tmp_path, video, FrameRule(per_second=1.0))
    other = clip(tmp_path, video, FrameRule(per_second=0.9999996))
    assert one.folder != other.folder
    assert len(one.indices) == 5
    assert len(other.indices) == 4


def test_a_clip_under_a_second_shows_its_first_frame(tmp_path: Path) -> None:
    got = clip(tmp_path, made.video(tmp_path / "v.mp4", 5))
    assert (got.indices, got.shown.times, got.shown.seconds) == ((0,), (0.0,), 0.5)


# --------------------------------------------------------------------------------------------------
# Storage
# --------------------------------------------------------------------------------------------------


def test_only_shown_frames_of_a_long_video_are_stored(tmp_path: Path) -> None:
    got = clip(tmp_path, made.video(tmp_path / "long.mp4", 200, per_second=2))
    assert got.indices == tuple(range(0, 200, 2))
    assert len(got.paths) == 100
    assert got.shown.numbers == tuple(np.linspace(0, 99, 64, dtype=int).tolist())
    assert got.shown.times == tuple(float(number) for number in got.shown.numbers)
    assert got.shown.paths == tuple(got.paths[number] for number in got.shown.numbers)
    assert {str(p) for p in got.folder.glob("*.jpg")} == set(got.shown.paths)


def test_frames_depend_on_the_video_and_the_clip(tmp_path: Path) -> None:
    video = made.video(tmp_path / "v.mp4", 30)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    first = clip(tmp_path, video)
    assert clip(tmp_path, copy) == first
    folders = {
        clip(tmp_path, video, rule, segment_middles=middles_of, bounds=bounds).folder
        for rule in (EACH_SECOND, FrameRule(count=3))
        for middles_of in (False, True)
        for bounds in (None, (0.0, 1.0), (0.0, 1.0001))
    }
    assert len(folders) == 12
    made.video(video, 60)
    assert clip(tmp_path, video).shown.times == (0, 1, 2, 3, 4, 5)


def test_lossless_frames_equal_the_decoded_ones(tmp_path: Path) -> None:
    import decord

    video = made.video(tmp_path / "v.mp4", 20)
    spec = ClipSpec(video, FrameRule(count=1))
    exact = MediaStore(tmp_path / "media", lossless=True).clip(spec)
    jpeg = MediaStore(tmp_path / "media").clip(spec)
    pixels = decord.VideoReader(str(video))[exact.indices[0]].asnumpy()
    (path,) = exact.shown.paths
    assert path.endswith(".png")
    np.testing.assert_array_equal(np.asarray(Picture.open(path)), pixels)
    assert jpeg.shown.digest != exact.shown.digest
    assert jpeg.shown.times == exact.shown.times


def test_parallel_decoding_equals_serial_decoding(tmp_path: Path) -> None:
    specs = [
        ClipSpec(made.video(tmp_path / f"{n}.mp4", 20 + n), FrameRule(count=count))
        for n in range(4)
        for count in (1, 3)
    ]
    together = MediaStore(tmp_path / "together").clips([*specs, *specs])
    assert list(together) == specs
    for spec in reversed(specs):
        alone = MediaStore(tmp_path / "alone").clip(spec)
        got = together[spec]
        assert isinstance(got, StoredClip)
        assert got.shown.digest == alone.shown.digest


def test_parallel_writers_of_one_video(tmp_path: Path) -> None:
    spec = ClipSpec(made.video(tmp_path / "v.mp4", 30), FrameRule(count=3))
    copies = [tmp_path / f"{n}.mp4" for n in range(6)]
    for copy in copies:
        copy.write_bytes(spec.video.read_bytes())
    found = MediaStore(tmp_path / "media").clips(ClipSpec(copy, spec.rule) for copy in copies)
    (folder,) = {got.folder for got in found.values() if isinstance(got, StoredClip)}
    assert len(found) == 6
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert len(list(folder.iterdir())) == 4


def test_deleted_media_are_recreated(tmp_path: Path) -> None:
    store, spec = (
        MediaStore(tmp_path / "media"),
        ClipSpec(made.video(tmp_path / "v.mp4", 30), EACH_SECOND),
    )
    first = store.clip(spec)
    for name in ("frames.json", "frame-00001.jpg"):
        (first.folder / name).unlink()
        assert store.clip(spec) == first
        assert len(list(first.folder.iterdir())) == 4
    (first.folder / "frames.json").write_text('{"indices": [0')
    assert store.clip(spec) == first
    text = made.encoded(made.picture())
    path = Path(store.image(text))
    path.unlink()
    assert store.image(text) == str(path)
    assert path.exists()


def test_use_is_recorded_once_per_hour(tmp_path: Path) -> None:
    store, spec = (
        MediaStore(tmp_path / "media"),
        ClipSpec(made.video(tmp_path / "v.mp4", 30), EACH_SECOND),
    )
    text = made.encoded(made.picture())
    for path, use in (
        (store.clip(spec).folder, lambda: store.clip(spec)),
        (Path(store.image(text)), lambda: store.image(text)),
        (Path(store.image(text)), lambda: MediaStore(tmp_path / "media").image(text)),
    ):
        recent, old = time.time() - 1800, time.time() - 7200
        os.utime(path, (recent, recent))
        use()
        assert path.stat().st_mtime == recent
        os.utime(path, (old, old))
        use()
        assert path.stat().st_mtime > recent


def test_disk_errors_are_not_media_errors(tmp_path: Path) -> None:
    (tmp_path / "media").touch()
    spec = ClipSpec(made.video(tmp_path / "v.mp4", 9), FrameRule(count=1))
    with pytest.raises(DiskError):
        MediaStore(tmp_path / "media").clip(spec)
    with pytest.raises(DiskError):
        MediaStore(tmp_path / "media").clips([spec])
