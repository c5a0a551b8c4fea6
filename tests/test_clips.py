"""Videos → the frames shown of them, on disk."""

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

from evalsuite.benchmarks.catalogue import FrameRule
from evalsuite.errors import DiskError
from evalsuite.vlmevalkit.media_store import Clip, MediaError, Store
from evalsuite.vlmevalkit.video_frames import Cut, middles, steps
from tests.builders import kit_data as made

EACH_SECOND = FrameRule(per_second=1)


def clip(root: Path, video: Path, rule: FrameRule = EACH_SECOND, **cut: object) -> Clip:
    return Store(root / "media").clip(Cut(video, rule, **cut))  # type: ignore[arg-type] # any field


def levels(clip: Clip) -> list[float]:
    """How bright each shown frame is."""
    return [float(np.asarray(Picture.open(path)).mean()) for path in clip.shown.paths]


# --------------------------------------------------------------------------------------------------
# Which frames
# --------------------------------------------------------------------------------------------------


def test_steps() -> None:
    assert steps(35, 10, FrameRule(per_second=1)) == [0, 10, 20]
    assert steps(100, 29.97, FrameRule(per_second=0.5)) == [0]
    assert steps(30, 10, FrameRule(count=2)) == [10, 20]
    assert steps(9, 10, FrameRule(per_second=1)) == [0], "VLMEvalKit shows nothing"


def test_middles() -> None:
    assert middles(0, 29, 3) == [4, 14, 23]  # segments of 9.67: 4.83, 14.83 and 23.83 with rounding
    assert middles(10, 20, 2) == [12, 17]
    assert middles(5, 5, 3) == [5, 5, 5]


def test_a_clip_of_a_video(tmp_path: Path) -> None:
    video = made.video(tmp_path / "v.mp4", 50)  # 10 frames a second
    middle = clip(tmp_path, video, FrameRule(count=2), middles=True, bounds=(1.0, 2.0))
    assert middle.indices == (12, 17)
    assert middle.shown.times == (0.2, 0.7)
    assert middle.shown.seconds == 1.0
    assert levels(middle) == pytest.approx([20 + 4 * 12, 20 + 4 * 17], abs=4)
    steady = clip(tmp_path, video, bounds=(1.5, math.inf))
    assert steady.indices == (15, 25, 35)
    assert steady.shown.times == (0, 1, 2)
    assert steady.shown.seconds == 3.5
    assert clip(tmp_path, video, bounds=(0.0, 2.0)).indices == (0, 10)
    assert clip(tmp_path, video, bounds=(4.5, 99.0)).indices == (45,)


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ((7.0, 9.0), "its clip from 7 to 9 s is not within its 5.0 s"),
        ((2.0, 1.0), "its clip from 2 to 1 s is none"),
        ((math.nan, 1.0), "its clip from nan to 1 s is none"),
    ],
)
def test_a_clip_that_is_none(tmp_path: Path, bounds: tuple[float, float], why: str) -> None:
    video = made.video(tmp_path / "v.mp4", 50)
    for middles_of in (True, False):
        with pytest.raises(MediaError) as raised:
            clip(tmp_path, video, FrameRule(count=2), middles=middles_of, bounds=bounds)
        assert str(raised.value) == f"{video}: {why}"


