"""What a plan would need, asked of the closed forms in `estimate` for one way to run it."""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ftspec.estimate.memory import memory_inputs, training_memory
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import MemoryEstimate, Plan
from ftspec.target.model import Target

P = TypeVar("P", bound=Plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to take an optimizer step of the whole batch; the product of the first two, times the number of
    processes, is the batch. `cached_loss` and `mini_batch_size` belong to embedding models."""

    per_device_train_batch_size: int
    gradient_accumulation_steps: int = 1
    cached_loss: bool = False
    mini_batch_size: int
    gradient_checkpointing: bool = False

    def describe(self) -> str:
        parts = [f"batch {self.per_device_train_batch_size}"]
        if self.gradient_accumulation_steps > 1:
            parts.append(f"× {self.gradient_accumulation_steps} accumulated")
        if self.cached_loss:
            parts.append(f"in mini-batches of {self.mini_batch_size} with a cached loss")
        if self.gradient_checkpointing:
            parts.append("and gradient checkpointing" if self.cached_loss else "with gradient checkpointing")
        return " ".join(parts)


def whole_batch(plan: Plan) -> Candidate:
    """The step as it is where memory is no question: each process takes its part at once."""
    size = plan.train.global_batch_size // (plan.execution.num_processes or 1)
    return Candidate(per_device_train_batch_size=size, mini_batch_size=size)


def with_candidate(plan: P, candidate: Candidate) -> P:
    """Raises nothing: fields that the kind of the plan does not have are left out."""
    cached: dict[str, Any] = (
        {"cached_loss": candidate.cached_loss, "mini_batch_size": candidate.mini_batch_size}
        if isinstance(plan, EmbeddingPlan)
        else {}
    )
    return replace(
        plan,
        execution=replace(
            plan.execution,
            per_device_train_batch_size=candidate.per_device_train_batch_size,
            gradient_accumulation_steps=candidate.gradient_accumulation_steps,
            gradient_checkpointing=candidate.gradient_checkpointing,
            **cached,
        ),
    )


def predict_memory(plan: Plan, candidate: Candidate, target: Target) -> MemoryEstimate:
    """Peak of one training process, by part, in bytes."""
    return planned_memory(with_candidate(plan, candidate), target)


def planned_memory(plan: Plan, target: Target) -> MemoryEstimate:
    """The same for the way to run it that the plan holds."""
    if isinstance(plan, EmbeddingPlan):
        return training_memory(memory_inputs(plan))
    assert isinstance(plan, LlmPlan), plan.kind
    from ftspec.estimate.decoder import decoder_inputs, decoder_training_memory

    return decoder_training_memory(decoder_inputs(plan, target.memory))


def predict_peak(plan: Plan, candidate: Candidate, target: Target) -> int:
    """Bytes that all processes of the run take of the memory that their limit is about: processes on a CPU
    share it, those on accelerators have one each."""
    return _sharing(plan) * predict_memory(plan, candidate, target).peak_bytes


def predict_scoring_peak(plan: LlmPlan, rows: int, target: Target) -> int:
    """The same of scoring, with `rows` held-out rows at once in each process."""
    from ftspec.estimate.decoder import scoring_memory

    return _sharing(plan) * scoring_memory(plan, target.memory, rows).peak_bytes


def _sharing(plan: Plan) -> int:
    """Processes that take of the same limit."""
    return (plan.execution.num_processes or 1) if plan.execution.device == "cpu" else 1
