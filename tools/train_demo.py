"""Train the bundled demo checkpoints from random weights, on a CPU, with a fixed seed.

    python tools/train_demo.py --out evalsuite/demo/checkpoints

See ``tools/README.md``.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import demo_model
import torch
import torch.distributed as dist
from demo_training_data import (
    IGNORED,
    Batch,
    Packer,
    Source,
    clip_sources,
    digit_source,
    scene_source,
)
from torch import Tensor, nn
from transformers import (
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)


@dataclass(frozen=True, slots=True)
class Part:
    """Share of one source in every step."""

    sources: Sequence[Source]
    """One of them is used in each step."""
    seen: int
    """Images or clips per step of the first stage."""
    pictures: int
    """Images or clips per step of the second stage, with all their questions."""


# --------------------------------------------------------------------------------------------------
# The model's forward pass, packed
# --------------------------------------------------------------------------------------------------


def image_features(model: SmolVLMForConditionalGeneration, tiles: Tensor) -> Tensor:
    """Return the tokens of each tile. All tiles are full, so no mask is needed."""
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
    """Return logits and labels of all answer tokens."""
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
# First stage: vision
# --------------------------------------------------------------------------------------------------


class FactClassifier(nn.Module):
    """Classifies facts from the tokens of an image. Used in the first stage only."""

    def __init__(self, inputs: int, classes: Sequence[int]) -> None:
        super().__init__()
        self.classes = list(classes)
        self.layers = nn.Sequential(
            nn.LayerNorm(inputs), nn.Linear(inputs, 256), nn.GELU(), nn.Linear(256, sum(classes))
        )

    def forward(self, features: Tensor, facts: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean loss and accuracy."""
        guesses = self.layers(features).float().split(self.classes, dim=-1)
        losses = [
            nn.functional.cross_entropy(guess, facts[:, i]) for i, guess in enumerate(guesses)
        ]
        right = [(guess.argmax(-1) == facts[:, i]).float() for i, guess in enumerate(guesses)]
        return torch.stack(losses).mean(), torch.stack(right).mean().detach()


def train_vision(
    model: SmolVLMForConditionalGeneration, parts: Sequence[Part], args: argparse.Namespace
) -> None:
    """Train vision tower and connector to classify what is shown.

    Without this, the text model ignores the images for a thousand steps.
    """
    width = model.config.text_config.hidden_size * demo_model.IMAGE_TOKENS
    classifiers = nn.ModuleList()
    for part in parts:
        source = part.sources[0]
        tiles = 1 if source.facts.ndim == 3 else source.tiles.shape[1]
        classifiers.append(FactClassifier(width * tiles, source.classes))
    modules = [model.model.vision_model, model.model.connector, classifiers]
    weights = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=args.lr, betas=(0.9, 0.98), fused=True)
    rng = random.Random(args.seed)
    for step in range(args.see_steps):
        down = min(1.0, (step + 1) / 50, 0.02 + 2 * (1 - step / args.see_steps))
        optimizer.param_groups[0]["lr"] = args.lr * down
        shown = []
        for part, classifier in zip(parts, classifiers, strict=True):
            source = rng.choice(part.sources)
            chosen = rng.sample(range(len(source.tiles)), part.seen)
            loss, right = classifier(*_features_and_facts(model, source, chosen))
            torch.autograd.backward(loss)
            shown.append(f"{100 * float(right):.1f}")
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 25 == 0:
            print(f"vision {step + 1}: accuracy {' '.join(shown)}", flush=True)