def test_an_animation(tmp_path: Path) -> None:
    pictures = [Picture.new("RGB", (20, 10), (10 * n, 0, 0)) for n in range(26)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    got = clip(tmp_path, path, FrameRule(count=2), medium="gif", middles=True)
    assert got.indices == (6, 18)  # segments of 12.5
    assert got.shown.times == (0.24, 0.72)  # 25 a second
    reds = [np.asarray(Picture.open(p))[..., 0].mean() for p in got.shown.paths]
    assert reds == pytest.approx([60, 180], abs=3)


def test_a_folder_of_stills(tmp_path: Path) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    for n in range(1, 10):
        mode = "CMYK" if n == 7 else "RGB"
        Picture.new("RGB", (16, 16), (20 * n,) * 3).convert(mode).save(folder / f"{n:05}.jpg")
    rule = FrameRule(count=2)
    got = clip(tmp_path, folder, rule, medium="frame", middles=True)
    assert got.indices == (3, 7)  # 1 to 9: segments of 4
    assert got.shown.times == (0.667, 2.0)  # three a second, from the first on
    assert got.shown.seconds == 3.0
    assert levels(got) == pytest.approx([60, 140], abs=3)
    bounded = clip(tmp_path, folder, rule, medium="frame", middles=True, bounds=(1.0, 2.0))
    assert bounded.indices == (3, 5)  # 3 to 6: 3.75, 5.75 with rounding
    Picture.new("RGB", (16, 16)).save(folder / "00003.jpg")
    assert clip(tmp_path, folder, rule, medium="frame", middles=True).shown != got.shown
    (folder / "00007.jpg").rename(folder / "7.jpg")
    with pytest.raises(MediaError, match=r"stills: it has no file 00007.jpg"):
        clip(tmp_path, folder, rule, medium="frame", middles=True)


# --------------------------------------------------------------------------------------------------
# Odd files
# --------------------------------------------------------------------------------------------------


def encoded(path: Path, stamps: Sequence[int], **options: str) -> Path:
    """An H.264 video with a frame at each of `stamps`, in milliseconds, each brighter."""
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
    """Frames are picked by the average rate, as VLMEvalKit does; their times are real."""
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


def test_a_late_start_counts_from_the_first_frame(tmp_path: Path) -> None:
    stamps = [5000 + 100 * n for n in range(30)]
    got = clip(tmp_path, encoded(tmp_path / "v.mkv", stamps), FrameRule(count=2))
    assert got.indices == (10, 20)
    assert got.shown.times == (1.0, 2.0)


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    """decord turns frames as the file says, so VLMEvalKit does."""
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


def _cut_off(path: Path) -> Path:
    path.write_bytes(made.video(path.with_name("whole.mp4"), 20).read_bytes()[:600])
    return path


def _half(path: Path) -> Path:
    """A file with its index in front, of which the second half never came."""
    whole = encoded(path.with_name("w.mp4"), range(0, 6000, 100), movflags="faststart")
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def _damaged(path: Path) -> Path:
    """A file that is nonsense from the middle on."""
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


def _cut_behind_its_index(path: Path) -> Path:
    """A download that ended early, of a file whose index stands in front."""
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
    # Where one frame ends: anywhere else decord sees that something is missing.
    path.write_bytes(whole.read_bytes()[: ends[59]])
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_cut_behind_its_index, "its end is cut off: 60 of 100 frames are there"),
        (_audio, "it holds no pictures, only sound or nothing"),
        (_cut_off, "it is no video, or its end is cut off"),
        (_text, "it is no video, or its end is cut off"),
        (_half, "it is no video, or its end is cut off"),
        (_damaged, "not all of its frames can be decoded: it is damaged"),
        (_empty, "it is empty"),
        (_folder, "it is a folder, not a video"),
        (lambda path: path, "no such file"),
    ],
)
def test_a_file_that_cannot_be_shown(tmp_path: Path, make: object, why: str) -> None:
    assert callable(make)
    path = make(tmp_path / "bad.mp4")
    good = made.video(tmp_path / "good.mp4", 20)
    store = Store(tmp_path / "media")
    found = store.clips([Cut(path, EACH_SECOND), Cut(good, EACH_SECOND)])
    error, whole = found.values()
    assert isinstance(whole, Clip)
    assert len(whole.shown.paths) == 2
    assert isinstance(error, MediaError)
    assert str(error).startswith(f"{path}: ")
    assert str(error).endswith(why)
    assert "\n" not in str(error)
    assert not list((tmp_path / "media").rglob(".draft*"))


@pytest.mark.parametrize("width", [16, 24, 48, 72])
def test_narrow_videos(tmp_path: Path, width: int) -> None:
    """decord gives more than three channels for these."""
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
    store = Store(tmp_path / "media", lossless=True)
    got = store.clip(Cut(video, EACH_SECOND))
    for path in got.shown.paths:
        shown = Picture.open(path)
        assert shown.mode == "RGB"
        assert shown.size == (width, 64)
        assert np.abs(np.asarray(shown).astype(int) - picture).mean() < 6


def test_rules_that_look_alike_keep_frames_apart(tmp_path: Path) -> None:
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
# What is kept
# --------------------------------------------------------------------------------------------------


def test_of_a_long_video_only_shown_frames_are_kept(tmp_path: Path) -> None:
    got = clip(tmp_path, made.video(tmp_path / "long.mp4", 200, per_second=2))
    assert got.indices == tuple(range(0, 200, 2))
    assert len(got.paths) == 100
    assert got.shown.numbers == tuple(np.linspace(0, 99, 64, dtype=int).tolist())
    assert got.shown.times == tuple(float(number) for number in got.shown.numbers)
    assert got.shown.paths == tuple(got.paths[number] for number in got.shown.numbers)
    assert {str(p) for p in got.folder.glob("*.jpg")} == set(got.shown.paths)


