"""Is there room for the run? Asked before it starts, not found out when a checkpoint is half written."""

import shutil

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Plan
from ftspec.store.project import Project

_GIB = 1024**3
# Two checkpoints of weights and two Adam states, the trained model, its copy in the run folder and its
# registered copy: 2 × 3 + 3 times the weights in fp32.
_COPIES_OF_WEIGHTS = 9
_FP32_BYTES = 4


def check_disk(plan: Plan, project: Project) -> None:
    """Raises FTS617 when the project's disk has less free space than the run will write."""
    facts = plan.model.facts
    needed = _COPIES_OF_WEIGHTS * facts.total_parameters * _FP32_BYTES
    if isinstance(plan, EmbeddingPlan):
        vectors = plan.data.facts.test_queries + plan.data.facts.test_documents
        needed += 2 * vectors * facts.embedding_dimension * _FP32_BYTES
    free = shutil.disk_usage(project.state).free
    if free < needed:
        raise FtspecError(
            Diagnostic(
                code=codes.NOT_ENOUGH_DISK,
                detail=f"the run writes up to {needed / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB are free at {project.state}",
                help="free some space, or run in a project on another disk (`--project`)",
            )
        )
