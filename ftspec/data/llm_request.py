"""What the data room is asked for by a plan of `kind: LLM`, in plan types."""

from dataclasses import dataclass
from pathlib import Path

from ftspec.plan.llm_data import LlmFilters, LlmLimit, LlmSource
from ftspec.plan.model import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmRequest:
    """Everything that decides which rows there are, where they go, and which tokens they become.

    `folder` is the folder that relative paths start from; it enters no digest, nor does `synth`, the
    cache that synthetic rows are read from. `slices` names columns to carry along for sliced results.
    `base` is the folder of the base model: its tokenizer.json, tokenizer_config.json and chat template.
    `global_batch_size` only shapes `TextLengths.padded_mean`.
    """

    folder: Path
    train: tuple[LlmSource, ...]
    evaluation: tuple[LlmSource, ...]  # empty: held out from train
    filters: LlmFilters
    limit: LlmLimit
    split: Split
    on_error: str  # fail | skip
    slices: tuple[str, ...]
    synth: Path
    base: Path
    max_seq_length: int
    train_on: str  # completions | assistant | all
    packing: bool
    too_long: str  # drop | truncate | fail
    global_batch_size: int

    @property
    def sources(self) -> tuple[LlmSource, ...]:
        """Those of training first."""
        return (*self.train, *self.evaluation)
