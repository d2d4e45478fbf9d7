"""What bench/codecs.py measures in a process of its own: one implementation of one codec, with weights from a folder.

    python bench/_codec_rows.py JOB IMPLEMENTATION MODEL FOLDER [--seconds S ...] [--runs N] [--threads N]

JOB is speed, memory or gpu; a line of JSON goes to stdout, the codes to FOLDER.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

PRESETS = {"encodec-24khz": 8, "dac-44khz": 9}  # codebooks in use: EnCodec's usual 6 kbit/s, all of DAC's
Work = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, int], Tensor]]  # encode [1, 1, S] -> [1, K, T], and back


def preset(model: str) -> Any:
    from solfa.codecs import dac, encodec

    return encodec.encodec_24khz() if model == "encodec-24khz" else dac.dac_44khz()


def sound(seconds: float, rate: int, seed: int = 0) -> Tensor:
    """Tones that come and go in noise, [1, 1, S]."""
    axis = torch.arange(int(seconds * rate)) / rate
    swell = 0.5 - 0.5 * torch.cos(2 * torch.pi * axis / 1.7)
    tones = sum(torch.sin(2 * torch.pi * f * axis) * swell ** (1 + i) for i, f in enumerate((220.0, 331.0, 1554.0)))
    return (0.1 * tones + 0.05 * torch.randn(len(axis), generator=torch.Generator().manual_seed(seed)))[None, None]


def make_weights(model: str, folder: Path) -> None:
    """Random weights, each convolution's scaled to an output of one level, and codebooks that the latents make use of.

    Without that the signal fades from layer to layer beside the biases, and round-off decides on codes; where it is high, Snake's sines
    enlarge round-off at every layer. Saved as a codec of ours.
    """
    from solfa.codecs.vqvae import VQVAE

    def level(conv: nn.Module, _: Any, output: Tensor) -> Tensor:
        scale = output.std() / height
        for part in (conv.parametrizations.weight.original0, conv.bias):
            part.div_(scale)
        return output / scale

    torch.manual_seed(0)
    codec, height = VQVAE(preset(model)).eval(), 1.0 if model.startswith("encodec") else 0.3
    with torch.inference_mode():
        for name, tensor in codec.state_dict().items():
            if name.endswith("alpha"):
                tensor.uniform_(0.5, 2)
            elif name.endswith("bias"):
                tensor.mul_(0.1)
        convs = [part for part in codec.modules() if hasattr(part, "parametrizations") and part.kernel_size != (1,)]
        hooks = [conv.register_forward_hook(level) for conv in convs]
        rest = codec.encoder(sound(20, codec.sample_rate)[..., : 1200 * codec.hop])[0].T  # [1200, D]
        generator = torch.Generator().manual_seed(0)
        for name, tensor in codec.state_dict().items():
            if name.endswith(".embed"):
                book = tensor.view(-1, rest.shape[1])  # [N, D]
                some = rest[torch.randperm(len(rest), generator=generator)[: len(book)]]
                book.copy_(some + 0.5 * rest.std() * torch.randn(some.shape, generator=generator))
                rest = rest - book[torch.cdist(rest, book).argmin(1)]
        codec.decoder(codec.quantizer.decode(torch.randint(0, 1024, (1, PRESETS[model], 100), generator=generator)))
        for hook in hooks:
            hook.remove()
    codec.save(folder)


def load(implementation: str, model: str, folder: Path) -> tuple[Any, Work]:
    """The implementation's model, and its encode and decode."""
    from solfa.codecs.vqvae import load_vqvae

    codec, k = load_vqvae(folder), PRESETS[model]
    if implementation == "ours":
        kind = codec.encode(torch.zeros(1, 1, 1), codebooks=k)

        def decode(tokens: Tensor, samples: int) -> Tensor:
            return codec.decode(type(kind)(**{**kind.__dict__, "tokens": tokens, "samples": (samples,)})).samples

        return codec, (lambda x: codec.encode(x, codebooks=k).tokens, decode)
    peer = {
        ("transformers", "encodec-24khz"): transformers_encodec,
        ("transformers", "dac-44khz"): transformers_dac,
        ("package", "encodec-24khz"): package_encodec,
        ("package", "dac-44khz"): package_dac,
    }[implementation, model]
    return peer(codec.state_dict(), k)


def transformers_encodec(weights: dict[str, Tensor], k: int) -> tuple[Any, Work]:
    from transformers import EncodecConfig, EncodecModel

    from solfa.codecs.weights.encodec_keys import to_transformers

    model = EncodecModel(EncodecConfig()).eval()
    model.load_state_dict(to_transformers(weights))
    encode = lambda x: model.encode(x, bandwidth=0.75 * k).audio_codes[0]  # noqa: E731
    return model, (encode, lambda codes, n: model.decode(codes[None], [None]).audio_values[..., :n])


def transformers_dac(weights: dict[str, Tensor], k: int) -> tuple[Any, Work]:
    from transformers import DacConfig, DacModel

    from solfa.codecs.weights.dac_keys import to_transformers

    model = DacModel(DacConfig(sampling_rate=44_100, n_codebooks=k)).eval()
    model.load_state_dict(to_transformers(weights))

    def encode(x: Tensor) -> Tensor:
        return model.encode(torch.nn.functional.pad(x, (0, -x.shape[-1] % 512))).audio_codes

    return model, (encode, lambda codes, n: model.decode(audio_codes=codes).audio_values[..., :n])


