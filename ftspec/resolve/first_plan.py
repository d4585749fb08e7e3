"""Spec and facts → the first plan, in which only what hardware settles is still open."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.hardware.model import Hardware
from ftspec.plan.continuation import warm_start_of
from ftspec.plan.embedding import EmbeddingExecutionPlan, EmbeddingExportPlan, EmbeddingPlan
from ftspec.plan.facts import DataFacts, DecoderFacts, EmbeddingDataFacts, Machine, ModelFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import LlmExecutionPlan, LlmPlan
from ftspec.plan.llm_data import LlmDataFacts
from ftspec.plan.model import Origin, Plan
from ftspec.resolve.data import resolve_data
from ftspec.resolve.desk import AnyDesk, EmbeddingDesk, LlmDesk
from ftspec.resolve.evaluation import resolve_evaluation, resolve_gates
from ftspec.resolve.llm import (
    resolve_adapter,
    resolve_llm_export,
    resolve_llm_model,
    resolve_llm_train,
)
from ftspec.resolve.llm_data import resolve_llm_data
from ftspec.resolve.llm_evaluation import resolve_llm_evaluation
from ftspec.resolve.model import resolve_model
from ftspec.resolve.origins import origins_of
from ftspec.resolve.train import resolve_train
from ftspec.source.document import Document
from ftspec.spec.canonical import spec_hash
from ftspec.spec.kinds import AnySpec
from ftspec.spec.llm import LlmSpec
from ftspec.spec.resources import Resources

_UNITS = {"MiB": 2**20, "GiB": 2**30, "MB": 10**6, "GB": 10**9}
_NO_ORIGINS: FrozenMap[Origin] = FrozenMap()


def first_plan(
    spec: AnySpec,
    document: Document,
    model_facts: ModelFacts,
    data_facts: DataFacts,
    hardware: Hardware,
    *,
    spec_path: str,
    overrides: Sequence[str] = (),
    baseline_facts: ModelFacts | None = None,
) -> tuple[Plan | None, Diagnostics]:
    """The plan before the passes, or None with all faults at once.

    The facts are those of the spec's kind. `spec_path` is the path as the user wrote it, `overrides` are
    those of `--set`. `baseline_facts` are those of the model named by `evaluation.baseline`, None where
    that is `base`. Warnings stand in `Plan.notes`.
    """
    head: dict[str, Any] = {
        "kind": spec.kind,
        "name": spec.metadata.name,
        "description": spec.metadata.description,
        "labels": FrozenMap(spec.metadata.labels),
        "spec_path": spec_path,
        "spec_hash": spec_hash(spec),
        "overrides": tuple(overrides),
        "machine": machine_of(hardware),
        "origins": _NO_ORIGINS,
    }
    folder = Path(document.folder).resolve()
    desk: AnyDesk
    plan: Plan
    if isinstance(spec, LlmSpec):
        assert isinstance(model_facts, DecoderFacts)
        assert isinstance(data_facts, LlmDataFacts)
        desk = LlmDesk(spec=spec, document=document, model=model_facts, data=data_facts)
        plan = _llm_plan(desk, head, folder)
    else:
        assert isinstance(data_facts, EmbeddingDataFacts)
        desk = EmbeddingDesk(spec=spec, document=document, model=model_facts, data=data_facts)
        plan = _embedding_plan(desk, head, folder, baseline_facts)
    if desk.found.has_errors:
        return None, desk.found
    return _with_story(plan, desk), desk.found


def _embedding_plan(
    desk: EmbeddingDesk, head: dict[str, Any], folder: Path, baseline_facts: ModelFacts | None
) -> EmbeddingPlan:
    spec = desk.spec
    model = resolve_model(desk)
    train = resolve_train(desk)
    evaluation = resolve_evaluation(desk, train.matryoshka, baseline_facts)
    return EmbeddingPlan(
        **head,
        model=model,
        data=resolve_data(desk, folder),
        train=train,
        evaluation=evaluation,
        gates=resolve_gates(desk),
        export=EmbeddingExportPlan(**spec.export.model_dump()),
        execution=EmbeddingExecutionPlan(**_wishes(spec.resources)),
    )


def _llm_plan(desk: LlmDesk, head: dict[str, Any], folder: Path) -> LlmPlan:
    spec = desk.spec
    adapter = resolve_adapter(desk)
    model = resolve_llm_model(desk, adapter)
    train = resolve_llm_train(desk)
    attention = spec.model.attention
    return LlmPlan(
        **head,
        model=model,
        adapter=adapter,
        data=resolve_llm_data(desk, folder),
        train=train,
        evaluation=resolve_llm_evaluation(desk),
        gates=resolve_gates(desk),
        export=resolve_llm_export(desk),
        execution=LlmExecutionPlan(
            **_wishes(spec.resources), attn_implementation=None if attention == "auto" else attention
        ),
    )


def _with_story(plan: Plan, desk: AnyDesk) -> Plan:
    """The plan with its origins, decisions and notes, which are complete only at the end."""
    started = warm_start_of(plan)
    if started is not None:
        desk.note(
            codes.WARM_START,
            f"from {started.name} {started.version}, a model of this project: its weights, and nothing else of it",
        )
    return replace(
        plan,
        origins=origins_of(plan, desk),
        decisions=tuple(desk.decisions),
        notes=tuple(desk.notes),
    )


def parse_bytes(text: str) -> int:
    """`8GiB`, `7.5 GB` → bytes. The schema has checked the form."""
    number = text.rstrip("MGiB ")
    return int(float(number) * _UNITS[text[len(number) :].strip()])


def _wishes(resources: Resources) -> dict[str, Any]:
    """What the user settled about the machine; all else stays None for the passes."""

    def settled(wish: str) -> str | None:
        return None if wish == "auto" else wish

    limits = resources.limits
    return {
        "backend": settled(resources.backend),
        "device": settled(resources.device),
        "num_processes": resources.num_processes,
        "precision": settled(resources.precision),
        "num_threads": limits.threads,
        "memory_limit_bytes": None if limits.memory is None else parse_bytes(limits.memory),
    }


def machine_of(hardware: Hardware) -> Machine:
    """The part of the hardware that decisions rest on; free memory and disk stay out."""
    return Machine(
        name=hardware.name,
        digest=hardware.digest(),
        summary=hardware.summary(),
        facts=FrozenMap(hardware.facts()),
    )
