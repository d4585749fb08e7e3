"""Survey of text data: the facts that an LLM plan rests on, from a cache when no byte has moved."""

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftspec.data.collect import EXAMPLES
from ftspec.data.lengths import length_facts
from ftspec.data.llm_collect import LlmDataset, collect_text, open_text_sources, source_digests
from ftspec.data.llm_parts import LlmParts, divide_text
from ftspec.data.llm_report import data_warnings
from ftspec.data.llm_request import LlmRequest
from ftspec.data.llm_rows import LlmRow
from ftspec.data.llm_sides import Side, SideMaker, resolve_render
from ftspec.data.llm_sources import TextSource
from ftspec.data.llm_tokenizer import LlmTokenizer, tokenizer_digest
from ftspec.data.rows import Progress, order_hash
from ftspec.data.source_facts import source_facts
from ftspec.data.sources import overall_digest
from ftspec.diagnostics.codes import MODEL_NOT_READABLE, SOURCE_NOT_FOUND
from ftspec.diagnostics.model import Diagnostics, FtspecError
from ftspec.plan.facts import TextLengths
from ftspec.plan.llm_data import LlmDataFacts, RaftFacts
from ftspec.plan.llm_stages import VERSIONS
from ftspec.store.digests import DigestCache

SURVEY_VERSION = 4  # raise it when the same data and settings give other facts
_STAGES = ("ingest", "split", "tokenize")
_TOLD = 100  # rows between reports of progress
_LENGTHS = ("lengths", "prompt_lengths", "completion_lengths", "sequence_lengths")

_last: tuple[str, LlmDataset] | None = None  # the dataset read last in this process, for a following ingest


def survey_llm(
    request: LlmRequest, cache: Path, *, on_progress: Progress | None = None
) -> tuple[LlmDataFacts | None, Diagnostics]:
    """What ingest, split and tokenize will make of the sources.

    Cached at `cache`/survey/<hash>.json by content and settings: a warm survey reads no table. A cache
    that cannot be written or read costs time only. Findings: FTS302, FTS711 and FTS716 for a base that cannot
    make tokens, FTS701 to FTS706, FTS710 to FTS715, FTS750 for rows, and warnings for what is left out.
    """
    sources, found = open_text_sources(request)
    if sources is None:
        return None, found
    digests, reading, more = read_digests(request, sources, cache)
    found.extend(more)
    if digests is None:
        return None, found
    file = cache / "survey" / f"{_key(request, sources, digests, reading)}.json"
    facts = _load(file)
    if facts is None:
        facts = _look(request, sources, digests, reading, found, on_progress)
        if facts is None:
            return None, found
        _save(file, facts)
    found.extend(data_warnings(facts, request.max_seq_length))
    return facts, found


def read_digests(
    request: LlmRequest, sources: tuple[TextSource, ...], cache: Path | None
) -> tuple[list[str] | None, str, Diagnostics]:
    """The digests of the sources, and that of the tokenizer."""
    found = Diagnostics()
    if not (request.base / "tokenizer.json").is_file():
        found.add(
            MODEL_NOT_READABLE,
            f"{request.base}: texts cannot become tokens without tokenizer.json",
            help="save it once with a fast tokenizer (`AutoTokenizer.from_pretrained(...).save_pretrained(...)`)",
            about=("model", "base"),
        )
        return None, "", found
    try:
        with DigestCache(cache) as known:
            digests, more = source_digests(request, sources, known)
            found.extend(more)
            return digests, tokenizer_digest(request.base, known), found
    except OSError as error:
        found.add(SOURCE_NOT_FOUND, f"{error.filename}: {error.strerror}")
        return None, "", found


