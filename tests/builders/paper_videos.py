"""Generated videos and their tables, for `tests.builders.paper_tables`.

Every video shows a square that moves over a coloured background, so that no two frames are equal.
Their widths are those that decord reads correctly; for 48 or 72 pixels it returns four channels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

Row = dict[str, Any]

SHORT_CLIP = "at_least_one_frame"
"""Workaround for a clip that is too short for any frame."""
SAME_NAME = "two videos with the same name"
"""VLMEvalKit shows one video's frames for another, or for another clip."""
SHORT_ANIMATION = "GIF with fewer frames than requested"
"""VLMEvalKit shows the colour channels of its first frames."""

DEVIATING: Mapping[str, Mapping[str, str]] = {
    "Video-MME": {"7": SHORT_CLIP},
    "Video-MME_subtitles": {"7": SHORT_CLIP},
    "MVBench": {"7": SHORT_CLIP, "8": SAME_NAME},
    "MVBench_8frames": {"8": SAME_NAME},
    "MVBench_plain": {"8": SAME_NAME, "9": SHORT_ANIMATION},
}
"""As in `tests.builders.paper_tables`."""

GROUNDS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (40, 60, 200), "gray": (130,) * 3}
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def frame(number: int, of: int, colour: str, move: str, size: tuple[int, int]) -> np.ndarray:
    """One frame of a video, in RGB."""
    width, height = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = GROUNDS[colour]
    picture[:, :, 0] += np.uint8(40 * number // max(1, of))
    side = max(4, min(size) // 4)
    across, down = MOVES[move]
    way = (number + 1) / of
    x = int((width - side) * (0.5 + across * (way - 0.5)))
    y = int((height - side) * (0.5 + down * (way - 0.5)))
    picture[y : y + side, x : x + side] = (250, 250, 220)
    return picture


def video(
    path: Path,
    n_frames: int,
    per_second: float = 10,
    colour: str = "red",
    move: str = "left",
    size: tuple[int, int] = (64, 64),
) -> Path:
    """Write a video of `n_frames` frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), per_second, size)
    for number in range(n_frames):
        writer.write(frame(number, n_frames, colour, move, size)[:, :, ::-1])
    writer.release()
    return path


def subtitles(path: Path, lines: Sequence[tuple[float, float, str]]) -> None:
    """Write an .srt of lines with start and end in seconds."""

    def stamp(seconds: float) -> str:
        whole = int(seconds)
        return (
            f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{seconds % 1 * 1000:03.0f}"
        )

    blocks = [
        f"{n}\n{stamp(start)} --> {stamp(end)}\n{text}\n"
        for n, (start, end, text) in enumerate(lines, 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(blocks), encoding="utf-8")


def numbered(rows: Sequence[Row], *, first: bool = False) -> list[Row]:
    """Return `rows` with an index, in the column of VLMEvalKit's tables."""
    return [{"index": n} | row if first else row | {"index": n} for n, row in enumerate(rows)]


_SAID = [
    (0.0, 0.9, "Look: a square!"),
    (0.9, 1.8, "It is\nmoving – slowly"),
    (1.9, 3.0, "Ende 完"),
]

# --------------------------------------------------------------------------------------------------
# Video-MME and WorldSense
# --------------------------------------------------------------------------------------------------

MOVED = ["A. left", "B. right", "C. up", "D. down"]
COLOURED = ["A. green", "B. red", "C. blue", "D. gray"]


def video_mme() -> list[Row]:
    """Two questions per video; one video of over a minute, so that 64 frames are shown."""
    rows = [
        ("mme-a", "short", "Knowledge", "Technology", "Action Recognition", MOVED, "A"),
        ("mme-a", "short", "Knowledge", "Astronomy", "Attribute Perception", COLOURED, "B"),
        ("mme-b", "long", "Film & Television", "Movie & TV Show", "Spatial Perception", MOVED, "B"),
        ("mme-b", "long", "Sports Competition", "Esports", "Attribute Perception", COLOURED, "C"),
        ("mme-c", "medium", "Life Record", "Food", "Action Reasoning", MOVED, "C"),
        ("mme-c", "medium", "Multilingual", "Multilingual", "Counting Problem", COLOURED, "A"),
        ("mme-a", "short", "Artistic Performance", "Magic Show", "OCR Problems", MOVED, "D"),
        ("mme-d", "short", "Knowledge", "Law", "Object Recognition", MOVED, "D"),
    ]
    questions = {
        1: "Which color does the ground have?",
        3: "Look closely.\nWhich color does the ground have?",
        5: "Welche Farbe – 颜色 – hat der Grund?",
    }
    return numbered(
        [
            {
                "video": name, "video_path": f"./video/{name}.mp4", "duration": duration,
                "domain": domain, "candidates": options, "sub_category": kind, "task_type": task,
                "subtitle_path": f"./subtitle/{name}.srt",
                "question": questions.get(n, "In which direction does the shape move?"),
                "answer": answer,
            }
            for n, (name, duration, domain, kind, task, options, answer) in enumerate(rows)
        ],
        first=True,
    )  # fmt: skip


def _video_mme_media(folder: Path) -> None:
    video(folder / "video" / "mme-a.mp4", 25, 10, "red", "left")
    video(folder / "video" / "mme-b.mp4", 144, 2, "blue", "right", (32, 32))
    video(folder / "video" / "mme-c.mp4", 30, 10, "green", "up", (40, 80))
    video(folder / "video" / "mme-d.mp4", 5, 10, "gray", "down")
    subtitles(folder / "subtitle" / "mme-a.srt", _SAID)
    subtitles(folder / "subtitle" / "mme-b.srt", [(2, 4, "two"), (60.5, 61.5, "a minute")])


def world_sense() -> list[Row]:
    """One video longer than 64 seconds, subtitles for one of them, all durations but one."""
    rows = [
        ("ws_a", "<1min", "Tech & Science", "Physics", ["Speech"], "Event Recognition", MOVED, "B"),
        (
            "ws_a",
            "<1min",
            "Tech & Science",
            "Physics",
            ["Speech"],
            "Object Counting",
            COLOURED,
            "A",
        ),
        ("ws_b", "1-2min", "Music", "Covers", ["Music", "Event"], "Audio Recognition", MOVED, "D"),
        ("ws_b", "1-2min", "Music", "Covers", ["Music", "Event"], "Hallucination", COLOURED, "D"),
        ("ws_c", ">8min", "Daily Life", "Cooking", ["Event"], "Action Counting", MOVED, "A"),
        ("ws_c", ">8min", "Daily Life", "Cooking", ["Event"], "Emotion Change", COLOURED, "B"),
    ]
    domains = ("Recognition", "Understanding", "Reasoning")
    return numbered(
        [
            {
                "video": name, "video_path": f"./videos/{name}.mp4", "duration": duration,
                "domain": domain, "candidates": options, "sub_category": kind,
                "audio_class": sounds, "task_domain": domains[n % 3], "task_type": task,
                "subtitle_path": f"./subtitles/{name}.srt", "audio_path": f"./audios/{name}.wav",
                "video_caption": 'A "square" moves,\nthen stops.',
                "question": "In which direction does the shape move?" if options is MOVED
                else "Which color does the ground have? “Say it.”",
                "answer": answer,
            }
            for n, (name, duration, domain, kind, sounds, task, options, answer) in enumerate(rows)
        ],
        first=True,
    )  # fmt: skip


def _world_sense_media(folder: Path) -> None:
    video(folder / "videos" / "ws_a.mp4", 32, 10, "green", "right", (80, 48))
    video(folder / "videos" / "ws_b.mp4", 136, 2, "gray", "down", (32, 32))
    video(folder / "videos" / "ws_c.mp4", 20, 10, "red", "left")
    subtitles(folder / "subtitles" / "ws_a.srt", _SAID)


# --------------------------------------------------------------------------------------------------
# MVBench
# --------------------------------------------------------------------------------------------------


def mvbench_mp4() -> list[Row]:
    """Several tasks; the same file name in two folders; a clip of half a second."""
    star, clevrer = "./star/Charades_v1_480/", "./clevrer/video_validation/"
    up = ["Left.", "Right.", "Up.", "Down."]
    rows = [
        ("Action Sequence", star, "one.mp4", "Which way does it go?", "Up.", up),
        ("Action Sequence", star, "one.mp4", "What is the ground?", "red", ["red", "blue", "gray"]),
        (
            "Action Count",
            star,
            "long.mp4",
            "How many squares are there?",
            "1",
            ["0", "1", "2", "3"],
        ),
        ("Moving Direction", clevrer, "two.mp4", "Which way – 方向?", "Left.", up),
        ("Object Existence", clevrer, "two.mp4", "Is there a square?", "yes", ["yes", "no"]),
        ("Moving Count", clevrer, "two.mp4", "It's the \"square\"'s way:", "Down.", up),
        ("State Change", clevrer, "three.mp4", "Does it stop?", "not sure", ["yes", "not sure"]),
        ("Scene Transition", "./scene_qa/video/", "tiny.mp4", "Which way?", "Down.", up),
        ("Episodic Reasoning", "./scene_qa/video/", "one.mp4", "Which way?", "Right.", up),
    ]
    keys = ("task_type", "prefix", "video", "question", "answer", "candidates")
    return numbered([dict(zip(keys, row, strict=True)) for row in rows])


def _mvbench_mp4_media(folder: Path) -> None:
    star = folder / "star" / "Charades_v1_480"
    video(star / "one.mp4", 30, 10, "red", "up")
    video(star / "long.mp4", 140, 2, "blue", "left", (32, 32))
    clevrer = folder / "clevrer" / "video_validation"
    video(clevrer / "two.mp4", 23, 10, "green", "left", (80, 40))
    video(clevrer / "three.mp4", 50, 25, "gray", "down", (40, 56))
    video(folder / "scene_qa" / "video" / "one.mp4", 30, 10, "blue", "right")
    video(folder / "scene_qa" / "video" / "tiny.mp4", 5, 10, "gray", "down")


MVBENCH_TASKS = (
    "Action Sequence", "Action Prediction", "Action Antonym", "Fine-grained Action",
    "Unexpected Action", "Object Existence", "Object Interaction", "Object Shuffle",
    "Moving Direction", "Action Localization", "Scene Transition", "Action Count", "Moving Count",
    "Moving Attribute", "State Change", "Fine-grained Pose", "Character Order",
    "Egocentric Navigation", "Episodic Reasoning", "Counterfactual Inference",
)  # fmt: skip
"""In the order of VLMEvalKit's table."""


def mvbench() -> list[Row]:
    """Clips with and without bounds, a folder of frames, a gif; one video with two bounds."""
    star, clevrer = "video/star/Charades_v1_480/", "video/clevrer/video_validation/"
    frames = "video/tvqa/frames_fps3_hq/"
    up = ["Left.", "Right.", "Up.", "Down."]
    clip = ("video", True)
    rows = [
        ("Action Sequence", star, *clip, 0.5, 2.0, "one.mp4", "Which way?", "Up.", up),
        ("Action Prediction", star, *clip, 1.0, 99.0, "two.mp4", "And then?", "Left.", up),
        ("Action Antonym", "video/ssv2_video/", "video", False, None, None, "three.webm.mp4",
         "Is it moving?", "yes", ["yes", "no"]),
        ("Moving Direction", clevrer, "video", False, None, None, "four.mp4", "方向?", "Down.", up),
        ("Moving Direction", clevrer, "video", False, None, None, "four.mp4", "Now?", "Left.", up),
        ("Moving Count", clevrer, "video", False, None, None, "five.mp4", "How many?", "1",
         ["0", "1", "2"]),
        ("Episodic Reasoning", frames, "frame", True, 1.0, 3.5, "folder_a", "Who?", "It's “he”.",
         ["It's “he”.", "She's gone.", "Nobody"]),  # words: data
        ("Unexpected Action", "video/funqa/", "gif", False, None, None, "six.gif",
         "Which way?", "Up.", up),
        ("Object Interaction", star, *clip, 2.0, 3.0, "one.mp4", "Which way?", "Up.", up),
        ("Unexpected Action", "video/funqa/", "gif", False, None, None, "seven.gif",
         "Which way?", "Left.", up),
    ]  # fmt: skip
    keys = (
        "task_type", "prefix", "data_type", "bound", "start", "end", "video", "question", "answer",
        "candidates",
    )  # fmt: skip
    return numbered([dict(zip(keys, row, strict=True)) for row in rows])


def _mvbench_media(folder: Path) -> None:
    star = folder / "video" / "star" / "Charades_v1_480"
    video(star / "one.mp4", 40, 10, "red", "up")
    video(star / "two.mp4", 25, 10, "green", "left", (80, 40))
    video(folder / "video" / "ssv2_video" / "three.webm.mp4", 6, 12, "gray", "right")
    clevrer = folder / "video" / "clevrer" / "video_validation"
    video(clevrer / "four.mp4", 33, 10, "blue", "down", (40, 56))
    video(clevrer / "five.mp4", 128, 8, "green", "up", (32, 32))
    still = folder / "video" / "tvqa" / "frames_fps3_hq" / "folder_a"
    still.mkdir(parents=True)
    for number in range(12):
        picture = Image.fromarray(frame(number, 12, "blue", "right", (64, 36)))
        picture.save(still / f"{number + 1:05d}.jpg", quality=95)
    (folder / "video" / "funqa").mkdir()
    for name, n_frames, move in (("six", 20, "up"), ("seven", 5, "left")):
        pictures = [
            Image.fromarray(frame(n, n_frames, "gray", move, (48, 48))) for n in range(n_frames)
        ]
        gif = folder / "video" / "funqa" / f"{name}.gif"
        pictures[0].save(gif, save_all=True, append_images=pictures[1:], duration=40, loop=0)


# --------------------------------------------------------------------------------------------------
# MLVU
# --------------------------------------------------------------------------------------------------

MLVU_TASKS = {
    "plotQA": "1_plotQA", "needle": "2_needle", "ego": "3_ego", "count": "4_count",
    "order": "5_order", "anomaly_reco": "6_anomaly_reco", "topic_reasoning": "7_topic_reasoning",
    "sub_scene": "8_sub_scene", "summary": "9_summary",
}  # fmt: skip
"""The folder of each task, in the order of VLMEvalKit's tables."""


def mlvu_mcq() -> list[Row]:
    """Six of seven tasks; options that are numbers; one video of over a minute."""
    moves = ["To the left.", "To the right.", "Upwards", "Downwards"]
    rows = [
        ("plotQA", 3.0, "movie101_1.mp4", "Which way does it go?", "Upwards", moves),
        ("plotQA", 3.0, "movie101_1.mp4", "What color is the ground?", "red", ["red", "blue"]),
        ("needle", 72.0, "needle_2.mp4", "Is there a “needle”?", "No", ["Yes", "No"]),
        ("ego", 2.4, "ego_3.mp4", "Where does he go, 你好?", "To the left.", moves),
        ("count", 2.4, "count_4.mp4", "How many squares are there?", "1", ["0", "1", "5", "007"]),
        ("anomaly_reco", 2.5, "surveil_5.mp4", "Is it normal?", "Normal", ["Arson", "Normal"]),
        ("topic_reasoning", 3.0, "topic_6.mp4", "What is it about?", "squares", ["squares", "x"]),
    ]
    keys = ("duration", "video", "question", "answer", "candidates")
    return numbered(
        [
            {"task_type": task, "prefix": f"./MLVU/video/{MLVU_TASKS[task]}"}
            | dict(zip(keys, row, strict=True))
            for task, *row in rows
        ]
    )


def mlvu_open() -> list[Row]:
    """Open questions, which only a judge can score."""
    points = str(["the square moves", "the ground is gray"])
    rows = [
        ("sub_scene", "subPlot_7.mp4", "Describe the square's way.", "It goes down.", points),
        ("sub_scene", "subPlot_7.mp4", "What happens – at the end?", "It stops.", points),
        ("summary", "summary_8.mp4", "Summarise the video.", "A square\nmoves.", ""),
    ]
    return numbered(
        [
            {
                "task_type": task, "prefix": f"./MLVU/video/{MLVU_TASKS[task]}", "duration": 3.0,
                "video": name, "question": question, "answer": answer, "scoring_points": scored,
            }
            for task, name, question, answer, scored in rows
        ]
    )  # fmt: skip


def _mlvu_media(folder: Path) -> None:
    below = folder / "MLVU" / "video"
    video(below / "1_plotQA" / "movie101_1.mp4", 30, 10, "red", "up")
    video(below / "2_needle" / "needle_2.mp4", 144, 2, "blue", "right", (32, 32))
    video(below / "3_ego" / "ego_3.mp4", 24, 10, "green", "left", (80, 48))
    video(below / "4_count" / "count_4.mp4", 24, 10, "gray", "down")
    video(below / "6_anomaly_reco" / "surveil_5.mp4", 25, 10, "red", "right", (40, 72))
    video(below / "7_topic_reasoning" / "topic_6.mp4", 75, 25, "green", "up")
    video(below / "8_sub_scene" / "subPlot_7.mp4", 30, 10, "gray", "down")
    video(below / "9_summary" / "summary_8.mp4", 30, 10, "blue", "left")


# --------------------------------------------------------------------------------------------------
# TempCompass
# --------------------------------------------------------------------------------------------------

TEMPCOMPASS_TASKS = ("multi-choice", "caption_matching", "captioning", "yes_no")
_IN = {"prefix": "./videos", "suffix": ".mp4"}


def tempcompass_mcq() -> list[Row]:
    """Multiple choice, and captions to choose from in three spellings."""
    way, colour = "Which way does the square move?", "How does the color change?"
    rows = [
        ("multi-choice", "tc-a", way, "A. right", "direction",
         ["A. right", "B. left", "C. up", "D. down"]),
        ("multi-choice", "tc-a", colour, "A. it does not", "attribute_change",
         ["A. it does not", "B. from red to blue"]),
        ("multi-choice", "tc-b", "How fast – schnell?", "C. slowly", "speed",
         ["A. fast", "B. not at all", "C. slowly"]),
        ("caption_matching", "tc-a", "Which description is a more suitable match for the video?",
         "Option 1: It goes right.", "direction",
         ["Option 1: It goes right.", "Option 2: It goes left."]),
        ("caption_matching", "tc-b", "Which caption matches the video better?",
         "Caption A: It is blue.", "attribute_change",
         ["Caption A: It is blue.", "Caption B: It is red."]),
        ("caption_matching", "tc-c", "Which sentence better captures the essence of the video?",
         "Sentence A: It falls.", "action", ["Sentence A: It falls.", "Sentence B: It's still."]),
    ]  # fmt: skip
    return numbered(
        [
            {"task_type": task} | _IN
            | {"video": name, "question": asks, "answer": answer, "dim": dim, "candidates": options}
            for task, name, asks, answer, dim, options in rows
        ]
    )  # fmt: skip


def tempcompass_captioning() -> list[Row]:
    """Captions to write, which only a judge can score."""
    rows = [
        ("tc-a", "direction", "Which way does it go?\nA. left\nB. right", "B. right"),
        ("tc-c", "action", "What does it do?\nA. fall\nB. rise\nC. stop", "A. fall"),
    ]
    asks = "Please describe the video “briefly”.\nInclude the direction."
    return numbered(
        [
            {"task_type": "captioning"} | _IN
            | {"video": name, "question": asks, "answer": "It moves.", "dim": dim,
               "mc_question": question, "mc_answer": answer}
            for name, dim, question, answer in rows
        ]
    )  # fmt: skip


def tempcompass_yes_no() -> list[Row]:
    """Yes/no questions."""
    rows = [
        ("tc-a", "direction", "Is the square moving to the right?", "yes"),
        ("tc-a", "direction", "Is the square moving to the left?", "no"),
        ("tc-b", "attribute_change", "Is the ground blue?", "yes"),
        ("tc-c", "action", "Is it rising – 上?", "no"),
    ]
    return numbered(
        [
            {"task_type": "yes_no"} | _IN
            | {"video": name, "question": asks, "answer": answer, "dim": dim}
            for name, dim, asks, answer in rows
        ]
    )  # fmt: skip


def _tempcompass_media(folder: Path) -> None:
    video(folder / "videos" / "tc-a.mp4", 30, 10, "red", "right")
    video(folder / "videos" / "tc-b.mp4", 40, 10, "blue", "up", (80, 40))
    video(folder / "videos" / "tc-c.mp4", 62, 30, "gray", "down", (40, 56))


VIDEO_TABLES: Mapping[str, Mapping[str, list[Row]]] = {
    "Video-MME": {"Video-MME": video_mme()},
    "WorldSense": {"WorldSense": world_sense()},
    "MVBench_MP4": {"MVBench_MP4": mvbench_mp4()},
    "MVBench": {"MVBench": mvbench()},
    "MLVU": {"MLVU_MCQ": mlvu_mcq(), "MLVU_OpenEnded": mlvu_open()},
    "TempCompass": {
        "TempCompass_MCQ": tempcompass_mcq(),
        "TempCompass_Captioning": tempcompass_captioning(),
        "TempCompass_YorN": tempcompass_yes_no(),
    },
}
"""The rows of each dataset's tables; lists and numbers as such."""

_MEDIA: Mapping[str, Callable[[Path], None]] = {
    "Video-MME": _video_mme_media,
    "WorldSense": _world_sense_media,
    "MVBench_MP4": _mvbench_mp4_media,
    "MVBench": _mvbench_media,
    "MLVU": _mlvu_media,
    "TempCompass": _tempcompass_media,
}


def write_media(dataset: str, folder: Path) -> None:
    """Write the videos and subtitles of `dataset` into `folder`."""
    _MEDIA[dataset](folder)
