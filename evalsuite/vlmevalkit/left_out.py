"""Packages that VLMEvalKit 0.0.20 requires and evalsuite does not install, with reasons.

VLMEvalKit requires 68 packages and imports about half of them at its start. These are the others.
Some have no wheel and need a compiler. ``make lock`` leaves them out of ``requirements.txt``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A package that is not installed with evalsuite."""

    package: str
    """Name for pip."""
    module: str
    """Name for import."""
    reason: str
    datasets: tuple[str, ...] = ()
    """Classes of ``vlmeval.dataset`` whose scoring imports it."""


_SVG = "scores images made from code"
_TABLE = "scores tables and documents"
_TEXT = "scores long texts with a further model"
_API = "calls the API of a hosted model"
_MODEL = "runs another model than SmolVLM"

LEFT_OUT = (
    LeftOut("anls", "anls", "scores ChartQAPro", ("ChartQAPro",)),
    LeftOut("apted", "apted", _TABLE, ("CCOCRDataset", "OCRBench_v2", "OmniDocBench")),
    LeftOut("bert-score", "bert_score", _TEXT, ("ChartCapDataset", "UniSVG")),
    LeftOut("cairosvg", "cairosvg", f"{_SVG}; needs cairo", ("SArena", "UniSVG")),
    LeftOut("cd-fvd", "cdfvd", _SVG, ("SArena",)),
    LeftOut("colormath", "colormath", _SVG, ("ChartMimic", "Design2Code")),
    LeftOut("distance", "distance", _TABLE, ("OCRBench_v2",)),
    LeftOut("dotenv", "dotenv", "is another name of python-dotenv, which is installed"),
    LeftOut(
        "editdistance", "editdistance", f"{_TABLE}; no wheel for Python 3.13", ("OCRBench_v2",)
    ),
    LeftOut("einops", "einops", _SVG, ("SArena",)),
    LeftOut("google-genai", "google.genai", _API),
    LeftOut("ipdb", "ipdb", "is a debugger that a scoring module imports", ("OCRBench_v2",)),
    LeftOut("lpips", "lpips", _SVG, ("SArena", "UniSVG")),
    LeftOut("lxml", "lxml", _TABLE, ("CCOCRDataset", "OCRBench_v2", "OmniDocBench")),
    LeftOut("nest-asyncio", "nest_asyncio", _SVG, ("SArena",)),
    LeftOut("omegaconf", "omegaconf", _MODEL),
    LeftOut("openai-clip", "clip", _SVG, ("Design2Code", "SArena")),
    LeftOut(
        "opencv-python", "cv2", "needs the libraries of a desktop; opencv-python-headless does not"
    ),
    LeftOut("pdf2image", "pdf2image", f"{_SVG}; needs poppler", ("ChartMimic",)),
    LeftOut("polygon3", "Polygon", f"{_TABLE}; no wheel, needs gcc", ("OCRBench_v2",)),
    LeftOut("protobuf", "google.protobuf", _MODEL),
    LeftOut("scikit-image", "skimage", _SVG, ("SArena", "UniSVG")),
    LeftOut(
        "sentence-transformers",
        "sentence_transformers",
        _TEXT,
        ("ChartCapDataset", "SGI_Bench_Idea_Generation", "UniSVG"),
    ),
    LeftOut("sentencepiece", "sentencepiece", _MODEL),
    LeftOut("tiktoken", "tiktoken", _API),
    LeftOut("timm", "timm", _SVG, ("SArena",)),
    LeftOut("torchmetrics", "torchmetrics", _SVG, ("SArena",)),
    LeftOut("zss", "zss", _TABLE, ("CCOCRDataset", "OCRBench_v2")),
)


def absent() -> list[LeftOut]:
    """Return the packages that are not installed."""
    return [one for one in LEFT_OUT if not _importable(one.module)]


def wanted(dataset_class: type) -> list[str]:
    """Return the pip names of missing packages that scoring `dataset_class` needs."""
    names = {base.__name__ for base in dataset_class.__mro__}
    return [one.package for one in absent() if names & set(one.datasets)]


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package such as google
        return False
