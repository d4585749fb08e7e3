"""Measure what share of the stated peak training and encoding reach on this machine.

    OMP_NUM_THREADS=2 python benchmarks/calibrate_time.py [--steps 8] [--precision fp32|bf16] [--out FILE]

Prints, for all-MiniLM-L6-v2 at batch 32 and 128 tokens, operations per second, their share of the
machine's estimated peak, and the ratio of predicted to measured seconds with the shares in
`ftspec.estimate.time`.
"""

import sys
import time
from pathlib import Path

import torch
from measuring import Check, Report, parser
from sentence_transformers import SentenceTransformer

from ftspec.estimate.time import CPU_BF16_SPEEDUP, CPU_ENCODE_SHARE, CPU_TRAIN_SHARE, text_flops
from ftspec.hardware.detect import detect
from ftspec.models.find import find_model

BATCH, TOKENS = 32, 128


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--steps", type=int, default=8)
    options.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    arguments = options.parse_args()
    hardware = detect()
    facts, found = find_model("all-MiniLM-L6-v2", None, folder=Path.cwd(), store=None)
    if facts is None:
        raise SystemExit("; ".join(item.detail for item in found))
    model = SentenceTransformer(facts.location, device="cpu")
    peak = hardware.cpu_gflops_fp32 * 1e9
    print(f"{torch.get_num_threads()} threads, estimated peak {peak / 1e9:.0f} GFLOP/s")

    forward = 2 * BATCH * text_flops(facts, TOKENS)
    step = measure_training(model, arguments.steps, arguments.precision == "bf16")
    bf16 = CPU_BF16_SPEEDUP if arguments.precision == "bf16" else 1.0
    encoding = measure_encoding(model, arguments.steps)
    report = Report(benchmark="calibrate_time", numbers={"train_seconds": step, "encode_seconds": encoding})
    report.checks = [
        check(f"train {arguments.precision}", 3 * forward, step, peak, CPU_TRAIN_SHARE * bf16),
        check("encode fp32", forward, encoding, peak, CPU_ENCODE_SHARE),
    ]
    return report.finish(arguments.out)


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(1000, 30000, (BATCH, TOKENS))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}


def measure_training(model: SentenceTransformer, steps: int, bf16: bool) -> float:
    """Seconds of one step of two columns with an in-batch loss: the median, after one to warm up."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    seconds = []
    for _ in range(steps + 1):
        query, document = inputs(), inputs()
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            scores = 20 * model(query)["sentence_embedding"] @ model(document)["sentence_embedding"].T
            loss = torch.nn.functional.cross_entropy(scores.float(), torch.arange(BATCH))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[steps // 2]


def measure_encoding(model: SentenceTransformer, steps: int) -> float:
    """Seconds of encoding as many texts as a training step has: the median, after one to warm up."""
    model.eval()
    seconds = []
    with torch.inference_mode():
        for _ in range(steps + 1):
            batches = [inputs(), inputs()]
            start = time.perf_counter()
            for batch in batches:
                model(batch)
            seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[steps // 2]


def check(name: str, flops: float, seconds: float, peak: float, share: float) -> Check:
    rate = flops / seconds
    return Check(
        name=f"{name}: predicted / measured seconds",
        value=flops / (peak * share) / seconds,
        unit="x",
        note=f"{seconds:.3f} s a batch, {rate / 1e9:.1f} GFLOP/s, share {rate / peak:.2f}",
    )


if __name__ == "__main__":
    sys.exit(main())
