"""Formats of table files by the endings of their names."""

from pathlib import PurePosixPath

FORMATS = ("jsonl", "json", "csv", "parquet")
_ENDINGS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
}  # fmt: skip


def format_of_name(name: str) -> str | None:
    """The format of `rows.jsonl` or `rows.csv.gz`; None for an ending that tells none."""
    return _ENDINGS.get(PurePosixPath(name.removesuffix(".gz")).suffix.lower())
