"""Embeddings of both models → rankings → values per query → evidence."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.evaluate.compare import compare, compare_slices, rounded
from ftspec.evaluate.evidence import (
    DimensionSummary,
    Evidence,
    Example,
    Latency,
    MetricSummary,
    QueryScores,
    Summary,
    write_summary,
)
from ftspec.evaluate.lines import read_lines, write_lines
from ftspec.evaluate.metrics import Judgements, per_query
from ftspec.evaluate.rank import Ranking, rank
from ftspec.evaluate.significance import TIE
from ftspec.plan.embedding import EmbeddingPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating]

RANKING_DEPTH = 10  # documents of each ranking that are kept in rankings.jsonl
EXAMPLES = 3  # biggest gains and losses that are kept for people
EXAMPLE_DEPTH = 3
EXAMPLE_CHARS = 200

Values = dict[str, tuple[float, ...]]  # metric -> values in the order of the queries


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSet:
    """The held-out side of a split: what both models are asked, and what is right."""

    __test__ = False  # not a test class

    query_ids: tuple[str, ...]
    texts: tuple[str, ...]
    slices: tuple[Mapping[str, str], ...]
    document_ids: tuple[str, ...]
    judgements: Judgements
    exclude: tuple[frozenset[str], ...] | None


def evaluate_retrieval(
    plan: EmbeddingPlan,
    split_dir: Path,
    base_dir: Path,
    tuned_dir: Path,
    out_dir: Path,
    *,
    base_similarity: str | None = None,
) -> Evidence:
    """Score the base and the tuned embeddings, and write scores.jsonl, summary.json, rankings.jsonl.

    `split_dir` is the split artefact; `base_dir` and `tuned_dir` hold queries.npy and corpus.npy in
    the order of its test files, and latency.json. `base_similarity` None: the planned one. Writes into
    `out_dir`, which exists. The same inputs give the same bytes.
    """
    settings = plan.evaluation
    test = read_test_set(split_dir)
    similarity = {"base": base_similarity or plan.model.similarity, "tuned": plan.model.similarity}
    dimensions = settings.dimensions or (_width(tuned_dir),)

    values: dict[int, dict[str, Values]] = {}
    rankings: dict[str, tuple[Ranking, ...]] = {}
    for variant, folder in (("base", base_dir), ("tuned", tuned_dir)):
        queries, corpus = _load(folder / "queries.npy"), _load(folder / "corpus.npy")
        for place, dimension in enumerate(dimensions):
            # Another model may be the baseline, with a width of its own.
            found = rank(
                queries,
                corpus,
                query_ids=test.query_ids,
                document_ids=test.document_ids,
                top_k=settings.top_k,
                cosine=similarity[variant] == "cosine",
                dimension=None if place == 0 else min(dimension, queries.shape[1]),
                exclude=test.exclude,
            )
            values.setdefault(dimension, {})[variant] = per_query(settings.metrics, test.judgements, found)
            if place == 0:
                rankings[variant] = found

    full = values[dimensions[0]]
    best, worst = _examples(settings.primary, test, full, rankings)

    def compared(variants: Mapping[str, Values]) -> tuple[MetricSummary, ...]:
        return compare(
            variants,
            range(len(test.query_ids)),
            metrics=settings.metrics,
            bootstrap=settings.bootstrap,
            scope="all",
        )

    metrics = compared(full)
    summary = Summary(
        primary=settings.primary,
        queries=len(test.query_ids),
        documents=len(test.document_ids),
        top_k=settings.top_k,
        confidence=settings.bootstrap.confidence,
        resamples=settings.bootstrap.resamples,
        seed=settings.bootstrap.seed,
        metrics=metrics,
        slices=compare_slices(
            full,
            test.slices,
            columns=settings.slices,
            metrics=settings.metrics,
            bootstrap=settings.bootstrap,
        ),
        dimensions=tuple(
            DimensionSummary(
                dimension=dimension,
                metrics=metrics if place == 0 else compared(values[dimension]),
            )
            for place, dimension in enumerate(dimensions)
        ),
        base_latency=read_latency(base_dir),
        tuned_latency=read_latency(tuned_dir),
        improvements=best,
        regressions=worst,
    )
    write_lines(out_dir / "scores.jsonl", _score_rows(settings.metrics, test, values))
    write_lines(out_dir / "rankings.jsonl", _ranking_rows(rankings))
    write_summary(out_dir, summary)
    scores = QueryScores(query_ids=test.query_ids, base=full["base"], tuned=full["tuned"])
    return Evidence(summary=summary, scores=scores)


def read_test_set(split_dir: Path) -> TestSet:
    """Read `test/` of a split. With `exclude_self` in report.json, a query is never answered by
    itself: a document with its text is not ranked, unless it is judged relevant."""
    queries = list(read_lines(split_dir / "test" / "queries.jsonl"))
    corpus = list(read_lines(split_dir / "test" / "corpus.jsonl"))
    judgements: dict[str, dict[str, int]] = {}
    for row in read_lines(split_dir / "test" / "qrels.jsonl"):
        judgements.setdefault(row["query_id"], {})[row["document_id"]] = int(row["grade"])
    report = split_dir / "report.json"
    exclude: tuple[frozenset[str], ...] | None = None
    if report.exists() and json.loads(report.read_text(encoding="utf-8")).get("exclude_self"):
        by_text: dict[str, set[str]] = {}
        for row in corpus:
            by_text.setdefault(row["text"], set()).add(row["id"])
        exclude = tuple(
            frozenset(
                id for id in by_text.get(row["text"], set()) if judgements.get(row["id"], {}).get(id, 0) == 0
            )
            for row in queries
        )
    return TestSet(
        query_ids=tuple(row["id"] for row in queries),
        texts=tuple(row["text"] for row in queries),
        slices=tuple(row.get("slices") or {} for row in queries),
        document_ids=tuple(row["id"] for row in corpus),
        judgements=judgements,
        exclude=exclude,
    )


def read_latency(folder: Path) -> Latency | None:
    """Percentiles of latency.json of an encode stage; None when nothing was measured."""
    import numpy as np

    path = folder / "latency.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    measured = document["latency_ms"]
    if not measured:
        return None
    return Latency(
        queries=len(measured),
        mean_ms=rounded(np.mean(measured)),
        p50_ms=rounded(np.percentile(measured, 50)),
        p95_ms=rounded(np.percentile(measured, 95)),
        device=str(document.get("device", "")),
        threads=document.get("threads"),
    )


def _examples(
    primary: str,
    test: TestSet,
    values: Mapping[str, Values],
    rankings: Mapping[str, Sequence[Ranking]],
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """The biggest improvements and the biggest regressions; equal ones in the order of the queries."""
    base, tuned = values["base"][primary], values["tuned"][primary]
    gains = [after - before for before, after in zip(base, tuned, strict=True)]

    def example(row: int) -> Example:
        id = test.query_ids[row]
        text = test.texts[row]
        relevant = [document for document, grade in test.judgements[id].items() if grade > 0]
        return Example(
            query_id=id,
            text=text if len(text) <= EXAMPLE_CHARS else text[: EXAMPLE_CHARS - 1] + "…",
            base=rounded(base[row]),
            tuned=rounded(tuned[row]),
            relevant=tuple(relevant[:EXAMPLE_DEPTH]),
            base_top=rankings["base"][row].documents[:EXAMPLE_DEPTH],
            tuned_top=rankings["tuned"][row].documents[:EXAMPLE_DEPTH],
        )

    best = sorted((row for row, gain in enumerate(gains) if gain > TIE), key=lambda row: (-gains[row], row))
    worst = sorted((row for row, gain in enumerate(gains) if gain < -TIE), key=lambda row: (gains[row], row))
    return tuple(map(example, best[:EXAMPLES])), tuple(map(example, worst[:EXAMPLES]))


def _score_rows(
    metrics: Sequence[str], test: TestSet, values: Mapping[int, Mapping[str, Values]]
) -> Iterator[dict[str, Any]]:
    for dimension, variants in values.items():
        for variant in ("base", "tuned"):
            for row, id in enumerate(test.query_ids):
                for metric in metrics:
                    yield {
                        "variant": variant,
                        "dimension": dimension,
                        "query_id": id,
                        "metric": metric,
                        "value": variants[variant][metric][row],
                        "slices": dict(test.slices[row]),
                    }


def _ranking_rows(rankings: Mapping[str, Sequence[Ranking]]) -> Iterator[dict[str, Any]]:
    for variant in ("base", "tuned"):
        for ranking in rankings[variant]:
            yield {
                "variant": variant,
                "query_id": ranking.query_id,
                "documents": list(ranking.documents[:RANKING_DEPTH]),
                "scores": [round(score, 6) for score in ranking.scores[:RANKING_DEPTH]],
            }


def _load(path: Path) -> "Vectors":
    """Memory-mapped: the corpus is read block by block."""
    import numpy as np

    vectors: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def _width(folder: Path) -> int:
    return int(_load(folder / "queries.npy").shape[1])
