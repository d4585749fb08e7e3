"""What the data room is asked for: the sources and settings of one plan, in plan types."""

from dataclasses import dataclass
from pathlib import Path

from ftspec.plan.embedding import Filters, Limit, SourcePlan
from ftspec.plan.model import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """Everything that decides which rows there are and where they go.

    `folder` is the folder that relative paths start from; it enters no digest, nor does `synth`, the
    cache that written queries are read from. `slices` names columns
    of file sources to carry along for sliced results. `global_batch_size` only shapes
    `TextLengths.padded_mean`.
    """

    folder: Path
    synth: Path
    train: tuple[SourcePlan, ...]
    evaluation: tuple[SourcePlan, ...]
    filters: Filters
    limit: Limit
    split: Split
    on_error: str  # fail | skip
    slices: tuple[str, ...]
    global_batch_size: int
