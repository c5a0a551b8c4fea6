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
    datasets: tuple[str, ...] = ()
    """Classes of ``vlmeval.dataset`` whose scoring imports it."""
    other_module: str = ""

    @property
    def module(self) -> str:
        """Name for import."""
        return self.other_module or self.package.replace("-", "_")


LEFT_OUT = (
    LeftOut("anls", ("ChartQAPro",)),
    # For scores of images made from code:
    LeftOut("cairosvg", ("SArena", "UniSVG")),  # needs cairo
    LeftOut("cd-fvd", ("SArena",), "cdfvd"),
    LeftOut("colormath", ("ChartMimic", "Design2Code")),
    LeftOut("einops", ("SArena",)),
    LeftOut("lpips", ("SArena", "UniSVG")),
    LeftOut("nest-asyncio", ("SArena",)),
    LeftOut("openai-clip", ("Design2Code", "SArena"), "clip"),
    LeftOut("pdf2image", ("ChartMimic",)),  # needs poppler
    LeftOut("scikit-image", ("SArena", "UniSVG"), "skimage"),
    LeftOut("timm", ("SArena",)),
    LeftOut("torchmetrics", ("SArena",)),
    # For scores of tables and documents:
    LeftOut("apted", ("CCOCRDataset", "OCRBench_v2", "OmniDocBench")),
    LeftOut("distance", ("OCRBench_v2",)),
    LeftOut("editdistance", ("OCRBench_v2",)),  # no wheel for Python 3.13
    LeftOut("ipdb", ("OCRBench_v2",)),  # a debugger, which the scoring module imports
    LeftOut("lxml", ("CCOCRDataset", "OCRBench_v2", "OmniDocBench")),
    LeftOut("polygon3", ("OCRBench_v2",), "Polygon"),  # no wheel, needs gcc
    LeftOut("zss", ("CCOCRDataset", "OCRBench_v2")),
    # For scores of long texts, with a further model:
    LeftOut("bert-score", ("ChartCapDataset", "UniSVG")),
    LeftOut("sentence-transformers", ("ChartCapDataset", "SGI_Bench_Idea_Generation", "UniSVG")),
    # For other models than SmolVLM:
    LeftOut("omegaconf"),
    LeftOut("protobuf", (), "google.protobuf"),
    LeftOut("sentencepiece"),
    # For the APIs of hosted models:
    LeftOut("google-genai", (), "google.genai"),
    LeftOut("tiktoken"),
    # Other names of installed packages: python-dotenv, opencv-python-headless.
    LeftOut("dotenv"),
    LeftOut("opencv-python", (), "cv2"),  # needs the libraries of a desktop
)


def absent() -> list[LeftOut]:
    """Return the packages that are not installed, by name."""
    missing = [one for one in LEFT_OUT if not _importable(one.module)]
    return sorted(missing, key=lambda one: one.package)


def wanted(dataset_class: type) -> list[str]:
    """Return the pip names of missing packages that scoring `dataset_class` needs."""
    names = {base.__name__ for base in dataset_class.__mro__}
    return [one.package for one in absent() if names & set(one.datasets)]


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package such as google
        return False
