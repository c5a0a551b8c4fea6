"""A generated benchmark of photo-like images with several questions each."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

from evalsuite.benchmarks import catalogue as catalogue
from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.locate import locate
from evalsuite.smolvlm.profiler import QUESTIONS, photo

NAME = "Photos"
ANSWERS = str(["a lake"] * 10)
"""Ten annotators' answers, which the metric requires; correctness does not matter."""
YAML = """\
benchmarks:
  {name}:
    description: Photo-like images, for measuring
    dataset: {name}
    dataset_class: ImageVQADataset
    data: photos.tsv
    modality: image
    prompt: default
    metric: vqa-accuracy
    max_new_tokens: {new_tokens}
"""


def make(
    directory: Path, images: int, questions: int, size: tuple[int, int], new_tokens: int
) -> Benchmark:
    """Write `images` images of `size` with `questions` questions each; return the benchmark."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "photos.tsv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["index", "image", "question", "answer"])
        for number in range(images):
            path = photo(directory / f"{number}.jpg", size, number)
            encoded = base64.b64encode(path.read_bytes()).decode()
            for asked in range(questions):
                words = QUESTIONS[asked % len(QUESTIONS)]
                suffix = f" Look {asked} times." if asked >= len(QUESTIONS) else ""
                table.writerow([number * questions + asked, encoded, words + suffix, ANSWERS])
    file_ = directory / "benchmarks.yaml"
    file_.write_text(YAML.format(name=NAME, new_tokens=new_tokens))
    (benchmark,) = catalogue.load(file_).select([NAME])
    located = locate(benchmark, None)
    assert isinstance(located, Benchmark), located
    return located
