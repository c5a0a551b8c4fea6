"""The processor's files: how images are cut into tiles, and which tokens exist.

Image settings are in preprocessor_config.json or, with newer transformers, nested in
processor_config.json, which takes precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.checkpoint.json_files import read_json_object, read_optional_object
from evalsuite.errors import UsageError
from evalsuite.system.files import MAX_JSON_BYTES, read_bytes

IMAGE_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model")
PROCESSOR_FILES = (
    *IMAGE_FILES,
    "video_preprocessor_config.json",
    *TOKENIZER_FILES,
    "merges.txt",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""All files a processor may be loaded from: each of them can change a prompt."""
_DEFAULT_IMAGE_SEQ_LEN = 169  # the default of transformers
END_OF_UTTERANCE = "<end_of_utterance>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The settings of a processor that a run depends on."""

    files: tuple[Path, ...]
    tile_size: int
    """Pixels per tile edge."""
    longest_edge: int
    """Pixels of an image's longest edge before it is cut into tiles."""
    splits_images: bool
    image_seq_len: int
    """Tokens per tile, as the processor counts them."""
    tokens: Mapping[str, int]
    """Id by token; empty for a tokenizer in another format than tokenizer.json or vocab.json."""
    chat_template: str | None

    @property
    def tokenizer_size(self) -> int | None:
        """The largest token id plus one; None if the tokens are unknown."""
        return max(self.tokens.values()) + 1 if self.tokens else None


def read_processor(directory: Path) -> Processor:
    """Read the processor in `directory`. Raises `UsageError` if files are missing or unreadable."""
    _require_files(directory)
    source, image = _image_settings(directory)
    outer = read_optional_object(directory / "processor_config.json")
    return Processor(
        files=tuple(directory / n for n in PROCESSOR_FILES if (directory / n).exists()),
        tile_size=_longest_edge(image, "max_image_size", source),
        longest_edge=_longest_edge(image, "size", source),
        splits_images=image.get("do_image_splitting", True) is not False,
        image_seq_len=outer.get("image_seq_len", _DEFAULT_IMAGE_SEQ_LEN),
        tokens=_tokens(directory),
        chat_template=_chat_template(directory, outer),
    )


def missing_files(directory: Path) -> list[str]:
    """The missing files of `directory`: of the tokenizer and of the image settings."""
    return [
        " or ".join(group[:2])
        for group in (TOKENIZER_FILES, IMAGE_FILES)
        if not any((directory / name).exists() for name in group)
    ]


def _require_files(directory: Path) -> None:
    if missing := missing_files(directory):
        raise UsageError(
            f"{directory}: no processor (no {'; no '.join(missing)}). The Trainer saves it only "
            "with processing_class; to use the base model's, set --processor PATH or "
            "--processor org/name"
        )


def _image_settings(directory: Path) -> tuple[Path, Mapping[str, Any]]:
    """The image settings and their file, in the order of precedence of transformers."""
    nested = read_optional_object(directory / "processor_config.json").get("image_processor")
    if isinstance(nested, dict):
        return directory / "processor_config.json", nested
    path = directory / "preprocessor_config.json"
    if not path.exists():
        raise UsageError(
            f"{directory / 'processor_config.json'}: no image settings, and the directory has no "
            "preprocessor_config.json; copy both from the base model, or set --processor"
        )
    return path, read_json_object(path)


def _longest_edge(image: Mapping[str, Any], key: str, source: Path) -> int:
    size = image.get(key)
    edge = size.get("longest_edge") if isinstance(size, dict) else None
    if not isinstance(edge, int) or edge <= 0:
        raise UsageError(
            f"{source}: {key}.longest_edge is {edge!r}, not a number of pixels; "
            "copy the file from the base model"
        )
    return edge


def _tokens(directory: Path) -> dict[str, int]:
    """Id by token, for the vocabulary and all added tokens."""
    path = directory / "tokenizer.json"
    whole = read_optional_object(path)
    try:
        vocabulary = (
            whole["model"]["vocab"] if whole else read_optional_object(directory / "vocab.json")
        )
        if isinstance(vocabulary, list):  # unigram: [token, log probability] by id
            vocabulary = {pair[0]: index for index, pair in enumerate(vocabulary)}
        tokens = {str(token): int(index) for token, index in vocabulary.items()}
        tokens |= {added["content"]: int(added["id"]) for added in whole.get("added_tokens") or []}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(
            f"{path}: not a valid tokenizer ({error!r}); copy or download it again"
        ) from error
    return tokens


def _chat_template(directory: Path, processor_config: Mapping[str, Any]) -> str | None:
    """The chat template, in the order of precedence of transformers."""
    jinja = directory / "chat_template.jinja"
    candidates = (
        processor_config.get("chat_template"),
        read_optional_object(directory / "chat_template.json").get("chat_template"),
        read_bytes(jinja, MAX_JSON_BYTES).decode(errors="replace") if jinja.exists() else None,
        read_optional_object(directory / "tokenizer_config.json").get("chat_template"),
    )
    for template in candidates:
        if isinstance(template, dict):  # several, by name
            template = template.get("default")
        if isinstance(template, list):  # an older form of the same
            named = [t for t in template if isinstance(t, dict) and t.get("name") == "default"]
            template = named[0].get("template") if named else None
        if isinstance(template, str):
            return template
    return None
