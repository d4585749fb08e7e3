"""What both models made of the held-out side of a split → evidence, by the kind of plan."""

from pathlib import Path

from ftspec.evaluate.evidence import Evidence
from ftspec.evaluate.retrieval import evaluate_retrieval
from ftspec.evaluate.text import evaluate_text
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan


def evaluate(
    plan: Plan,
    split_dir: Path,
    base_dir: Path,
    tuned_dir: Path,
    out_dir: Path,
    *,
    base_similarity: str | None = None,
) -> Evidence:
    """Compare the artefacts of both models, and write scores.jsonl, summary.json and what people may look at.

    `base_dir` and `tuned_dir`: encode_base and encode_tuned, or score_base and score_tuned. `out_dir`
    exists. `base_similarity`: of the embeddings in `base_dir`, where they are of a model that is read in
    another way than planned. The same inputs give the same bytes.
    """
    if isinstance(plan, LlmPlan):
        return evaluate_text(plan, split_dir, base_dir, tuned_dir, out_dir)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return evaluate_retrieval(plan, split_dir, base_dir, tuned_dir, out_dir, base_similarity=base_similarity)
