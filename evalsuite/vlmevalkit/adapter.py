"""SmolVLM as a VLMEvalKit model: VLMEvalKit's own loops and command line with our engine.

>>> from evalsuite import register
>>> name = register("checkpoints/step-500")
>>> vlmeval.run.run_task(Arguments(model=[name], data=["OCRBench"], work_dir="outputs"))
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import vlmeval.config
import vlmeval.dataset
import vlmeval.inference
from vlmeval.vlm.base import BaseModel

from evalsuite.checkpoint import checkpoint
from evalsuite.checkpoint.adapter import require_peft
from evalsuite.sample import Frames, Image, Message
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.engine import Engine
from evalsuite.smolvlm.formats import VIDEO_FORMATS
from evalsuite.smolvlm.requests import EngineSettings, Question
from evalsuite.vlmevalkit.datasets import convert

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
    """Return the format that VLMEvalKit's SmolVLM classes use for a dataset key.

    Follows ``vlmeval/vlm/smolvlm.py:388-456``. The older class has no video prompts; for its family
    `prompts.build` replaces video formats by ``default``.
    """
    return next((name for name, keys in _FORMATS.items() if dataset in keys), "default")


@functools.cache
def shows_videos(dataset: str | None) -> bool:
    """Return whether the images in a dataset's messages are video frames.

    VLMEvalKit's messages do not contain this, but it lists its video datasets. Unknown datasets are
    treated as images, whatever their number.
    """
    kinds = vlmeval.dataset.VIDEO_DATASET
    listed = any(dataset in kind.supported_datasets() for kind in kinds)
    return listed or prompt_format(dataset) in VIDEO_FORMATS


def prompt_of(
    parts: Iterable[str | Mapping[str, str]], dataset: str | None, options: prompts.PromptOptions
) -> prompts.Prompt:
    """Build the prompt of a VLMEvalKit message; raises `UsageError` for audio and other media."""
    items = [{"type": "text", "value": part} if isinstance(part, str) else part for part in parts]
    messages = convert(items, _frames if shows_videos(dataset) else _images)
    return prompts.build(prompt_format(dataset), messages, options)


def register(
    source: str, name: str | None = None, *, device: str = "auto", base: str | None = None
) -> str:
    """Register a checkpoint with VLMEvalKit in this process; return its model name.

    `base` is the base model of a LoRA adapter, if not the one in the adapter's config.
    """
    found = checkpoint.read(source, name=name, base=base)
    if found.base_path is not None:
        require_peft()
    vlmeval.config.supported_VLM[found.name] = functools.partial(
        EvalsuiteSmolVLM,
        model_path=found.path,
        base=found.base_path,
        options=prompts.PromptOptions(family=found.family),
        processor=found.processor_path,
        tokenizer=found.tokenizer_path,
        device=device,
    )
    return found.name


class EvalsuiteSmolVLM(BaseModel):  # type: ignore[misc] # vlmeval ships no types
    """Model class for VLMEvalKit's inference loops."""

    INTERLEAVE = True
    VIDEO_LLM = False
    is_api = False

    def __init__(
        self,
        model_path: Path | str,
        *,
        options: prompts.PromptOptions,
        base: Path | None = None,
        processor: Path | None = None,
        tokenizer: Path | None = None,
        device: str = "auto",
        max_new_tokens: int = 2048,
    ) -> None:
        """Load the checkpoint in float32. VLMEvalKit's token limit for SmolVLM is 2048."""
        super().__init__()
        if device == "auto":
            device = "cuda" if vlmeval.inference.torch.cuda.is_available() else "cpu"
        self._engine = Engine(
            model_path,
            EngineSettings(device=device, base=base, processor=processor, tokenizer=tokenizer),
        )
        self._options = options
        self._max_new_tokens = max_new_tokens

    def generate(
        self, message: str | Iterable[str | Mapping[str, str]], dataset: str | None = None
    ) -> str:
        """Answer one message; raises `RuntimeError` if the engine returns an error.

        VLMEvalKit's own ``generate`` also searches texts for files and URLs
        (``smp/file.py:parse_file``). This one uses the parts' types only.
        """
        parts = [message] if isinstance(message, str) else message
        prompt = prompt_of(parts, dataset, self._options)
        question = Question("0", prompt, self._max_new_tokens)
        ((answer,),) = self._engine.answer([question])
        if answer.ended == "error":
            raise RuntimeError(answer.error)
        return answer.text


def _images(paths: list[str]) -> list[Message]:
    return [Image(path, _digest([path])) for path in paths]


def _frames(paths: list[str]) -> list[Message]:
    numbers = prompts.shown_frames(len(paths))
    shown = [paths[number] for number in numbers]
    # VLMEvalKit has no time stamps; its adapter counts frames as seconds.
    times = tuple(map(float, numbers))
    return [Frames(tuple(shown), times, _digest(shown), tuple(numbers))]


def _digest(paths: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()
