"""Each test shows a defect of VLMEvalKit and its workaround; it fails once upstream fixes it."""

import abc
import multiprocessing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from evalsuite.benchmarks.benchmark import FrameRule
from evalsuite.vlmevalkit import workarounds
from evalsuite.vlmevalkit.media_store import MediaStore
from evalsuite.vlmevalkit.video_frames import ClipSpec
from tests.builders import kit_data as made
from tests.builders.kit_images import IMAGES, written_by_vlmevalkit


@pytest.fixture(autouse=True)
def _data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "LMU").mkdir()
    monkeypatch.setenv("LMUData", str(tmp_path / "LMU"))
    monkeypatch.setenv("PRED_FORMAT", "tsv")
    monkeypatch.setenv("VLMEVALKIT_USE_MODELSCOPE", "0")


def test_keep_na_texts(vlmeval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["None", "N/A", "nan", "007", ""]
    rows = [{"question": text, "answer": "5" if text else ""} for text in texts]
    path = str(made.table(tmp_path / "words.tsv", rows))
    monkeypatch.setattr(vlmeval.smp.file, "pd", pd)
    stock = vlmeval.smp.load(path)
    assert list(stock["question"].map(str)) == ["nan", "nan", "nan", "7.0", "nan"]
    assert list(stock["answer"].map(str)) == ["5.0"] * 4 + ["nan"]
    workarounds.keep_na_texts()
    patched = vlmeval.smp.load(path)
    assert list(patched["question"].fillna("lost")) == ["None", "N/A", "nan", "007", "lost"]
    assert list(patched["answer"].map(str)) == ["5"] * 4 + ["nan"]


def test_score_in_one_process(
    vlmeval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ForkedError(Exception):
        pass

    def pool(size: int) -> None:
        raise ForkedError(size)

    kind = vlmeval.dataset.ImageVQADataset
    dataset = kind.__new__(kind)
    dataset.dataset_name = "Open"
    row = {"index": 0, "question": "?", "answer": str(["a"] * 10), "prediction": "a"}
    monkeypatch.chdir(tmp_path)
    made.table(Path("Open.tsv"), [row])
    monkeypatch.setattr(vlmeval.dataset.image_vqa, "mp", multiprocessing)
    monkeypatch.setattr(multiprocessing, "Pool", pool)
    with pytest.raises(ForkedError, match="16"):
        dataset.evaluate("Open.tsv")
    workarounds.score_in_one_process()
    assert dataset.evaluate("Open.tsv")["Overall"].item() == 100


def test_save_results_once(vlmeval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = vlmeval.dataset.utils.multiple_choice
    monkeypatch.setattr(module, "track_progress_rich", module.track_progress_rich)
    saves: list[str] = []
    dump = vlmeval.smp.dump

    def recorded(data: Any, path: str) -> None:
        saves.append(path)
        dump(data, path)

    monkeypatch.setattr(vlmeval.utils.mp_util, "dump", recorded)
    monkeypatch.setattr(vlmeval.smp, "dump", recorded)
    tasks, keys = [{"number": n} for n in range(5)], list("abcde")

    def square(number: int) -> int:
        return number**2

    path = str(tmp_path / "result.pkl")
    for times in (7, 1):
        saves.clear()
        got = module.track_progress_rich(square, tasks, nproc=1, chunksize=1, save=path, keys=keys)
        assert got == [0, 1, 4, 9, 16]
        assert vlmeval.smp.load(path) == dict(zip(keys, got, strict=True))
        assert len(saves) == times
        Path(path).unlink()
        workarounds.save_results_once()


def test_pad_short_images(vlmeval: Any) -> None:
    image = made.encoded(made.picture())
    data = pd.DataFrame({"index": [0, 1, 2], "image": [image, "0", "aGk="], "question": "?"})

    class Table(vlmeval.dataset.ImageMCQDataset):  # type: ignore[misc] # no types
        def prepare_tsv(self, *_: object) -> Any:
            return data.copy()

    with pytest.raises(AssertionError):
        Table("Mine")
    workarounds.pad_short_images(data)
    assert list(data["image"]) == [image, "0", "aGk=".ljust(65)]
    assert list(Table("Mine").data["image"]) == [image, image, "aGk=".ljust(65)]


def test_fill_missing_labels(vlmeval: Any) -> None:
    report = vlmeval.dataset.utils.multiple_choice.report_acc
    data = pd.DataFrame({"hit": [1, 0], "category": ["a", None], "split": ["x", None]})
    with pytest.raises(TypeError, match="not supported between"):
        report(data.copy())
    assert report(data.drop(columns="category"))["Overall"].isna().any()
    workarounds.fill_missing_labels(data)
    assert list(data["category"]) == ["a", "none"]
    got = report(data)
    assert dict(zip(got["split"], got["Overall"], strict=True)) == {"x": 1, "none": 0}


def test_prediction_cell(vlmeval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlmeval.smp.file, "pd", pd)
    workarounds.keep_na_texts()
    path = tmp_path / "texts.tsv"

    def kept(*texts: str) -> list[Any]:
        frame = pd.DataFrame({"prediction": pd.Series(texts, dtype=object)})
        vlmeval.smp.dump(frame, str(path))
        return list(vlmeval.smp.load(str(path))["prediction"])

    assert str(kept("", "x")[0]) == "nan"
    with pytest.raises(UnicodeEncodeError):
        pd.DataFrame({"prediction": ["\ud800"]}).to_csv(path)

    def wrong(_: str) -> bool:
        return True

    texts = ["", " \n", "a\ud800b", "a\0b", "a\r\nb", "None"]
    written = [workarounds.prediction_cell(text, wrong) for text in texts]
    assert written == ["∅", " \n", "a\ufffdb", "a\ufffdb", "a\r\nb", "None"]
    assert kept(*written) == written
    # '∅' must not replace an empty answer if it is an option.
    assert workarounds.prediction_cell("", "⌀".__eq__) == "⌀"
    # A blank that VLMEvalKit's rule counts as right must be replaced too.
    assert workarounds.prediction_cell(" ", "∅".__eq__) == "∅"
    assert workarounds.prediction_cell("", wrong, ["⌀"]) == "⌀"
    assert workarounds.prediction_cell("", lambda _: False) == "∅"


@pytest.fixture
def stock_videos(vlmeval: Any, tmp_path: Path) -> Any:
    """VLMEvalKit's own Video-MME over ``tmp_path``."""
    made.videos(tmp_path, [{}], FrameRule(count=1))

    class Local(vlmeval.dataset.VideoMME):  # type: ignore[misc] # no types
        def prepare_dataset(self, *_: object) -> dict[str, str]:
            return {"root": str(tmp_path), "data_file": str(tmp_path / "Video-MME.tsv")}

    return Local


def test_at_least_one_frame(stock_videos: Any, tmp_path: Path) -> None:
    video = made.video(tmp_path / "video" / "a.mp4", 9)
    paths, _, _ = stock_videos(fps=1).save_video_frames("a")
    assert paths == []
    assert workarounds.at_least_one_frame([]) == [0]
    clip = MediaStore(tmp_path / "media").clip(ClipSpec(video, FrameRule(per_second=1)))
    assert (len(clip.shown.paths), clip.shown.times) == (1, (0.0,))


def test_frames_equal_vlmevalkits_without_a_lock_file(stock_videos: Any, tmp_path: Path) -> None:
    video = made.video(tmp_path / "video" / "a.mp4", 150)
    store = MediaStore(tmp_path / "media")
    for rule, arguments in (
        (FrameRule(per_second=2), {"fps": 2}),
        (FrameRule(per_second=10), {"fps": 10}),  # 150 frames, of which 64 are shown
        (FrameRule(count=5), {"nframe": 5}),
    ):
        clip = store.clip(ClipSpec(video, rule))
        assert not video.with_suffix(".lock").exists()
        paths, indices, info = stock_videos(**arguments).save_video_frames("a")
        assert video.with_suffix(".lock").exists()
        video.with_suffix(".lock").unlink()
        assert list(clip.indices) == indices
        assert (clip.per_second, clip.n_frames) == (info["fps"], info["n_frames"])
        for number, path in zip(clip.shown.numbers, clip.shown.paths, strict=True):
            assert Path(path).read_bytes() == Path(paths[number]).read_bytes()


def test_allow_concat_datasets(
    vlmeval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLVU and TempCompass."""
    for dataset in ("MLVU", "TempCompass"):
        made.video_set(tmp_path, dataset, FrameRule(count=1))
    concat = vlmeval.dataset.video_concat_dataset.ConcatVideoDataset
    kinds = (vlmeval.dataset.MLVU, vlmeval.dataset.TempCompass)
    with monkeypatch.context() as stock:
        if concat.prepare_dataset.__module__ == workarounds.__name__:
            stock.delattr(concat, "prepare_dataset")
        for kind in (concat, *kinds):
            abc.update_abstractmethods(kind)
        for kind in kinds:
            with pytest.raises(TypeError, match="prepare_dataset"):
                kind(nframe=1)
    workarounds.allow_concat_datasets()

    def build_dataset(name: str, **arguments: Any) -> Any:
        parts = vlmeval.dataset.VIDEO_DATASET
        (kind,) = (kind for kind in parts if name in kind.supported_datasets())
        paths = {"root": str(tmp_path), "data_file": str(tmp_path / f"{name}.tsv")}
        located = type(name, (kind,), {"prepare_dataset": lambda *_: paths})
        return located(dataset=name, **arguments)

    monkeypatch.setattr(vlmeval.dataset, "build_dataset", build_dataset)
    assert [list(kind(nframe=1).data["index"]) for kind in kinds] == [[0, 1, 2, 3]] * 2


@pytest.fixture
def stock_mvbench(vlmeval: Any, tmp_path: Path) -> Any:
    """VLMEvalKit's own MVBench over ``tmp_path``, with eight frames per video."""
    from torchvision import transforms
    from vlmeval.dataset.utils.mvbench import Stack, ToTorchFormatTensor

    made.video_set(tmp_path, "MVBench", FrameRule(count=8))

    class Local(vlmeval.dataset.MVBench):  # type: ignore[misc] # no types
        def prepare_dataset(self, *_: object) -> dict[str, str]:
            self.decord_method = {"video": self.read_video, "gif": self.read_gif}
            self.transform = transforms.Compose([Stack(), ToTorchFormatTensor()])
            return {"root": str(tmp_path), "data_file": str(tmp_path / "MVBench.tsv")}

    return Local(nframe=8)


def test_vlmevalkit_stores_frames_by_video_name(stock_mvbench: Any, tmp_path: Path) -> None:
    video = made.video(tmp_path / "video" / "b" / "a.mp4", 50)
    shown = []
    for number, bounds in enumerate((None, (0.5, 1.5))):
        (path, *_) = stock_mvbench.save_video_into_images(stock_mvbench.data.iloc[number])
        shown.append(Path(path).read_bytes())
        spec = ClipSpec(video, FrameRule(count=8), segment_middles=True, bounds=bounds)
        ours = Path(MediaStore(tmp_path / "media").clip(spec).shown.paths[0]).read_bytes()
        assert (ours == shown[0]) == (number == 0)
    assert shown[0] == shown[1]


def test_vlmevalkit_shows_colour_channels_of_short_animations(
    stock_mvbench: Any, tmp_path: Path
) -> None:
    gif = tmp_path / "video" / "b" / "a.gif"
    gif.parent.mkdir(parents=True)
    reds = [Picture.new("RGB", (16, 16), (level, 0, 0)) for level in (60, 120, 180, 240)]
    reds[0].save(gif, save_all=True, append_images=reds[1:], duration=40)
    theirs = [
        Picture.open(path)
        for path in stock_mvbench.save_video_into_images(stock_mvbench.data.iloc[3])
    ]
    assert [picture.mode for picture in theirs] == ["L"] * 8
    spec = ClipSpec(gif, FrameRule(count=8), "gif", segment_middles=True)
    clip = MediaStore(tmp_path / "media").clip(spec)
    assert clip.indices == (0, 0, 1, 1, 2, 2, 2, 3)
    shades = [Picture.open(path).getpixel((8, 8))[0] for path in clip.shown.paths]
    assert shades == pytest.approx([60, 60, 120, 120, 180, 180, 180, 240], abs=3)


@pytest.mark.usefixtures("vlmeval")
def test_conversion_to_floats_keeps_pixels() -> None:
    """MVBench's classes convert (``mvbench.py:200``, ``:275``); no workaround is needed."""
    import numpy as np
    from torchvision import transforms
    from vlmeval.dataset.utils.mvbench import Stack, ToTorchFormatTensor

    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Picture.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))
    floats = transforms.Compose([Stack(), ToTorchFormatTensor()])([picture])
    assert transforms.ToPILImage()(floats).tobytes() == picture.tobytes()


def test_vlmevalkit_stores_images_by_index(vlmeval: Any, tmp_path: Path) -> None:
    kind = vlmeval.dataset.ImageVQADataset
    dataset = kind.__new__(kind)
    dataset.img_root = str(tmp_path / "images")
    seen = []
    for seed in (1, 2):
        row = {"index": 0, "image": made.encoded(made.picture(seed))}
        (path,) = dataset.dump_image(row)
        seen.append(Picture.open(path).tobytes())
    assert seen[0] == seen[1] == made.picture(1).tobytes()


def test_vlmevalkit_replaces_suffixes_anywhere(vlmeval: Any) -> None:
    got = vlmeval.smp.get_intermediate_file_path("my.tsv.d/a.tsv", "_result")
    assert got == "my_result.tsv.d/a_result.tsv"


def test_ocrbench_assumes_a_thousand_samples(
    vlmeval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"index": 0, "answer": "['a']", "category": "Doc-oriented VQA", "prediction": "a"}
    made.table(Path("OCRBench.tsv"), [row, row | {"index": 1}])
    got = vlmeval.dataset.OCRBench.evaluate("OCRBench.tsv")
    assert got["Final Score"] == 2
    assert got["Final Score Norm"] == 0.2


@pytest.mark.parametrize("kind", IMAGES)
def test_written_by_vlmevalkit_equals_the_original(vlmeval: Any, tmp_path: Path, kind: str) -> None:
    vlmeval.smp.vlm.decode_base64_to_image_file(IMAGES[kind], str(tmp_path / "theirs.png"))
    written_by_vlmevalkit(IMAGES[kind], tmp_path / "ours.png")
    assert (tmp_path / "theirs.png").read_bytes() == (tmp_path / "ours.png").read_bytes()


def test_images_of_large_tables_become_jpeg(vlmeval: Any, tmp_path: Path) -> None:
    from evalsuite.vlmevalkit.image_datasets import default_image_name

    table = tmp_path / "big.tsv"
    with table.open("wb") as file:
        file.truncate(2**30)
    assert default_image_name(table) == "1.png"
    assert vlmeval.smp.file_size(str(table), "GB") == 1
    with table.open("ab") as file:
        file.write(b"!")
    assert default_image_name(table) == "1.jpg"
    text = made.encoded(made.picture())
    data = pd.DataFrame({"index": [7], "image": [text]})
    local = vlmeval.smp.localize_df(data, "big")
    (theirs,) = local["image_path"]
    assert theirs.endswith("7.jpg")
    ours = MediaStore(tmp_path / "media").image(text, ".jpg")
    assert Path(ours).read_bytes() == Path(theirs).read_bytes()


def test_restore_frame_shape(stock_videos: Any, tmp_path: Path) -> None:
    path = tmp_path / "video" / "narrow.mp4"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (48, 64))
    for _ in range(20):
        writer.write(np.full((64, 48, 3), 120, np.uint8))
    writer.release()
    with pytest.raises(OSError, match="cannot write mode RGBA as JPEG"):
        stock_videos(fps=1).save_video_frames("narrow")
    padded = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    patched = workarounds.restore_frame_shape(padded)
    assert patched.tolist() == [
        [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]],
        [[16, 17, 18], [19, 20, 21], [22, 23, 24], [25, 26, 27]],
    ]
    assert workarounds.restore_frame_shape(patched) is patched


def test_check_video_is_complete(stock_videos: Any, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "video" / "cut.mp4"
    path.parent.mkdir()
    with av.open(str(whole), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for level in range(100):
            frame = np.full((64, 64, 3), 50 + level, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    with av.open(str(whole)) as file:
        ends = [packet.pos + packet.size for packet in file.demux(video=0) if packet.size]
    path.write_bytes(whole.read_bytes()[: ends[49]])
    frames, _, _ = stock_videos(fps=1).save_video_frames("cut")
    assert len(frames) == 5, "VLMEvalKit shows the available half as the whole"
    with pytest.raises(ValueError, match="50 of 100 frames"):
        workarounds.check_video_is_complete(50, 100)
    workarounds.check_video_is_complete(98, 100)
    workarounds.check_video_is_complete(98, 0)
