"""Embeddings of both models → rankings → values per query → evidence."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.evaluate.evidence import (
    DIGITS,
    DimensionSummary,
    Estimate,
    Evidence,
    Example,
    Latency,
    MetricSummary,
    QueryScores,
    SliceSummary,
    Summary,
    summary_document,
)
from ftspec.evaluate.metrics import Judgements, per_query
from ftspec.evaluate.rank import Ranking, rank
from ftspec.evaluate.significance import (
    TIE,
    bootstrap_intervals,
    holm,
    permutation_p_values,
    wins_ties_losses,
)
from ftspec.plan.model import Bootstrap, EvaluationPlan, Plan

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


def evaluate(plan: Plan, split_dir: Path, base_dir: Path, tuned_dir: Path, out_dir: Path) -> Evidence:
    """Score the base and the tuned embeddings, and write scores.jsonl, summary.json, rankings.jsonl.

    `split_dir` is the split artefact; `base_dir` and `tuned_dir` hold queries.npy and corpus.npy in
    the order of its test files, and latency.json. Writes into `out_dir`, which exists. The same
    inputs give the same bytes.
    """
    settings = plan.evaluation
    test = read_test_set(split_dir)
    cosine = plan.model.similarity == "cosine"
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
                cosine=cosine,
                dimension=None if place == 0 else min(dimension, queries.shape[1]),
                exclude=test.exclude,
            )
            values.setdefault(dimension, {})[variant] = per_query(settings.metrics, test.judgements, found)
            if place == 0:
                rankings[variant] = found

    full = values[dimensions[0]]
    scores = QueryScores(query_ids=test.query_ids, base=full["base"], tuned=full["tuned"])
    best, worst = _examples(settings.primary, test, full, rankings)
    everything = range(len(test.query_ids))
    metrics = _compare(settings, full, everything, "all")
    summary = Summary(
        primary=settings.primary,
        queries=len(test.query_ids),
        documents=len(test.document_ids),
        top_k=settings.top_k,
        confidence=settings.bootstrap.confidence,
        resamples=settings.bootstrap.resamples,
        seed=settings.bootstrap.seed,
        metrics=metrics,
        slices=_slices(settings, full, test),
        dimensions=tuple(
            DimensionSummary(
                dimension=dimension,
                metrics=metrics if place == 0 else _compare(settings, values[dimension], everything, "all"),
            )
            for place, dimension in enumerate(dimensions)
        ),
        base_latency=read_latency(base_dir),
        tuned_latency=read_latency(tuned_dir),
        improvements=best,
        regressions=worst,
    )
    _write_lines(out_dir / "scores.jsonl", _score_rows(settings.metrics, test, values))
    _write_lines(out_dir / "rankings.jsonl", _ranking_rows(rankings))
    text = json.dumps(summary_document(summary), indent=1, ensure_ascii=False, allow_nan=False)
    (out_dir / "summary.json").write_text(text + "\n", encoding="utf-8")
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
        mean_ms=_round(np.mean(measured)),
        p50_ms=_round(np.percentile(measured, 50)),
        p95_ms=_round(np.percentile(measured, 95)),
        device=str(document.get("device", "")),
        threads=document.get("threads"),
    )


def interval_seed(bootstrap: Bootstrap, scope: str) -> int:
    """Seed of one scope (all queries, one slice): it does not depend on which others are computed."""
    return zlib.crc32(f"{bootstrap.seed}:{scope}".encode())


def _compare(
    settings: EvaluationPlan, values: Mapping[str, Values], rows: Sequence[int], scope: str
) -> tuple[MetricSummary, ...]:
    """Compare both models on the queries `rows`, for all metrics over the same resamples."""
    import numpy as np

    names = settings.metrics
    chosen = np.fromiter(rows, dtype=np.int64)
    base = np.column_stack([values["base"][name] for name in names])[chosen]
    tuned = np.column_stack([values["tuned"][name] for name in names])[chosen]
    gains = tuned - base
    seed = interval_seed(settings.bootstrap, scope)
    intervals = bootstrap_intervals(
        np.hstack([base, tuned, gains]),
        resamples=settings.bootstrap.resamples,
        confidence=settings.bootstrap.confidence,
        seed=seed,
    )
    p_values = permutation_p_values(gains, resamples=settings.bootstrap.resamples, seed=seed)

    def estimate(block: "Vectors", which: int, place: int) -> Estimate:
        low, high = intervals[which * len(names) + place]
        return Estimate(mean=_round(block[:, place].mean()), low=_round(low), high=_round(high))

    found = []
    for place, name in enumerate(names):
        count = wins_ties_losses(gains[:, place].tolist())
        found.append(
            MetricSummary(
                metric=name,
                base=estimate(base, 0, place),
                tuned=estimate(tuned, 1, place),
                gain=estimate(gains, 2, place),
                p_value=_round(p_values[place]),
                wins=count.wins,
                ties=count.ties,
                losses=count.losses,
            )
        )
    return tuple(found)


def _slices(
    settings: EvaluationPlan, values: Mapping[str, Values], test: TestSet
) -> tuple[SliceSummary, ...]:
    """One summary per value of each slice column, largest first; Holm's correction over the values of
    a column, per metric. Queries without the column stand in no slice."""
    found: list[SliceSummary] = []
    for column in settings.slices:
        rows: dict[str, list[int]] = {}
        for row, slices in enumerate(test.slices):
            if column in slices:
                rows.setdefault(str(slices[column]), []).append(row)
        order = sorted(rows, key=lambda value: (-len(rows[value]), value))
        compared = [_compare(settings, values, rows[value], f"{column}={value}") for value in order]
        adjusted = [holm([metrics[m].p_value for metrics in compared]) for m in range(len(settings.metrics))]
        for place, value in enumerate(order):
            metrics = tuple(
                replace(metric, p_adjusted=_round(adjusted[m][place]))
                for m, metric in enumerate(compared[place])
            )
            found.append(SliceSummary(column=column, value=value, queries=len(rows[value]), metrics=metrics))
    return tuple(found)


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
            base=_round(base[row]),
            tuned=_round(tuned[row]),
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


def _round(value: "float | np.floating") -> float:
    return round(float(value), DIGITS) + 0.0  # no negative zero


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON Lines file of ours."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
