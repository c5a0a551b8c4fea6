"""Train the bundled demo checkpoints from nothing, on a CPU, from a seed.

    python tools/train_demo.py --out evalsuite/demo/checkpoints

See ``tools/README.md``.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import demo_data
import demo_model
import numpy as np
import torch
import torch.distributed as dist
from demo_data import Pixels, Question
from PIL import Image
from torch import Tensor, nn
from transformers import (
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMProcessor,
)
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

IGNORED = -100
HIDDEN = -30000.0
"""Low enough that no attention is left, and within bfloat16."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A full prompt, ``<image>`` not yet expanded, and its completion."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Source:
    """Pictures or clips of one kind, as tiles, and how to ask about each."""

    name: str
    tiles: Tensor
    """uint8, (pictures, tiles a picture, 3, side, side)."""
    ask: Callable[[int, random.Random], list[Asked]]
    marker: str
    """The first words behind what all prompts of this source have in common."""
    facts: Tensor
    """What each picture, or each frame, shows: class numbers, (pictures[, frames], facts)."""
    classes: tuple[int, ...]
    """How many values each fact can take."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one source adds to every step."""

    sources: Sequence[Source]
    """One of them is drawn each step."""
    seen: int
    """Pictures or clips a step of the first stage."""
    pictures: int
    """Pictures or clips a step of the second stage, each with all its questions."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures of one source, each with its questions packed behind one common prefix."""

    tiles: Tensor
    ids: Tensor
    positions: Tensor
    bias: Tensor
    """Added to attention scores: a token sees the prefix and its own question, no other."""
    labels: Tensor


# --------------------------------------------------------------------------------------------------
# Sources
# --------------------------------------------------------------------------------------------------


def still_tiles(processor: SmolVLMProcessor, pictures: Sequence[Pixels]) -> Tensor:
    """Tiles as the real processor cuts them, before rescaling."""
    made = processor.image_processor(
        images=[[Image.fromarray(picture)] for picture in pictures],
        do_rescale=False,
        do_normalize=False,
        return_tensors="pt",
    )
    tiles: Tensor = made["pixel_values"].round().to(torch.uint8)
    return tiles


def frame_tiles(processor: SmolVLMProcessor, clips: Sequence[Sequence[Pixels]]) -> Tensor:
    """One tile a frame, as video frames are prepared."""
    made = processor.image_processor(
        images=[[Image.fromarray(frame) for frame in clip] for clip in clips],
        do_image_splitting=False,
        size={"longest_edge": demo_model.TILE},
        do_rescale=False,
        do_normalize=False,
        return_tensors="pt",
    )
    tiles: Tensor = made["pixel_values"].round().to(torch.uint8)
    return tiles


