"""Videos that decord cannot read, or reads wrongly: each frame is the requested one."""

import struct
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import pytest

from evalsuite.vlmevalkit import video_files
from evalsuite.vlmevalkit.video_files import open_video_file

N_FRAMES = 90
RATE = 30


def encode(path: Path, codec: str, options: Mapping[str, str], n_frames: int = N_FRAMES) -> Path:
    """Write a video whose frame `n` has the brightness 20 + 2 n."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.options = dict(options)
        for number in range(n_frames):
            pixels = np.full((32, 64, 3), 20 + 2 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    return path


def cut(source: Path, path: Path, start: float, end: float) -> Path:
    """Copy packets up to `end` without encoding; an edit list hides the frames before `start`."""
    with (
        av.open(str(source)) as old,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new,
    ):
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        offset = int(start / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is None or packet.pts is None or packet.pts * stream.time_base >= end:
                continue
            packet.pts -= offset
            packet.dts -= offset
            packet.stream = copy
            new.mux(packet)
    return path


def shown(path: Path, numbers: list[int]) -> list[int]:
    """Return which of the encoded frames each of `numbers` is."""
    video = open_video_file(path, threads=1)
    return [round((np.asarray(video.frame(n)).mean() - 20) / 2) for n in numbers]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "libsvtav1", {}),
        ("v.webm", "libsvtav1", {"g": "20"}),
        ("v.ts", "libx264", {"g": "30", "bf": "2"}),
        ("v.m2ts", "libx264", {}),
        ("v.ts", "libx265", {"x265-params": "log-level=none"}),
        ("v.ts", "mpeg2video", {}),
        ("v.mpg", "mpeg2video", {"bf": "2"}),
        ("v.avi", "mpeg4", {"bf": "2"}),
        ("v.avi", "libx264", {"bf": "2"}),
        ("v.wmv", "wmv2", {}),
        ("v.flv", "flv1", {}),
        ("v.mkv", "mpeg2video", {"g": "12", "bf": "2"}),
        ("v.h264", "libx264", {}),
    ],
)  # fmt: skip
def test_the_requested_frames_of_many_formats(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    """In any order: a decoder that jumps to an earlier key frame shows the same frames."""
    path = encode(tmp_path / name, codec, options)
    video = open_video_file(path, threads=0)
    assert video.last == N_FRAMES - 1
    numbers = [0, 31, 60, 89, 45, 7]
    assert shown(path, numbers) == pytest.approx(numbers, abs=2)
    if codec != "libx264" or name != "v.h264":  # a bare stream has no rate
        assert video.per_second == RATE
        assert video.times([0, 30, 89]) == pytest.approx([0, 1, 89 / RATE], abs=0.002)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}, {"g": "20", "bf": "2"}])
def test_frames_that_an_edit_list_hides_are_not_shown(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    whole = encode(tmp_path / "whole.mp4", "libx264", options)
    path = cut(whole, tmp_path / f"cut{suffix}", start=0.5, end=2.5)
    video = open_video_file(path, threads=1)
    assert video.last + 1 == pytest.approx(60, abs=2)  # a B-frame at the end may be missing
    assert shown(path, [0, 10, 40, 20, 55]) == pytest.approx([15, 25, 55, 35, 70], abs=1)
    assert video.times([0, 30]) == pytest.approx([0, 1], abs=0.001)


def test_a_cut_that_starts_just_before_the_end_is_complete(tmp_path: Path) -> None:
    """The hidden frames are no missing frames of a truncated file."""
    whole = encode(tmp_path / "whole.mp4", "libx264", {"g": "250", "bf": "0"})
    path = cut(whole, tmp_path / "cut.mp4", start=2.7, end=3.0)
    assert open_video_file(path, threads=1).last + 1 == pytest.approx(9, abs=1)
    assert shown(path, [0, 8]) == pytest.approx([81, 89], abs=1)


def test_decord_and_pyav_show_the_same_pixels(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", "libx264", {"g": "20", "bf": "2"})
    by_decord = open_video_file(path, threads=1)
    by_pyav = video_files._AvVideo(path, 1, 0, seekable=True)
    assert type(by_decord) is not type(by_pyav)
    assert by_decord.last == by_pyav.last
    assert by_decord.per_second == by_pyav.per_second
    for number in (0, 50, 19, 20, 21, 89):
        assert np.array_equal(by_decord.frame(number), by_pyav.frame(number))


def test_pyav_applies_rotation_as_decord_does(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", "libx264", {}, 5)
    for matrix in ((0, 65536, -65536, 0), (0, -65536, 65536, 0), (-65536, 0, 0, -65536)):
        data = bytearray(path.read_bytes())
        header = data.index(b"tkhd") + 4
        at = header + (52 if data[header] else 40)
        a, b, c, d = matrix
        struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
        turned = tmp_path / "turned.mp4"
        turned.write_bytes(data)
        by_decord = open_video_file(turned, threads=1).frame(2)
        by_pyav = video_files._AvVideo(turned, 1, 0, seekable=True).frame(2)
        assert np.array_equal(by_decord, by_pyav)


def test_a_playlist_is_not_opened(tmp_path: Path) -> None:
    """FFmpeg would read the files and addresses that it names; decord does."""
    encode(tmp_path / "v.ts", "libx264", {})
    path = tmp_path / "v.mp4"
    path.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\n{tmp_path}/v.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(ValueError, match="it is not a video"):
        open_video_file(path, threads=1)


def test_huge_frames_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_files, "MAX_FRAME_PIXELS", 64 * 32 - 1)
    path = encode(tmp_path / "v.mp4", "libx264", {}, 2)
    with pytest.raises(ValueError, match="64x32"):
        open_video_file(path, threads=1)


def test_a_recording_that_begins_between_key_frames(tmp_path: Path) -> None:
    """The frames before the first key frame cannot be decoded; numbers start at the key frame."""
    path = encode(tmp_path / "v.ts", "libx264", {"g": "30", "bf": "0", "sc_threshold": "0"})
    with av.open(str(path)) as file:
        starts = [packet.pos for packet in file.demux(video=0) if packet.size]
    data = path.read_bytes()
    tables = data[: 188 * 3]  # which program the file contains
    assert starts[10] is not None
    (tmp_path / "late.ts").write_bytes(tables + data[starts[10] :])
    assert shown(tmp_path / "late.ts", [0, 10]) == pytest.approx([30, 40], abs=1)
