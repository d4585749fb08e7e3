"""Fine-tune a sentence-transformers model on pairs, written by hand: what a spec is compared with.

    python benchmarks/plain_script.py --train train.jsonl --base MODEL --out FOLDER

`train.jsonl` has a query and its positive on each line. In-batch loss with a temperature of 0.05,
batch 32, 128 tokens, AdamW, linear schedule with a tenth of the steps to warm up, fp32.
"""

import argparse
import json
import time
from pathlib import Path

from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.losses import MultipleNegativesRankingLoss


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--warmup-steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()

    with options.train.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    dataset = Dataset.from_dict(
        {"query": [row["query"] for row in rows], "positive": [row["positive"] for row in rows]}
    )
    model = SentenceTransformer(options.base, device="cpu")
    model.max_seq_length = options.max_seq_length
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(options.out / "trainer"),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        seed=options.seed,
        use_cpu=True,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_drop_last=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=dataset, loss=MultipleNegativesRankingLoss(model, scale=20)
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    model.save_pretrained(str(options.out / "model"))
    result = {"seconds": seconds, "steps": trainer.state.global_step}
    (options.out / "result.json").write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