def scene_source(processor: SmolVLMProcessor, split: str, seed: int, n_drawn: int) -> Source:
    """easy-VQA's training pictures, mirrored ones, and `n_drawn` drawn in their style."""
    rng = random.Random(seed)
    known = easy_vqa_split(split)
    pictures = [decoded(demo_data.easy_vqa_png("train", i)) for i in known]
    scenes = list(known.values())
    if split == "train":
        pictures += [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
        scenes += scenes
        drawn = [
            demo_data.Scene(rng.choice(demo_data.SHAPES), rng.choice(sorted(demo_data.COLORS)))
            for _ in range(n_drawn)
        ]
        pictures += [demo_data.draw_scene(scene, rng) for scene in drawn]
        scenes += drawn

    def ask(index: int, rng: random.Random) -> list[Asked]:
        questions = demo_data.scene_questions(scenes[index], 3, 5, rng)
        return [Asked(demo_data.still_prompt(_scene_text(q)), q.answer) for q in questions]

    facts = torch.tensor(
        [(demo_data.SHAPES.index(s.shape), list(demo_data.COLORS).index(s.color)) for s in scenes]
    )
    classes = (len(demo_data.SHAPES), len(demo_data.COLORS))
    return Source("scenes", still_tiles(processor, pictures), ask, "", facts, classes)


def _scene_text(question: Question) -> str:
    yes_no = demo_data.is_yes_no(question.answer)
    return question.text if yes_no else demo_data.short_answer_text(question)


def easy_vqa_split(split: str) -> dict[int, demo_data.Scene]:
    """easy-VQA's training pictures but every 20th, or every 20th, to watch the training by."""
    scenes = demo_data.easy_vqa_scenes()
    return {i: scene for i, scene in scenes.items() if (i % 20 == 0) == (split == "dev")}


def decoded(png: bytes) -> Pixels:
    """The pixels of a picture file."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def digit_source(
    processor: SmolVLMProcessor, split: demo_data.Split, seed: int, n: int, length: int
) -> Source:
    """`n` strings of `length` handwritten digits."""
    rng = random.Random(seed)
    indices = demo_data.digit_indices(split)
    drawn = [demo_data.draw_digits(rng.choices(indices, k=length), rng) for _ in range(n)]
    strings = [string for _, string in drawn]

    def ask(index: int, rng: random.Random) -> list[Asked]:
        string = strings[index]
        asked = [
            Asked(demo_data.still_prompt(q.text), q.answer)
            for q in demo_data.string_questions(string)
        ]
        if length == 2:
            asked += [
                Asked(demo_data.still_prompt(demo_data.choice_text(q)), q.answer)
                for q in demo_data.pair_questions(string, rng)
            ]
        return asked

    tiles = still_tiles(processor, [picture for picture, _ in drawn])
    facts = torch.tensor([[int(digit) for digit in string] for string in strings])
    return Source(f"digits-{length}", tiles, ask, "", facts, (10,) * length)


def clip_sources(processor: SmolVLMProcessor, seed: int, n: int, kept: Path) -> list[Source]:
    """`n` clips, apart by their number of frames; their tiles are kept in a folder."""
    rng = random.Random(seed)
    clips = [demo_data.random_clip(rng) for _ in range(n)]
    sources = []
    for seconds in sorted({clip.seconds for clip in clips}):
        chosen = [clip for clip in clips if clip.seconds == seconds]
        path = kept / f"clips-{seed}-{n}-{seconds}.pt"
        if not path.exists():
            kept.mkdir(parents=True, exist_ok=True)
            torch.save(frame_tiles(processor, [_clip_frames(clip) for clip in chosen]), path)
        sources.append(_clip_source(chosen, torch.load(path)))
    return sources


def _clip_frames(clip: demo_data.Clip) -> list[Pixels]:
    return demo_data.shown_frames(demo_data.encode_clip(demo_data.draw_clip(clip)))


def _clip_source(clips: Sequence[demo_data.Clip], tiles: Tensor) -> Source:
    n_frames = tiles.shape[1]

    def ask(index: int, rng: random.Random) -> list[Asked]:
        questions = demo_data.clip_questions(clips[index])
        questions += [demo_data.spelled_out(q) for q in rng.sample(questions, 2)]
        return [Asked(demo_data.video_prompt(q, n_frames), q.answer) for q in questions]

    facts = torch.tensor(
        [[demo_data.frame_facts(clip, second) for second in range(n_frames)] for clip in clips]
    )
    classes = demo_data.FRAME_CLASSES
    return Source(f"clips-{n_frames}", tiles, ask, " Question:", facts, classes)


# --------------------------------------------------------------------------------------------------
# Packing
# --------------------------------------------------------------------------------------------------


class Packer:
    """Turns pictures and their questions into batches."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = lru_cache(maxsize=200_000)(
            lambda text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        )

    def batch(self, source: Source, indices: Sequence[int], rng: random.Random) -> Batch:
        """The pictures at `indices` with newly drawn questions."""
        rows = [self._row(source, source.ask(i, rng)) for i in indices]
        width = math.ceil(max(len(ids) for ids, *_ in rows) / 16) * 16
        ids = torch.full((len(rows), width), 0)
        positions = torch.zeros((len(rows), width), dtype=torch.long)
        segments = torch.full((len(rows), width), -1)
        labels = torch.full((len(rows), width), IGNORED)
        for i, (row_ids, row_positions, row_segments, row_labels) in enumerate(rows):
            n = len(row_ids)
            ids[i, :n] = torch.tensor(row_ids)
            positions[i, :n] = torch.tensor(row_positions)
            segments[i, :n] = torch.tensor(row_segments)
            labels[i, :n] = torch.tensor(row_labels)
        same = segments[:, :, None] == segments[:, None, :]
        visible = (same | (segments[:, None, :] == 0)).tril()[:, None]
        bias = torch.zeros(visible.shape, dtype=torch.bfloat16).masked_fill(~visible, HIDDEN)
        return Batch(source.tiles[list(indices)], ids, positions, bias, labels)

    def _row(
        self, source: Source, asked: Sequence[Asked]
    ) -> tuple[list[int], list[int], list[int], list[int]]:
        """Token ids, positions, segment numbers (0: prefix) and labels, shifted by one."""
        prefix = list(self._encode(_cut(source, asked[0].prompt)[0]))
        ids, positions = list(prefix), list(range(len(prefix)))
        segments, labels = [0] * len(prefix), [IGNORED] * len(prefix)
        for number, one in enumerate(asked, start=1):
            question = self._encode(_cut(source, one.prompt)[1])
            answer = self._encode(f" {one.answer}{demo_model.END}")
            n = len(question) + len(answer) - 1
            ids += [*question, *answer[:-1]]
            positions += range(len(prefix), len(prefix) + n)
            segments += [number] * n
            labels += [IGNORED] * (len(question) - 1) + list(answer)
        return ids, positions, segments, labels


