"""How many texts are encoded at once for the evidence."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.estimate.memory import encode_memory
from ftspec.passes.context import Context, span_of
from ftspec.passes.set_memory_limit import usable_bytes
from ftspec.passes.units import gib
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Rewrite
from ftspec.plan.reasons import Reason

FIELD = "execution.encode_batch_size"
MOST_ON_CPU = 32  # larger batches only pad more there
MOST_ON_ACCELERATOR = 256


def pick_encode_batch(plan: EmbeddingPlan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.encode_batch_size`: a power of two. Results do not depend on it."""
    run, facts = plan.execution, plan.data.facts
    limit = usable_bytes(plan, context)
    size = MOST_ON_CPU if run.device == "cpu" else MOST_ON_ACCELERATOR
    while True:
        needed = encode_memory(
            plan.model.facts,
            sequence_length=plan.model.max_seq_length,
            batch_size=size,
            texts=facts.test_documents + facts.test_queries,
            device=run.device or "cpu",
            malloc_tuned="MALLOC_TRIM_THRESHOLD_" in (run.environment or {}),
        ).peak_bytes
        if needed <= limit or size == 1:
            break
        size //= 2
    if needed > limit:
        yield Diagnostic(
            code=codes.DOES_NOT_FIT,
            detail=f"encoding one text at a time needs {gib(needed)}, may use {gib(limit)}",
            primary=span_of(context, "execution.memory_limit_bytes"),
            help="use a smaller base model, fewer test documents (`data.limit.test_documents`), or more memory",
        )
        return
    yield Rewrite(
        field=FIELD,
        value=size,
        reason=Reason.ENCODE_BATCH_FITS,
        facts=FrozenMap({"needed_bytes": needed, "limit_bytes": limit, "device": run.device}),
    )