def test_frames_belong_to_the_video_and_what_is_asked(tmp_path: Path) -> None:
    video = made.video(tmp_path / "v.mp4", 30)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    first = clip(tmp_path, video)
    assert clip(tmp_path, copy) == first
    folders = {
        clip(tmp_path, video, rule, middles=middles_of, bounds=bounds).folder
        for rule in (EACH_SECOND, FrameRule(count=3))
        for middles_of in (False, True)
        for bounds in (None, (0.0, 1.0), (0.0, 1.0001))
    }
    assert len(folders) == 12
    made.video(video, 60)
    assert clip(tmp_path, video).shown.times == (0, 1, 2, 3, 4, 5)


def test_lossless_frames_are_as_decoded(tmp_path: Path) -> None:
    import decord

    video = made.video(tmp_path / "v.mp4", 20)
    cut = Cut(video, FrameRule(count=1))
    exact = Store(tmp_path / "media", lossless=True).clip(cut)
    jpeg = Store(tmp_path / "media").clip(cut)
    pixels = decord.VideoReader(str(video))[exact.indices[0]].asnumpy()
    (path,) = exact.shown.paths
    assert path.endswith(".png")
    np.testing.assert_array_equal(np.asarray(Picture.open(path)), pixels)
    assert jpeg.shown.digest != exact.shown.digest
    assert jpeg.shown.times == exact.shown.times


def test_order_and_company_do_not_matter(tmp_path: Path) -> None:
    cuts = [
        Cut(made.video(tmp_path / f"{n}.mp4", 20 + n), FrameRule(count=count))
        for n in range(4)
        for count in (1, 3)
    ]
    together = Store(tmp_path / "together").clips([*cuts, *cuts])
    assert list(together) == cuts
    for cut in reversed(cuts):
        alone = Store(tmp_path / "alone").clip(cut)
        got = together[cut]
        assert isinstance(got, Clip)
        assert got.shown.digest == alone.shown.digest


def test_two_processes_may_decode_one_video(tmp_path: Path) -> None:
    cut = Cut(made.video(tmp_path / "v.mp4", 30), FrameRule(count=3))
    copies = [tmp_path / f"{n}.mp4" for n in range(6)]
    for copy in copies:
        copy.write_bytes(cut.video.read_bytes())
    found = Store(tmp_path / "media").clips(Cut(copy, cut.rule) for copy in copies)
    (folder,) = {got.folder for got in found.values() if isinstance(got, Clip)}
    assert len(found) == 6
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert len(list(folder.iterdir())) == 4


def test_what_was_thrown_away_is_made_again(tmp_path: Path) -> None:
    store, cut = Store(tmp_path / "media"), Cut(made.video(tmp_path / "v.mp4", 30), EACH_SECOND)
    first = store.clip(cut)
    for name in ("frames.json", "frame-00001.jpg"):
        (first.folder / name).unlink()
        assert store.clip(cut) == first
        assert len(list(first.folder.iterdir())) == 4
    (first.folder / "frames.json").write_text('{"indices": [0')
    assert store.clip(cut) == first
    text = made.encoded(made.picture())
    path = Path(store.image(text))
    path.unlink()
    assert store.image(text) == str(path)
    assert path.exists()


def test_use_is_noted_once_an_hour(tmp_path: Path) -> None:
    store, cut = Store(tmp_path / "media"), Cut(made.video(tmp_path / "v.mp4", 30), EACH_SECOND)
    text = made.encoded(made.picture())
    for path, use in (
        (store.clip(cut).folder, lambda: store.clip(cut)),
        (Path(store.image(text)), lambda: store.image(text)),
        (Path(store.image(text)), lambda: Store(tmp_path / "media").image(text)),
    ):
        lately, long_ago = time.time() - 1800, time.time() - 7200
        os.utime(path, (lately, lately))
        use()
        assert path.stat().st_mtime == lately
        os.utime(path, (long_ago, long_ago))
        use()
        assert path.stat().st_mtime > lately


def test_a_full_disk_is_no_broken_video(tmp_path: Path) -> None:
    (tmp_path / "media").touch()
    cut = Cut(made.video(tmp_path / "v.mp4", 9), FrameRule(count=1))
    with pytest.raises(DiskError):
        Store(tmp_path / "media").clip(cut)
    with pytest.raises(DiskError):
        Store(tmp_path / "media").clips([cut])