def _look(
    request: LlmRequest,
    sources: tuple[TextSource, ...],
    digests: list[str],
    reading: str,
    found: Diagnostics,
    on_progress: Progress | None,
) -> LlmDataFacts | None:
    """All rows, split and tokenised. Faults of the base and of the rows are told together."""
    try:
        tokenizer = LlmTokenizer(request.base)
    except FtspecError as error:
        found.extend(error.diagnostics)
        return None
    render, more = resolve_render(request, tokenizer)
    found.extend(more)
    dataset = read_text_dataset(request, sources, digests, found, on_progress)
    if dataset is None or render is None:
        return None
    parts, more = divide_text(dataset, request.split, request.limit)
    found.extend(more)
    if parts is None:
        return None
    sides, more = make_sides(
        request,
        parts.train,
        parts.validation,
        parts.test,
        tokenizer,
        render,
        keep=False,
        on_progress=on_progress,
    )
    found.extend(more)
    if sides is None:
        return None
    return LlmDataFacts(
        **split_counts(dataset, parts),
        **token_counts(request, sides, parts.test),
        render=render,
        tokenizer_digest=reading,
        raft=dataset.raft,
    )


def make_sides(
    request: LlmRequest,
    train: tuple[LlmRow, ...],
    validation: tuple[LlmRow, ...] | None,
    test: tuple[LlmRow, ...],
    tokenizer: LlmTokenizer,
    render: tuple[str, ...],
    *,
    keep: bool,
    on_progress: Progress | None = None,
) -> tuple[dict[str, Side] | None, Diagnostics]:
    """Tokens of train, test and, where it is asked for, validation; only counts unless `keep`."""
    total = len(train) + len(validation or ()) + len(test)
    maker = SideMaker(request, tokenizer, render, keep=keep, on_row=_counter(total, on_progress))
    sides = {"train": maker.make("train", train)}
    if validation is not None:
        sides["validation"] = maker.make("validation", validation)
    sides["test"] = maker.make("test", test)
    maker.finish()
    return (None if maker.found.has_errors else sides), maker.found


def _counter(total: int, on_progress: Progress | None) -> Callable[[], None] | None:
    """Counts rows, and reports every so many of them."""
    if on_progress is None:
        return None
    counted = itertools.count(1)

    def count() -> None:
        done = next(counted)
        if done % _TOLD == 0 or done == total:
            on_progress(done, total, "rows")

    return count


def read_text_dataset(
    request: LlmRequest,
    sources: tuple[TextSource, ...],
    digests: list[str],
    found: Diagnostics,
    on_progress: Progress | None = None,
) -> LlmDataset | None:
    """All rows of the sources. The dataset read last stays in memory until another one is read."""
    global _last  # noqa: PLW0603 - one bounded memo per process
    key = _hash({"settings": _settings(request), "digests": digests, "labels": _labels(sources)})
    if _last is not None and _last[0] == key:
        return _last[1]
    dataset, more = collect_text(request, sources, digests, on_progress)
    found.extend(more)
    if dataset is not None:
        _last = (key, dataset)
    return dataset


def split_counts(dataset: LlmDataset, parts: LlmParts) -> dict[str, Any]:
    """The fields of LlmDataFacts that are known after the split."""
    return {
        "digest": overall_digest([source.digest for source in dataset.sources]),
        "sources": dataset.sources,
        "train_rows_available": parts.available,
        "split_by": parts.mode,
        "train_groups": _groups(parts.train),
        "test_groups": _groups(parts.test),
        "duplicates_removed": dataset.duplicates_removed,
        "overlap_dropped": parts.dropped,
        "leaked_prompts": parts.leakage.queries,
        "leaked_documents": parts.leakage.positives,
        "leak_examples": parts.leakage.examples,
        "slices": tuple(sorted({name for row in parts.test for name, _ in row.slices})),
    }


