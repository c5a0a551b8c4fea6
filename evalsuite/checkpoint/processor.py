"""The processor's files: how images are cut into tiles, and which tokens exist.

Image settings are in preprocessor_config.json or, with newer transformers, nested in
processor_config.json, which takes precedence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.checkpoint.json_files import read_json_object, read_optional_object
from evalsuite.errors import UsageError
from evalsuite.system.files import MAX_JSON_BYTES, read_bytes

IMAGE_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = "tokenizer.json"
_OLD_TOKENIZERS = ("vocab.json", "tokenizer.model", "vocab.txt")
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
_WORD_FILES = (
    TOKENIZER,
    *_OLD_TOKENIZERS,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    *_TEMPLATE_FILES,
)
PROCESSOR_FILES = (*IMAGE_FILES, "video_preprocessor_config.json", *_WORD_FILES)
"""All files a processor may be loaded from: each of them can change a prompt."""
_PIXEL_SETTINGS = (
    *("size", "max_image_size", "do_image_splitting", "do_resize", "resample", "do_rescale"),
    *("rescale_factor", "do_normalize", "image_mean", "image_std", "do_convert_rgb", "do_pad"),
)
_DEFAULT_IMAGE_SEQ_LEN = 169  # the default of transformers
END_OF_UTTERANCE = "<end_of_utterance>"
START = "<|im_start|>"
"""The first token of VLMEvalKit's prompts."""


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
    """Id by token."""
    named: Mapping[str, object]
    """Special tokens by key, as in tokenizer_config.json."""
    chat_template: str | None
    doubts: tuple[str, ...]
    """Files that contradict each other, and which of them is used."""

    @property
    def tokenizer_size(self) -> int:
        """The largest token id plus one."""
        return max(self.tokens.values(), default=-1) + 1


def read_processor(images: Path, words: Path) -> Processor:
    """Read the image settings in `images`, and tokenizer and chat template in `words`.

    The chat template of `images` is used if `words` has none. Raises `UsageError` if files are
    missing or unreadable.
    """
    _require_files(images, words)
    source, image = _image_settings(images)
    outer = read_optional_object(images / "processor_config.json")
    templates = _chat_templates(words) or _chat_templates(images)
    tokenizer_config = read_optional_object(words / "tokenizer_config.json")
    extra = tokenizer_config.get("extra_special_tokens")
    files = [images / n for n in PROCESSOR_FILES if n not in _WORD_FILES]
    files += [words / n for n in _WORD_FILES]
    files += [path for path, _ in templates[:1]]
    return Processor(
        files=tuple(dict.fromkeys(path for path in files if path.exists())),
        tile_size=_longest_edge(image, "max_image_size", source),
        longest_edge=_longest_edge(image, "size", source),
        splits_images=image.get("do_image_splitting", True) is not False,
        image_seq_len=_image_seq_len(outer, images),
        tokens=_tokens(words),
        named=tokenizer_config | (extra if isinstance(extra, dict) else {}),
        chat_template=templates[0][1] if templates else None,
        doubts=(*_two_image_settings(images), *_two_templates(templates)),
    )


def read_image_seq_len(directory: Path) -> int:
    """Tokens per tile, as the processor in `directory` counts them; raises `UsageError`."""
    return _image_seq_len(read_optional_object(directory / "processor_config.json"), directory)


def has_tokenizer(directory: Path) -> bool:
    """Whether `directory` has a tokenizer in the format that is supported."""
    return (directory / TOKENIZER).exists()


def has_image_settings(directory: Path) -> bool:
    """Whether `directory` has a file that may state how images are cut."""
    return any((directory / name).exists() for name in IMAGE_FILES)


def _require_files(images: Path, words: Path) -> None:
    old = [name for name in _OLD_TOKENIZERS if (words / name).exists()]
    if not has_tokenizer(words) and old:
        raise UsageError(
            f"{words}: no {TOKENIZER}, only {old[0]}, which does not state how text is split into "
            f"words; copy {TOKENIZER} from the base model if its tokens are the same, otherwise "
            "save the tokenizer with which the model was trained with save_pretrained()"
        )
    missing = [] if has_tokenizer(words) else [TOKENIZER]
    missing += [] if has_image_settings(images) else [" or ".join(IMAGE_FILES)]
    if missing:
        raise UsageError(
            f"{images}: no processor (no {'; no '.join(missing)}). The Trainer saves it only "
            "with processing_class; to use the base model's, set --processor PATH or "
            "--processor org/name"
        )


def _image_seq_len(settings: Mapping[str, Any], directory: Path) -> int:
    value = settings.get("image_seq_len", _DEFAULT_IMAGE_SEQ_LEN)
    if not isinstance(value, int) or value <= 0:
        raise UsageError(
            f"{directory / 'processor_config.json'}: image_seq_len is {value!r}, not a number of "
            "tokens; copy the file from the base model"
        )
    return value


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


def _two_image_settings(directory: Path) -> Iterator[str]:
    """Whether the two files of image settings differ: the older may be stale."""
    nested = read_optional_object(directory / "processor_config.json").get("image_processor")
    older = read_optional_object(directory / "preprocessor_config.json")
    if isinstance(nested, dict) and (
        keys := [
            key for key in _PIXEL_SETTINGS if nested.get(key) != older.get(key, nested.get(key))
        ]
    ):
        yield (
            f"preprocessor_config.json and processor_config.json differ in {', '.join(keys)}: the "
            "latter is used, as in transformers"
        )


def _two_templates(templates: Sequence[tuple[Path, str]]) -> Iterator[str]:
    """Whether there are several chat templates, of which the first is used."""
    for path, template in templates[1:]:
        if template != templates[0][1]:
            yield (
                f"the chat templates in {templates[0][0].name} and {path.name} differ: the former "
                "is used, as in transformers"
            )


def _tokens(directory: Path) -> dict[str, int]:
    """Id by token, for the vocabulary and all added tokens."""
    path = directory / TOKENIZER
    whole = read_json_object(path)
    try:
        vocabulary = whole["model"]["vocab"]
        if isinstance(vocabulary, list):  # unigram: [token, log probability] by id
            vocabulary = {pair[0]: index for index, pair in enumerate(vocabulary)}
        tokens = {str(token): int(index) for token, index in vocabulary.items()}
        tokens |= {added["content"]: int(added["id"]) for added in whole.get("added_tokens") or []}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(
            f"{path}: not a valid tokenizer ({error!r}); copy or download it again"
        ) from error
    return tokens


def _chat_templates(directory: Path) -> list[tuple[Path, str]]:
    """The chat templates of `directory` by file, in the order of precedence of transformers."""
    jinja = directory / "chat_template.jinja"
    found: list[tuple[Path, object]] = []
    for name in ("processor_config.json", "chat_template.json"):
        path = directory / name
        found.append((path, read_optional_object(path).get("chat_template")))
    if jinja.exists():
        found.append((jinja, read_bytes(jinja, MAX_JSON_BYTES).decode(errors="replace")))
    path = directory / "tokenizer_config.json"
    found.append((path, read_optional_object(path).get("chat_template")))
    templates = []
    for path, template in found:
        if isinstance(template, dict):  # several, by name
            template = template.get("default")
        if isinstance(template, list):  # an older form of the same
            named = [t for t in template if isinstance(t, dict) and t.get("name") == "default"]
            template = named[0].get("template") if named else None
        if isinstance(template, str):
            templates.append((path, template))
    return templates