def package_encodec(weights: dict[str, Tensor], k: int) -> tuple[Any, Work]:
    from encodec import EncodecModel

    from solfa.codecs.weights.encodec_keys import to_original

    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.load_state_dict(to_original(weights))
    model.set_target_bandwidth(0.75 * k)
    return model, (lambda x: model.encode(x)[0][0], lambda codes, n: model.decode([(codes, None)])[..., :n])


def package_dac(weights: dict[str, Tensor], k: int) -> tuple[Any, Work]:
    from dac import DAC

    from solfa.codecs.weights.dac_keys import to_original

    model = DAC(sample_rate=44_100, n_codebooks=k).eval()
    model.load_state_dict(to_original(weights))
    return model, (
        lambda x: model.encode(model.preprocess(x, 44_100))[1],
        lambda codes, n: model.decode(model.quantizer.from_codes(codes)[0])[..., :n],
    )


def timed(work: Callable[[], Any], runs: int) -> tuple[Any, float]:
    """The result, and the median seconds of the runs after one to warm up."""
    result, times = work(), []
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return result, statistics.median(times)


def speed(options: argparse.Namespace, rate: int, work: Work) -> list[dict[str, float]]:
    encode, decode = work
    rows = []
    for seconds in options.seconds:
        x = sound(seconds, rate)
        codes, encoding = timed(lambda x=x: encode(x), options.runs)  # type: ignore[misc]
        # All play the same codes: those of ours, where they are there.
        same = options.folder / f"ours-{seconds:g}.pt"
        played = torch.load(same, weights_only=True) if same.exists() else codes
        audio, decoding = timed(lambda c=played, n=x.shape[-1]: decode(c, n), options.runs)  # type: ignore[misc]
        torch.save(codes.clone(), options.folder / f"{options.implementation}-{seconds:g}.pt")
        torch.save(audio.clone(), options.folder / f"{options.implementation}-{seconds:g}-audio.pt")
        rows.append({"seconds": seconds, "encode": encoding, "decode": decoding})
    return rows


def memory(options: argparse.Namespace, rate: int, work: Work) -> dict[str, Any]:
    """Peak resident MB of the process after one encode, or one decode."""
    failed = ""
    about = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(about["MemAvailable"].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (free * 9 // 10,) * 2)  # to fail here, not to bring the machine down
    samples = int(options.seconds[0] * rate)
    try:
        if options.job == "encode-memory":
            work[0](sound(options.seconds[0], rate))
        else:
            hop = 320 if options.model == "encodec-24khz" else 512
            codes = torch.randint(0, 1024, (1, PRESETS[options.model], -(-samples // hop)))
            work[1](codes, samples)
    except (RuntimeError, MemoryError) as error:
        failed = str(error).splitlines()[0][:80]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak": peak / 1024, "failed": failed}


def gpu(options: argparse.Namespace, codec: Any, work: Work) -> dict[str, float]:
    """Seconds to encode and to decode a folder of 96 recordings of 2 to 30 s, which are in memory."""
    rate = preset(options.model).sample_rate
    lengths = torch.linspace(2, 30, 96)[torch.randperm(96, generator=torch.Generator().manual_seed(0))]
    items = [sound(float(s), rate, seed)[0] for seed, s in enumerate(lengths)]
    k, result = PRESETS[options.model], {"seconds": float(lengths.sum())}
    if options.implementation == "ours":
        from solfa.codecs.device_batch import DeviceBatch

        batch = DeviceBatch(codec, "cuda", lanes=48, chunk=150)
        codes, result["encode"] = timed(
            lambda: {d.index: d.data for d in batch.encode(items, codebooks=k)}, options.runs
        )
        pairs = [(codes[i], item.shape[-1]) for i, item in enumerate(items)]
        _, result["decode"] = timed(lambda: list(batch.decode(pairs)), options.runs)
    else:
        codec.to("cuda")
        encode = lambda: {i: work[0](item[None].cuda()).cpu()[0] for i, item in enumerate(items)}  # noqa: E731
        codes, result["encode"] = timed(encode, options.runs)
        _, result["decode"] = timed(
            lambda: [work[1](codes[i][None].cuda(), item.shape[-1]).cpu() for i, item in enumerate(items)], options.runs
        )
    torch.save(
        torch.cat([codes[i].flatten() for i in range(len(items))]), options.folder / f"{options.implementation}-gpu.pt"
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["weights", "speed", "encode-memory", "decode-memory", "gpu"])
    parser.add_argument("implementation", choices=["ours", "transformers", "package"])
    parser.add_argument("model", choices=list(PRESETS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.job == "weights":
        return make_weights(options.model, options.folder / "weights")
    model, work = load(options.implementation, options.model, options.folder / "weights")
    with torch.inference_mode():
        if options.job == "speed":
            result: Any = speed(options, preset(options.model).sample_rate, work)
        elif options.job == "gpu":
            result = gpu(options, model, work)
        else:
            result = memory(options, preset(options.model).sample_rate, work)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
