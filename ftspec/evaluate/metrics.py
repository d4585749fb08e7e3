"""Values of ranking metrics per query, by ir-measures."""

from collections.abc import Mapping, Sequence

from ftspec.evaluate.rank import Ranking
from ftspec.plan.metrics import parse_metric

# Names of the spec -> names of ir-measures. `AP` per query is what averages to MAP, `RR` to MRR.
_MEASURES = {
    "ndcg": "nDCG",
    "recall": "R",
    "mrr": "RR",
    "success": "Success",
    "precision": "P",
    "map": "AP",
}

Judgements = Mapping[str, Mapping[str, int]]  # query id -> document id -> grade; relevant: above 0


def per_query(
    metrics: Sequence[str], judgements: Judgements, rankings: Sequence[Ranking]
) -> dict[str, tuple[float, ...]]:
    """Values in [0, 1] of each metric, in the order of `rankings`.

    nDCG takes the grade itself as gain and log2(rank + 1) as discount (Järvelin and Kekäläinen
    2002), as trec_eval and BEIR do; the other metrics take every grade above 0 as relevant. Order
    is the order of the ranking: the measures see falling whole numbers instead of scores, because
    trec_eval would break ties by its own rule.
    """
    import ir_measures

    measures = {name: ir_measures.parse_measure(_measure_name(name)) for name in metrics}
    ids = [ranking.query_id for ranking in rankings]
    assert len(set(ids)) == len(ids), "query ids are unique"
    for id in ids:
        grades = judgements.get(id, {})
        assert any(grade > 0 for grade in grades.values()), f"query {id} has no relevant document"

    qrels = {id: dict(judgements[id]) for id in ids}
    run = {
        ranking.query_id: {
            document: float(len(ranking.documents) - place)
            for place, document in enumerate(ranking.documents)
        }
        for ranking in rankings
    }
    found: dict[tuple[str, str], float] = {}
    for value in ir_measures.iter_calc(list(measures.values()), qrels, run):
        found[str(value.measure), value.query_id] = float(value.value)
    # A query whose ranking is empty (one document, excluded) retrieved nothing.
    empty = {ranking.query_id for ranking in rankings if not ranking.documents}
    return {
        name: tuple(0.0 if id in empty else found[str(measure), id] for id in ids)
        for name, measure in measures.items()
    }


def _measure_name(name: str) -> str:
    metric = parse_metric(name)
    assert metric is not None, f"{name} is not a metric; `check_spec` refuses it"
    return f"{_MEASURES[metric.name]}@{metric.k}"
