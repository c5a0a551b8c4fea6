"""SmolVLM as a VLMEvalKit model: its own loops, benchmarks and command line over our engine.

>>> from evalsuite import register
>>> name = register("checkpoints/step-500")
>>> vlmeval.run.run_task(Arguments(model=[name], data=["OCRBench"], work_dir="outputs"))
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import vlmeval.config
import vlmeval.dataset
import vlmeval.inference
from vlmeval.vlm.base import BaseModel

from evalsuite.checkpoint import checkpoint
from evalsuite.checkpoint.adapter import require_peft
from evalsuite.errors import UsageError
from evalsuite.sample import Frames, Image, Message, Text
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.engine import Engine
from evalsuite.smolvlm.requests import Question

_FORMATS = {
    "brief": (
        *("MME", "MMVet", "OCRVQA_TEST", "OCRVQA_TESTCORE"),
        *("InfoVQA_VAL", "InfoVQA_TEST", "OCRBench"),
    ),
    "yes-no": ("HallusionBench",),
    "choices": ("MMStar", "SEEDBench_IMG", "AI2D_TEST", "ScienceQA_VAL", "ScienceQA_TEST"),
    "mmbench": (
        *("MMBench", "MMBench_CN", "MMBench_V11", "MMBench_CN_V11", "CCBench"),
        *("MMBench_DEV_EN", "MMBench_DEV_CN", "MMBench_TEST_EN", "MMBench_TEST_CN"),
        *("MMBench_DEV_EN_V11", "MMBench_DEV_CN_V11"),
        *("MMBench_TEST_EN_V11", "MMBench_TEST_CN_V11"),
    ),
    "mmmu": ("MMMU_DEV_VAL", "MMMU_TEST"),
    "mathvista": ("MathVista_MINI",),
    "chartqa": ("ChartQA_TEST",),
    "docvqa": ("DocVQA_VAL", "DocVQA_TEST"),
    "textvqa": ("TextVQA_VAL", "TextVQA_TEST"),
    "video": (
        *("MMBench-Video", "MLVU", "TempCompass"),
        *("TempCompass_Captioning", "TempCompass_YorN"),
    ),
    "video-choices": ("Video-MME", "TempCompass_MCQ"),
    "video-letters": ("MLVU_MCQ", "MLVU_OpenEnded", "LongVideoBench"),
    "mvbench": ("MVBench", "MVBench_MP4"),
}


def prompt_format(dataset: str | None) -> str:
    """Name the format that VLMEvalKit's SmolVLM classes use for a dataset's key.

    Follows ``vlmeval/vlm/smolvlm.py:388-456``. The older class has no words for videos: there
    `prompts.build` turns the formats of videos into ``default``.
    """
    for name, keys in _FORMATS.items():
        if dataset in keys:
            return name
    return "default"


@functools.cache
def shows_videos(dataset: str | None) -> bool:
    """Whether the images of a dataset's messages are the frames of videos.

    VLMEvalKit does not say so with a message, but it lists its datasets of videos. One that it
    does not know shows images, however many: what is cut into tiles is not guessed from a number.
    """
    kinds = vlmeval.dataset.VIDEO_DATASET
    listed = any(dataset in kind.supported_datasets() for kind in kinds)
    return listed or prompt_format(dataset) in prompts.VIDEO_FORMATS


def prompt_of(
    parts: Iterable[str | Mapping[str, str]], dataset: str | None, style: prompts.PromptOptions
) -> prompts.Prompt:
    """Word a VLMEvalKit message as its own class would; raises `UsageError` for sound and such."""
    messages = _messages(parts, video=shows_videos(dataset))
    return prompts.build(prompt_format(dataset), messages, style)


def register(
    source: str, name: str | None = None, *, device: str = "auto", base: str | None = None
) -> str:
    """Make a checkpoint known to VLMEvalKit in this process; return the name to ask for it by.

    `base` names the model that a LoRA adapter was trained on, if not what its config says.
    """
    read = checkpoint.read(source, name=name, base=base)
    if read.base_path is not None:
        require_peft()
    vlmeval.config.supported_VLM[read.name] = functools.partial(
        EvalsuiteSmolVLM,
        model_path=read.path,
        base=read.base_path,
        style=prompts.PromptOptions(family=read.family),
        processor=read.processor_path,
        device=device,
    )
    return read.name


class EvalsuiteSmolVLM(BaseModel):  # type: ignore[misc] # vlmeval ships no types
    """What VLMEvalKit's inference loops ask of a model."""

    INTERLEAVE = True
    VIDEO_LLM = False
    is_api = False

    def __init__(
        self,
        model_path: Path | str,
        *,
        style: prompts.PromptOptions,
        base: Path | None = None,
        processor: Path | None = None,
        device: str = "auto",
        max_new_tokens: int = 2048,
    ) -> None:
        """Load the checkpoint in float32; 2048 is how long VLMEvalKit lets SmolVLM answer."""
        super().__init__()
        if device == "auto":
            device = "cuda" if vlmeval.inference.torch.cuda.is_available() else "cpu"
        self._engine = Engine(
            model_path, device=device, dtype="float32", base=base, processor=processor
        )
        self._style = style
        self._max_new_tokens = max_new_tokens

    def generate(
        self, message: str | Iterable[str | Mapping[str, str]], dataset: str | None = None
    ) -> str:
        """Answer one message; raises `RuntimeError` if it cannot be asked.

        VLMEvalKit's own ``generate`` also looks for files and addresses in the words of a message
        (``smp/file.py:parse_file``); this one goes by the parts' types.
        """
        parts = [message] if isinstance(message, str) else message
        prompt = prompt_of(parts, dataset, self._style)
        question = Question("0", prompt, self._max_new_tokens)
        ((answer,),) = self._engine.answer([question])
        if answer.ended == "error":
            raise RuntimeError(answer.error)
        return answer.text


def _messages(parts: Iterable[str | Mapping[str, str]], *, video: bool) -> list[Message]:
    """Turn a VLMEvalKit message into ours; the images in a row of a video are its frames."""
    dicts = [{"type": "text", "value": part} if isinstance(part, str) else part for part in parts]
    messages: list[Message] = []
    for kind, group in itertools.groupby(dicts, key=lambda part: part["type"]):
        items = list(group)
        if kind == "text":
            messages += [Text(item["value"], item.get("role", "")) for item in items]
        elif kind == "image" and video:
            messages.append(_frames([item["value"] for item in items]))
        elif kind == "image":
            messages += [Image(item["value"], _digest([item["value"]])) for item in items]
        else:
            raise UsageError(f"a message of type '{kind}': SmolVLM reads text and images")
    return messages


def _frames(paths: list[str]) -> Frames:
    numbers = prompts.shown_frames(len(paths))
    shown = [paths[number] for number in numbers]
    # VLMEvalKit does not say when a frame is shown; its adapter takes them for seconds.
    times = tuple(map(float, numbers))
    return Frames(tuple(shown), times, _digest(shown), tuple(numbers))


def _digest(paths: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()