def _cut(source: Source, prompt: str) -> tuple[str, str]:
    """Split a prompt, its images expanded, where its own words begin.

    The cut lies behind a special token or before a word, where the tokenizer cuts as well: the
    tokens of the parts are the tokens of the whole.
    """
    expanded = expand(prompt, splits=0 if source.marker else 2)
    if source.marker:
        at = expanded.index(source.marker)
    else:
        at = expanded.rindex(demo_model.FAKE) + len(demo_model.FAKE)
    return expanded[:at], expanded[at:]


@lru_cache(maxsize=200_000)
def expand(prompt: str, splits: int) -> str:
    """Put the tile tokens in the place of each ``<image>``, as the processor does."""
    tiles = get_image_prompt_string(
        splits,
        splits,
        demo_model.IMAGE_TOKENS,
        demo_model.FAKE,
        demo_model.IMAGE,
        demo_model.GLOBAL,
    )
    return prompt.replace(demo_model.IMAGE, tiles)


# --------------------------------------------------------------------------------------------------
# The model's forward pass, packed
# --------------------------------------------------------------------------------------------------


def image_features(model: SmolVLMForConditionalGeneration, tiles: Tensor) -> Tensor:
    """The tokens of each tile. All tiles are full, so no mask is needed anywhere."""
    vision = model.model.vision_model
    pixels = tiles.flatten(0, 1).float() / 127.5 - 1.0
    side = pixels.shape[-1] // vision.patch_size
    full = torch.ones((len(pixels), side, side), dtype=torch.bool)
    hidden = vision.embeddings(pixel_values=pixels, patch_attention_mask=full)
    for layer in vision.encoder.layers:
        hidden = layer(hidden, None)
    features: Tensor = model.model.connector(vision.post_layernorm(hidden))
    return features