def token_counts(request: LlmRequest, sides: dict[str, Side], test: tuple[LlmRow, ...]) -> dict[str, Any]:
    """The fields of LlmDataFacts that need tokens."""
    train, tested = sides["train"], sides["test"]
    left = set(tested.ids)

    def measure(counts: list[int]) -> TextLengths:
        # Batches are drawn at random, so their padding is taken over a random order.
        order = sorted(range(len(counts)), key=lambda n: order_hash(request.split.seed, "lengths", str(n)))
        return length_facts(
            [counts[place] for place in order],
            max_seq_length=request.max_seq_length,
            batch_size=request.global_batch_size,
        )

    return {
        "train_rows": train.kept,
        "validation_rows": sides["validation"].kept if "validation" in sides else 0,
        "test_rows": tested.kept,
        "sequences": len(train.sequence_lengths),
        "dropped_too_long": sum(side.too_long for side in sides.values()),
        "truncated": sum(side.truncated for side in sides.values()),
        "prompt_too_long": sum(side.prompt_too_long for side in sides.values()),
        "template_refused": sum(side.refused for side in sides.values()),
        "run_together": sum(side.run_together for side in sides.values()),
        "test_dropped": tested.dropped,
        "raft_rows": sum(side.raft_rows for side in sides.values()),
        "raft_oracle_present": sum(side.raft_present for side in sides.values()),
        "raft_refusals": sum(side.raft_refusals for side in sides.values()),
        "control_rows": sum(side.control_rows for side in sides.values()),
        "control_examples": tuple(itertools.chain(*(side.control_examples for side in sides.values())))[
            :EXAMPLES
        ],
        "lengths": measure(train.lengths),
        "prompt_lengths": measure(train.prompts),
        "completion_lengths": measure(train.completions),
        "sequence_lengths": measure(train.sequence_lengths),
        "train_tokens": train.tokens,
        "trained_tokens": train.trained,
        "test_tokens": tested.tokens,
        "tested_tokens": tested.trained,
        "longest_prompt": tested.longest_prompt,
        "test_with_answers": sum(1 for row in test if row.id in left and row.answers),
        "test_raft": sum(1 for row in test if row.id in left and row.raft is not None),
    }


def _groups(rows: tuple[LlmRow, ...]) -> int:
    return len({row.group for row in rows if row.group is not None})


def _labels(sources: tuple[TextSource, ...]) -> list[str]:
    return [source.label for source in sources]


def _settings(request: LlmRequest) -> dict[str, Any]:
    """Settings of ingest beside what a source's digest covers."""
    return {
        "num_train": len(request.train),
        "filters": asdict(request.filters),
        "on_error": request.on_error,
        "slices": sorted(request.slices),
    }


def _key(request: LlmRequest, sources: tuple[TextSource, ...], digests: list[str], tokenizer: str) -> str:
    document = {
        "kind": "LLM",
        "versions": [SURVEY_VERSION, *(VERSIONS[stage] for stage in _STAGES)],
        "settings": _settings(request),
        "split": asdict(request.split),
        "limit": asdict(request.limit),
        "labels": _labels(sources),
        "digests": digests,
        "tokenizer": tokenizer,
        "render": [source.render for source in request.sources],
        **{
            name: getattr(request, name)
            for name in ("max_seq_length", "train_on", "packing", "too_long", "global_batch_size")
        },
    }
    return _hash(document)[:40]


def _hash(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _load(file: Path) -> LlmDataFacts | None:
    """Facts of an earlier survey; None when there are none, or they have another shape."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return llm_facts_from_json(document) if isinstance(document, dict) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def llm_facts_from_json(document: dict[str, Any]) -> LlmDataFacts:
    """The inverse of `asdict`. Raises TypeError or KeyError for another shape."""
    fields = {key: _tuples(value) for key, value in document.items()}
    fields["sources"] = tuple(source_facts(source) for source in document["sources"])
    for name in _LENGTHS:
        fields[name] = TextLengths(**document[name])
    if document["raft"] is not None:
        fields["raft"] = RaftFacts(**_frozen(document["raft"]))
    return LlmDataFacts(**fields)


def _frozen(document: dict[str, Any]) -> dict[str, Any]:
    return {key: _tuples(value) for key, value in document.items()}


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _save(file: Path, facts: LlmDataFacts) -> None:
    text = json.dumps(asdict(facts), sort_keys=True, ensure_ascii=False, indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        Path(temporary).replace(file)
    except OSError:
        return  # a read-only project can still be planned