def _features_and_facts(
    model: SmolVLMForConditionalGeneration, source: Source, chosen: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return tokens and facts of each image or frame."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = image_features(model, source.tiles[list(chosen)])
    facts = source.facts[list(chosen)]
    facts = facts.flatten(0, 1) if facts.ndim == 3 else facts
    return features.float().reshape(len(facts), -1), facts


# --------------------------------------------------------------------------------------------------
# Second stage: answers
# --------------------------------------------------------------------------------------------------


def speed_up(model: SmolVLMForConditionalGeneration) -> None:
    """Compile the layers. On a CPU, plain attention is faster in the backward pass."""
    model.set_attn_implementation("eager")
    for layer in [*model.model.text_model.layers, *model.model.vision_model.encoder.layers]:
        layer.compile()


class Trainer:
    """AdamW training; the data of a step depend only on the seed and the step."""

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
        """Batches for monitoring; they contain nothing of the benchmarks."""
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
        """Return the learning rate: warm-up, constant, then linear decrease."""
        down = (self.args.steps - step) / self.args.decay
        return float(self.args.lr * min(1.0, (step + 1) / 100, max(0.02, down)))

    def batches(self, step: int) -> list[Batch]:
        """Return the data of one step."""
        rng = random.Random(self.args.seed * 1_000_003 + step)
        made = []
        for part in self.parts:
            source = rng.choice(part.sources)
            indices = rng.sample(range(len(source.tiles)), part.pictures)
            made.append(self.packer.batch(source, indices, rng))
        return made

    def train_step(self, batches: Sequence[Batch]) -> list[float]:
        """Train one step on all parts; return the loss of each."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        losses = [0.0] * len(batches)
        for i in self.own_parts(len(batches)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, labels = answer_logits(self.model, batches[i])
            loss = nn.functional.cross_entropy(logits.float(), labels)
            torch.autograd.backward(loss / len(batches))
            losses[i] = float(loss.detach())
        self.sum_gradients()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return losses

    def own_parts(self, parts: int) -> range | list[int]:
        """Return the parts of a step for this process."""
        if not dist.is_initialized():
            return range(parts)
        return [i for i in range(parts) if (i in (0, parts - 1)) == (dist.get_rank() == 0)]

    def sum_gradients(self) -> None:
        """Sum the gradients over all processes."""
        if dist.is_initialized():
            weights = list(self.model.parameters())
            own = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
            whole = torch.cat([gradient.flatten() for gradient in own])
            dist.all_reduce(whole)
            parts = whole.split([p.numel() for p in weights])
            for p, part in zip(weights, parts, strict=True):
                p.grad = part.view_as(p).clone()

    @torch.no_grad()
    def accuracy(self) -> str:
        """Return the accuracy of answer tokens with teacher forcing, by part."""
        shown = []
        for name, batch in self.dev:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, labels = answer_logits(self.model, batch)
            right = (logits.argmax(-1) == labels)[labels != self.processor.tokenizer.eos_token_id]
            shown.append(f"{name} {100 * right.float().mean():.1f}")
        return ", ".join(shown)

    def run(self) -> None:
        """Train to the last step and save regularly."""
        if self.step == 0 and not (self.args.work / "state.pt").exists():
            train_vision(self.model, self.parts, self.args)
            self.save()
        begun, first = time.monotonic(), self.step
        with ThreadPoolExecutor(1) as prefetch:
            coming = prefetch.submit(self.batches, self.step)
            while self.step < self.args.steps:
                batches = coming.result()
                coming = prefetch.submit(self.batches, self.step + 1)
                losses = self.train_step(batches)
                if self.step % 25 == 0:
                    each = (time.monotonic() - begun) / (self.step - first)
                    shown = " ".join(f"{loss:.3f}" for loss in losses)
                    print(f"step {self.step}: loss {shown} ({each:.2f} s a step)", flush=True)
                if self.step % 100 == 0:
                    print(f"step {self.step}: {self.accuracy()}", flush=True)
                if self.step % self.args.save_every == 0 or self.step == self.args.steps:
                    self.save()

    def save(self) -> None:
        """Save this step's weights and the training state."""
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
        """Continue from the last saved state, if any."""
        path: Path = self.args.work / "state.pt"
        if path.exists():
            state = torch.load(path)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    def publish(self, steps: Sequence[int], folder: Path) -> None:
        """Write the mean of saved steps as a checkpoint directory."""
        saved = [torch.load(self.args.work / f"step-{step}.pt") for step in steps]
        mean = {name: torch.stack([one[name] for one in saved]).mean(0) for name in saved[0]}
        config: SmolVLMConfig = self.model.config
        demo_model.save_checkpoint(folder, config, mean, self.processor)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="output directory for demo/ and early/"
    )
    parser.add_argument("--work", type=Path, default=Path("build/demo-training"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--see-steps", type=int, default=400, help="steps of the first stage")
    parser.add_argument("--steps", type=int, default=1650, help="steps of the second stage")
    parser.add_argument(
        "--decay", type=int, default=450, help="last steps, with decreasing learning rate"
    )
    parser.add_argument(
        "--average", type=int, default=2, help="number of last saved steps averaged in demo/"
    )
    parser.add_argument("--early-step", type=int, default=300, help="step saved as early/")
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument(
        "--data-scale", type=float, default=1.0, help="factor on the amount of data, for trials"
    )
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Train, then write the last and the early checkpoint."""
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