def answer_logits(model: SmolVLMForConditionalGeneration, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits and labels at every token of every answer."""
    embeds = model.get_input_embeddings()(batch.ids)
    if batch.tiles.numel():
        features = image_features(model, batch.tiles)
        places = (batch.ids == model.config.image_token_id)[..., None]
        embeds = embeds.masked_scatter(places, features.to(embeds.dtype))
    hidden = model.model.text_model(
        inputs_embeds=embeds,
        attention_mask=batch.bias,
        position_ids=batch.positions,
        use_cache=False,
    ).last_hidden_state
    wanted = batch.labels != IGNORED
    return model.lm_head(hidden[wanted]), batch.labels[wanted]


# --------------------------------------------------------------------------------------------------
# First stage: seeing
# --------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Reads facts straight off the tokens of a picture. Thrown away after the first stage."""

    def __init__(self, inputs: int, classes: Sequence[int]) -> None:
        super().__init__()
        self.classes = list(classes)
        self.layers = nn.Sequential(
            nn.LayerNorm(inputs), nn.Linear(inputs, 256), nn.GELU(), nn.Linear(256, sum(classes))
        )

    def forward(self, features: Tensor, facts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss, and the share of right facts."""
        guesses = self.layers(features).float().split(self.classes, dim=-1)
        losses = [
            nn.functional.cross_entropy(guess, facts[:, i]) for i, guess in enumerate(guesses)
        ]
        right = [(guess.argmax(-1) == facts[:, i]).float() for i, guess in enumerate(guesses)]
        return torch.stack(losses).mean(), torch.stack(right).mean().detach()


def learn_to_see(
    model: SmolVLMForConditionalGeneration, parts: Sequence[Part], args: argparse.Namespace
) -> None:
    """Train vision tower and connector to name what is shown, before any words.

    Without this, the text model ignores the pictures for a thousand steps.
    """
    width = model.config.text_config.hidden_size * demo_model.IMAGE_TOKENS
    readers = nn.ModuleList()
    for part in parts:
        source = part.sources[0]
        tiles = 1 if source.facts.ndim == 3 else source.tiles.shape[1]
        readers.append(Reader(width * tiles, source.classes))
    seeing = [model.model.vision_model, model.model.connector, readers]
    weights = [p for module in seeing for p in module.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=args.lr, betas=(0.9, 0.98), fused=True)
    rng = random.Random(args.seed)
    for step in range(args.see_steps):
        down = min(1.0, (step + 1) / 50, 0.02 + 2 * (1 - step / args.see_steps))
        optimizer.param_groups[0]["lr"] = args.lr * down
        told = []
        for part, reader in zip(parts, readers, strict=True):
            source = rng.choice(part.sources)
            chosen = rng.sample(range(len(source.tiles)), part.seen)
            loss, right = reader(*_read(model, source, chosen))
            torch.autograd.backward(loss)
            told.append(f"{100 * float(right):.1f}")
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 25 == 0:
            print(f"seeing {step + 1}: right {' '.join(told)}", flush=True)


def _read(
    model: SmolVLMForConditionalGeneration, source: Source, chosen: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The tokens and the facts of each picture, or of each frame."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = image_features(model, source.tiles[list(chosen)])
    facts = source.facts[list(chosen)]
    facts = facts.flatten(0, 1) if facts.ndim == 3 else facts
    return features.float().reshape(len(facts), -1), facts


# --------------------------------------------------------------------------------------------------
# Second stage: answering
# --------------------------------------------------------------------------------------------------


def speed_up(model: SmolVLMForConditionalGeneration) -> None:
    """Compile the layers; plain attention is faster backwards than the fused one on a CPU."""
    model.set_attn_implementation("eager")
    for layer in [*model.model.text_model.layers, *model.model.vision_model.encoder.layers]:
        layer.compile()


class Trainer:
    """AdamW over mixed steps; each step's data depends on the seed and the step alone."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        tokenizer = demo_model.build_tokenizer()
        self.processor = demo_model.build_processor(tokenizer)
        self.model = demo_model.build_model(tokenizer, args.seed)
        speed_up(self.model)
        self.packer = Packer(tokenizer)
        self.parts = self._parts()
        self.dev = self._dev()
        self.optimizer = self._optimizer()
        self.step = 0

    def _parts(self) -> list[Part]:
        seed, scale, p = self.args.seed, self.args.data_scale, self.processor
        scenes = scene_source(p, "train", seed, int(6000 * scale))
        digits = [digit_source(p, "train", seed + n, int(9000 * scale), n) for n in (2, 3)]
        clips = clip_sources(p, seed, int(4000 * scale), self.args.work)
        return [
            Part([scenes], 32, 12),
            Part(digits[:1], 32, 36),
            Part(digits[1:], 32, 20),
            Part(clips, 8, 16),
        ]

    def _dev(self) -> list[tuple[str, Batch]]:
        """Batches to watch the training by; nothing of the benchmarks."""
        seed, p = self.args.seed + 1000, self.processor
        sources = [
            scene_source(p, "dev", seed, 0),
            digit_source(p, "dev", seed, 96, 2),
            digit_source(p, "dev", seed, 96, 3),
            *clip_sources(p, seed, 120, self.args.work)[:1],
        ]
        return [
            (s.name, self.packer.batch(s, range(min(96, len(s.tiles))), random.Random(seed)))
            for s in sources
        ]

    def _optimizer(self) -> torch.optim.Optimizer:
        decayed = [p for p in self.model.parameters() if p.ndim >= 2]
        other = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": other, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.args.lr, betas=(0.9, 0.98), fused=True)

    def rate(self, step: int) -> float:
        """Warm-up, a plateau, then a linear way down."""
        down = (self.args.steps - step) / self.args.decay
        return float(self.args.lr * min(1.0, (step + 1) / 100, max(0.02, down)))

    def batches(self, step: int) -> list[Batch]:
        """The data of one step."""
        rng = random.Random(self.args.seed * 1_000_003 + step)
        made = []
        for part in self.parts:
            source = rng.choice(part.sources)
            indices = rng.sample(range(len(source.tiles)), part.pictures)
            made.append(self.packer.batch(source, indices, rng))
        return made

    def train_step(self, batches: Sequence[Batch]) -> list[float]:
        """One step over all parts; the loss of each."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        losses = [0.0] * len(batches)
        for i in self.mine(len(batches)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, labels = answer_logits(self.model, batches[i])
            loss = nn.functional.cross_entropy(logits.float(), labels)
            torch.autograd.backward(loss / len(batches))
            losses[i] = float(loss.detach())
        self.add_up()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return losses

    def mine(self, parts: int) -> range | list[int]:
        """Which parts of a step this process works on: all, or the outer or the inner ones."""
        if not dist.is_initialized():
            return range(parts)
        return [i for i in range(parts) if (i in (0, parts - 1)) == (dist.get_rank() == 0)]

    def add_up(self) -> None:
        """Give every process the gradients of the whole step."""
        if dist.is_initialized():
            weights = list(self.model.parameters())
            own = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
            whole = torch.cat([gradient.flatten() for gradient in own])
            dist.all_reduce(whole)
            parts = whole.split([p.numel() for p in weights])
            for p, part in zip(weights, parts, strict=True):
                p.grad = part.view_as(p).clone()

    @torch.no_grad()
    def watch(self) -> str:
        """Share of answer tokens, teacher-forced, that are right, part by part."""
        told = []
        for name, batch in self.dev:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, labels = answer_logits(self.model, batch)
            right = (logits.argmax(-1) == labels)[labels != self.processor.tokenizer.eos_token_id]
            told.append(f"{name} {100 * right.float().mean():.1f}")
        return ", ".join(told)

    def run(self) -> None:
        """Train to the last step, saving on the way."""
        if self.step == 0 and not (self.args.work / "state.pt").exists():
            learn_to_see(self.model, self.parts, self.args)
            self.save()
        begun, first = time.monotonic(), self.step
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.batches, self.step)
            while self.step < self.args.steps:
                batches = coming.result()
                coming = ahead.submit(self.batches, self.step + 1)
                losses = self.train_step(batches)
                if self.step % 25 == 0:
                    each = (time.monotonic() - begun) / (self.step - first)
                    shown = " ".join(f"{loss:.3f}" for loss in losses)
                    print(f"step {self.step}: loss {shown} ({each:.2f} s a step)", flush=True)
                if self.step % 100 == 0:
                    print(f"step {self.step}: {self.watch()}", flush=True)
                if self.step % self.args.save_every == 0 or self.step == self.args.steps:
                    self.save()

    def save(self) -> None:
        """Keep this step's weights, and the state to go on from."""
        if dist.is_initialized() and dist.get_rank() > 0:
            return
        self.args.work.mkdir(parents=True, exist_ok=True)
        torch.save(self.model.state_dict(), self.args.work / f"step-{self.step}.pt")
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, self.args.work / "state.pt")

    def resume(self) -> None:
        """Go on from the last saved state, if there is one."""
        path: Path = self.args.work / "state.pt"
        if path.exists():
            state = torch.load(path)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    def publish(self, steps: Sequence[int], folder: Path) -> None:
        """Write the mean of some saved steps as a checkpoint directory."""
        saved = [torch.load(self.args.work / f"step-{step}.pt") for step in steps]
        mean = {name: torch.stack([one[name] for one in saved]).mean(0) for name in saved[0]}
        config: SmolVLMConfig = self.model.config
        demo_model.save_checkpoint(folder, config, mean, self.processor)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="gets demo/ and early/")
    parser.add_argument("--work", type=Path, default=Path("build/demo-training"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--see-steps", type=int, default=400, help="of the first stage")
    parser.add_argument("--steps", type=int, default=1650, help="of the second stage")
    parser.add_argument("--decay", type=int, default=450, help="last steps, of falling rate")
    parser.add_argument("--average", type=int, default=2, help="last saved steps in demo/")
    parser.add_argument("--early-step", type=int, default=300, help="published as early/")
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--data-scale", type=float, default=1.0, help="less data, for a trial")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Train, then publish the last and the early step."""
    args = arguments()
    torch.set_num_threads(args.threads)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    begun = time.monotonic()
    trainer = Trainer(args)
    trainer.resume()
    print(f"ready after {time.monotonic() - begun:.0f} s, at step {trainer.step}", flush=True)
    trainer.run()
    if not dist.is_initialized() or dist.get_rank() == 0:
        last = [args.steps - i * args.save_every for i in range(args.average)]
        trainer.publish(last, args.out / "demo")
        trainer.publish([args.early_step], args.out / "early")
    print(f"done after {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
