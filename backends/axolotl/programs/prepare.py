"""Writes the rows of all steps for axolotl, which reads them as they are: tokens, and -100 for untrained ones.

prepared/train.jsonl holds the rows in the order in which they are trained, those of one step behind
those of the other; what was packed is taken apart, for axolotl packs by itself.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from events import CheckFailedError
from llm_rows import TokenRow, read_token_rows
from llm_settings import Settings, read_settings
from order import training_order
from strict import BadConfigError

UNTRAINED = -100  # the label that a loss of torch leaves out
FOLDER = "prepared"


def prepare(run: Path, settings: Settings) -> None:
    """Raises CheckFailedError FTS606 for rows that no tokenise stage writes."""
    data, limit = run / settings.data.folder, settings.model.max_seq_length
    rows = read_token_rows(data / "train.jsonl", limit)
    count = settings.train.total_steps * settings.train.global_batch_size
    order = training_order(len(rows), settings.train.seed, count)
    write_rows(run / FOLDER / "train.jsonl", (rows[index] for index in order))
    validation = data / "validation.jsonl"
    if validation.is_file():
        write_rows(run / FOLDER / "validation.jsonl", read_token_rows(validation, limit))


def write_rows(path: Path, rows: Iterable[TokenRow]) -> None:
    """Whole or not at all: an interrupted run finds no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in rows:
            for line in lines_of(row):
                file.write(json.dumps(line) + "\n")
    partial.replace(path)


def lines_of(row: TokenRow) -> Iterator[dict[str, list[int]]]:
    """One line for each row that is packed in this one."""
    ends = (*row.segments[1:], len(row.input_ids))
    for start, end in zip(row.segments, ends, strict=True):
        tokens, mask = row.input_ids[start:end], row.mask[start:end]
        if not any(mask):
            raise CheckFailedError("FTS606", f"row {row.id} holds a part with no token to train")
        yield {
            "input_ids": list(tokens),
            "attention_mask": [1] * len(tokens),
            "labels": [token if trained else UNTRAINED for token, trained in zip(tokens, mask, strict=True)],
        }


def main() -> int:
    """Exit codes as of other run folders: 0 done, 20 a check failed."""
    run = Path(__file__).resolve().parent
    try:
        prepare(run, read_settings(run / "config.json"))
    except (CheckFailedError, BadConfigError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 20
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
