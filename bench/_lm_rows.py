"""What bench/lm.py measures in a process of its own: one implementation, with random weights in MusicGen-small's shape.

    python bench/_lm_rows.py IMPLEMENTATION PRECISION [--steps N] [--threads N] [--device cpu]

IMPLEMENTATION is ours, transformers, graph (ours, one CUDA graph a step), train or train-transformers. A line of JSON goes to stdout;
"timing" and "timed" go to stderr around what is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from typing import Any

import torch
from torch import Tensor

WIDTH, HEADS, LAYERS, BOOKS, SIZE, TEXT = 1024, 16, 24, 4, 2048, 20
WARM = 8  # steps before those that are timed
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Result = dict[str, float]


def say(word: str) -> None:
    print(word, file=sys.stderr, flush=True)


def our_model(dtype: torch.dtype, device: str) -> Any:
    """Made without a copy in another precision."""
    from solfa.lm.model import LMConfig, TokenLM
    from solfa.lm.patterns import delay
    from solfa.nn.transformer import TransformerConfig

    shape = TransformerConfig(WIDTH, LAYERS, HEADS)
    config = LMConfig("bench", "none", 32_000, 50.0, shape, BOOKS, SIZE, delay(BOOKS))
    with torch.device("meta"):
        model = TokenLM(config)
    model.to(dtype).to_empty(device=device)
    model.register_buffer("offsets", torch.arange(BOOKS, device=device)[:, None] * (SIZE + 1), persistent=False)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.02) if weight.ndim > 1 else weight.fill_(1.0)
    return model.eval()


def told(device: str, dtype: torch.dtype = torch.float32) -> Any:
    """Text of one row, and nothing for the other."""
    from solfa.lm.model import Conditions
    from solfa.nn.transformer import Memory

    values = torch.randn(2, TEXT, WIDTH, generator=torch.Generator().manual_seed(0))
    values[1] = 0
    return Conditions(Memory(values.to(device, dtype)))


def ours(options: argparse.Namespace) -> Result:
    from solfa.lm.cuda_graph import FORMS
    from solfa.lm.fast import fast_lm
    from solfa.lm.generate import generate

    FORMS.clear()  # step by step on a GPU too: `graph` is a row of its own
    # int8 and int4 are made from bfloat16 weights, as they are downloaded: the process never holds them in float32.
    model = our_model(torch.float32 if options.precision == "float32" else torch.bfloat16, options.device)
    lm = fast_lm(model, options.precision)
    del model
    frames, times = options.steps - BOOKS + 1 + WARM, Clock(options.device)
    generate(lm, told(options.device), WARM, seeds=[0])
    generate(lm, told(options.device), frames, seeds=[0], progress=lambda *_: times.tick())
    return times.result()


def graph(options: argparse.Namespace) -> Result:
    from solfa.lm.cuda_graph import GraphWriter

    dtype = TYPES[options.precision]
    model, frames, times = our_model(dtype, options.device), options.steps - BOOKS + 1, Clock(options.device)
    writer = GraphWriter(model, told(options.device, dtype), frames, [0], ways=2)
    writer.write()  # records
    writer.place.zero_()
    times.tick(WARM)
    writer.write()
    times.tick(options.steps)
    return times.result()


def their_model(dtype: torch.dtype, device: str) -> Any:
    """MusicGen with the least text encoder and codec that it takes: neither is measured."""
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration, T5Config
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    text = T5Config(d_model=768, d_ff=64, num_layers=1, num_heads=2, d_kv=16)
    # 2048 codes, 4 codebooks at 50 frames a second
    audio = EncodecConfig(
        sampling_rate=32_000, upsampling_ratios=[8, 5, 4, 4], num_filters=4, hidden_size=8, codebook_size=SIZE,
        codebook_dim=8, target_bandwidths=[2.2], num_lstm_layers=1,
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=SIZE, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, ffn_dim=4 * WIDTH,
        num_codebooks=BOOKS,
    )  # fmt: skip
    config = MusicgenConfig(text_encoder=text, audio_encoder=audio, decoder=decoder)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    model = MusicgenForConditionalGeneration(config)
    torch.set_default_dtype(before)
    model.generation_config.pad_token_id = model.generation_config.decoder_start_token_id = SIZE
    model.generation_config.bos_token_id = SIZE
    return model.to(device).eval()


def transformers(options: argparse.Namespace) -> Result:
    from transformers import StoppingCriteria, StoppingCriteriaList

    model, times = their_model(TYPES[options.precision], options.device), Clock(options.device)

    class Ticks(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
            times.tick()
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    ids = torch.randint(10, 1000, (1, TEXT), device=options.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    more = {"do_sample": True, "top_k": 250, "guidance_scale": 3.0}
    model.generate(**inputs, **more, max_new_tokens=WARM)
    criteria = StoppingCriteriaList([Ticks()])
    model.generate(**inputs, **more, max_new_tokens=options.steps + WARM, stopping_criteria=criteria)
    return times.result()


class Clock:
    """Time from step WARM to the last."""

    def __init__(self, device: str) -> None:
        self.device, self.count, self.first, self.last = device, 0, 0.0, 0.0

    def tick(self, steps: int = 1) -> None:
        before, self.count = self.count, self.count + steps
        if self.device != "cpu" and before < WARM:
            torch.cuda.synchronize()
        self.last = time.perf_counter()
        if before < WARM <= self.count:
            say("timing")
            self.first = self.last

    def result(self) -> Result:
        if self.device != "cpu":
            torch.cuda.synchronize()
            self.last = time.perf_counter()
        say("timed")
        return {"ms": 1000 * (self.last - self.first) / (self.count - WARM), "steps": self.count - WARM}


def train(options: argparse.Namespace) -> Result:
    """A training step, 4 crops of 10 seconds, bfloat16 products where the precision says so."""
    from solfa.lm.patterns import make_pattern

    theirs = options.implementation == "train-transformers"
    model = (their_model if theirs else our_model)(torch.float32, options.device).train()
    rows, frames, special = 4, 500, SIZE
    pattern = make_pattern(our_pattern(), frames)
    codes = torch.randint(0, SIZE, (rows, BOOKS, frames), device=options.device)
    sequence, values = pattern.build(codes, special), torch.randn(rows, TEXT, WIDTH, device=options.device)
    parameters = list((model.decoder if theirs else model).parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=options.device != "cpu")

    def logits() -> Tensor:
        if not theirs:
            from solfa.lm.model import Conditions
            from solfa.nn.transformer import Memory

            return model(sequence, Conditions(Memory(values)))
        steps = sequence[:, :, :-1].flatten(0, 1)
        found = model.decoder(input_ids=steps, encoder_hidden_states=values).logits  # [B * K, S, N]
        return found.unflatten(0, (rows, BOOKS))

    def step() -> None:
        with torch.autocast(torch.device(options.device).type, torch.bfloat16, options.precision == "bfloat16"):
            found = logits()
        target = sequence[:, :, 1:]
        loss = torch.nn.functional.cross_entropy(found.flatten(0, 2).float(), target.flatten(), ignore_index=special)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    times = Clock(options.device)
    for _ in range(WARM + options.steps):
        step()
        times.tick()
    return times.result() | {"tokens": float(rows * sequence.shape[2] - rows)}


def our_pattern() -> Any:
    from solfa.lm.patterns import delay

    return delay(BOOKS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("implementation", choices=("ours", "transformers", "graph", "train", "train-transformers"))
    parser.add_argument("precision")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.device != "cpu":
        torch.set_float32_matmul_precision("high")
    jobs = {"ours": ours, "transformers": transformers, "graph": graph, "train": train, "train-transformers": train}
    result = jobs[options.implementation](options)
    if options.device == "cpu":
        result["gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    else:
        result["gb"] = torch.cuda.max_memory_allocated() / 1e9
    print(json.dumps(result))


if __name__ == "__main__":
    main()
