"""What holds for every plan, checked after every pass. A violation is our fault, not the user's."""

from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.fields import leaves
from ftspec.plan.model import Plan
from ftspec.plan.objectives import compares_rows


def check_invariants(plan: Plan) -> None:
    """Raises AssertionError."""
    _effective_batch_is_kept(plan)
    _every_leaf_has_one_origin(plan)


def check_complete(plan: Plan) -> None:
    """After the last pass nothing may be left undecided. Raises AssertionError."""
    check_invariants(plan)
    undecided = [path for path, value in leaves(plan) if path.startswith("execution.") and value is None]
    assert not undecided, f"undecided after the last pass: {undecided}"
    assert plan.estimates is not None, "the plan has no estimates"


def _effective_batch_is_kept(plan: Plan) -> None:
    run = plan.execution
    if run.per_device_train_batch_size is None or run.gradient_accumulation_steps is None:
        return
    assert run.num_processes is not None, "batch was settled before processes"
    effective = run.per_device_train_batch_size * run.gradient_accumulation_steps * run.num_processes
    assert effective == plan.train.global_batch_size, (
        f"effective batch {effective}, spec asks for {plan.train.global_batch_size}"
    )
    if isinstance(plan, EmbeddingPlan) and compares_rows(
        plan.train.objective.type, plan.train.objective.loss
    ):
        assert run.gradient_accumulation_steps == 1, "accumulation would lose comparisons within the batch"


def _every_leaf_has_one_origin(plan: Plan) -> None:
    paths = {path for path, _ in leaves(plan)}
    missing = sorted(paths - set(plan.origins))
    surplus = sorted(set(plan.origins) - paths)
    assert not missing, f"leaves without an origin: {missing}"
    assert not surplus, f"origins without a leaf: {surplus}"
