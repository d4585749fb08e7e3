"""What a plan would need, asked of the closed forms in `estimate` for one way to run it."""

from dataclasses import dataclass, replace

from ftspec.estimate.memory import memory_inputs, training_memory
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import MemoryEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to take an optimizer step of the whole batch; the product of the first two is the batch."""

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


def with_candidate(plan: EmbeddingPlan, candidate: Candidate) -> EmbeddingPlan:
    return replace(
        plan,
        execution=replace(
            plan.execution,
            per_device_train_batch_size=candidate.per_device_train_batch_size,
            gradient_accumulation_steps=candidate.gradient_accumulation_steps,
            cached_loss=candidate.cached_loss,
            mini_batch_size=candidate.mini_batch_size,
            gradient_checkpointing=candidate.gradient_checkpointing,
        ),
    )


def predict_memory(plan: EmbeddingPlan, candidate: Candidate) -> MemoryEstimate:
    """Peak of the training process, by part, in bytes."""
    return training_memory(memory_inputs(with_candidate(plan, candidate)))
