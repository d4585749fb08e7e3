"""Going on from the last state of a finished training: what else must be equal, and what is left to do.

`continuation` says of two plans whether one is the beginning of the other, which holds anywhere. That the result
is the same to the last bit holds only where the rest of the steps is done in the same way, too.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ftspec.plan.codec import HASH_VERSION, plan_document
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Extension, Plan, Stage
from ftspec.plan.reasons import Reason

STATE = "last_state"  # the artefact
NOTE = "extends.json"  # in the output of a training that was extended
STATE_FORMAT = 2  # FORMAT of the programs: a state of another one cannot be gone on from
_NO_STEP = ("memory_limit_bytes", "encode_batch_size", "score_batch_size")  # of execution: decide no step


def state_document(
    plan: Plan, train_key: str, *, machine_digest: str, versions: Mapping[str, str]
) -> dict[str, Any]:
    """What the key of the last state of the training `train_key` is the hash of, as `plan` would make it on that
    machine, with these `versions` of Python and of the backend's packages."""
    document = plan_document(plan)
    return {
        "stage": STATE,
        "version": STATE_FORMAT,
        "hash_version": HASH_VERSION,
        "train": train_key,
        "machine": machine_digest,
        "execution": {name: value for name, value in document["execution"].items() if name not in _NO_STEP},
        "checks": document["train"]["checks"],  # they judge each step as it is done
        "packages": dict(versions),
    }


def with_extension(plan: Plan, extension: Extension | None) -> Plan:
    """The plan, which has its stages, with where its training begins: `train` then tells so, and the estimates
    are those of the steps that are left."""
    stages = tuple(
        replace(stage, reason=_reason(stage, extension)) if stage.name == "train" else stage
        for stage in plan.stages
    )
    costs = plan.estimates
    if costs is not None and "train" in costs.stage_seconds and extension != plan.extends:
        before = costs.stage_seconds["train"]
        after = before * _left(plan, extension) / _left(plan, plan.extends)
        costs = replace(
            costs,
            wall_seconds=costs.wall_seconds + after - before,
            stage_seconds=FrozenMap({**costs.stage_seconds, "train": after}),
        )
    return replace(plan, stages=stages, estimates=costs, extends=extension)


def _reason(stage: Stage, extension: Extension | None) -> Reason:
    if extension is not None:
        return Reason.EXTENDS
    return Reason.NO_ARTIFACT if stage.reason is Reason.EXTENDS else stage.reason


def _left(plan: Plan, extension: Extension | None) -> float:
    """The share of the steps."""
    return 1 - (0 if extension is None else extension.step) / plan.train.total_steps
