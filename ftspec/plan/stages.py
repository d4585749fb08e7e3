"""The stages of a run and their keys.

A key is a hash over everything that can change the stage's output, by deny-list: the sections that
a stage reads enter whole, minus what is declared here as having no effect. Execution enters no key of
a model or a score: moving machines re-lowers, it does not retrain. Only latency is a machine's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ftspec.plan.codec import HASH_VERSION, hash_of, plan_document, semantic_document
from ftspec.plan.model import Action, Plan, Stage
from ftspec.plan.reasons import Reason

# What each stage reads. Raise a version when its algorithm changes what comes out.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "ingest": (),
    "split": ("ingest",),
    "encode_base": ("split",),
    "train": ("split",),
    "encode_tuned": ("split", "train"),
    "evaluate": ("split", "encode_base", "encode_tuned"),
    "gate": ("evaluate",),
    "register": ("train", "evaluate", "gate"),
}
# The backend's programs run these, in this order, in one process: importing the training stack costs it
# seconds each time.
PROGRAM_STAGES = ("encode_base", "train", "encode_tuned")
VERSIONS: Mapping[str, int] = dict.fromkeys(NEEDS, 1)

Lookup = Callable[[str, str], tuple[Action, Reason]]


def stage_documents(plan: Plan) -> dict[str, dict[str, Any]]:
    """For each stage the document that its key is the hash of, stored beside the artefact."""
    document = plan_document(plan)
    data, model, evaluation = document["data"], document["model"], document["evaluation"]
    sources = [
        {"digest": facts.digest, **{k: v for k, v in source.items() if k != "path"}}
        for facts, source in zip(plan.data.facts.sources, [*data["train"], *data["evaluation"]], strict=True)
    ]
    num_train = len(plan.data.train)
    reading = {k: model[k] for k in ("max_seq_length", "prompts", "pooling", "similarity")}
    baseline = plan.evaluation.baseline_facts
    documents: dict[str, dict[str, Any]] = {}

    def add(stage: str, **inputs: Any) -> str:
        documents[stage] = {
            "stage": stage,
            "version": VERSIONS[stage],
            "hash_version": HASH_VERSION,
            **inputs,
        }
        return hash_of(documents[stage])

    rows = {
        "train": sources[:num_train],
        "evaluation": sources[num_train:],
        "filters": data["filters"],
        "on_error": data["on_error"],
    }
    parts = {"split": data["split"], "limit": data["limit"]}
    ingest = add("ingest", **rows, slices=evaluation["slices"])
    split = add("split", ingest=ingest, **parts)
    # Not the split's key: other slices are the same texts.
    texts = {**rows, **parts, "versions": [VERSIONS["ingest"], VERSIONS["split"]]}
    encoding = {"texts": texts, "latency": _latency(plan)}
    encode_base = add(
        "encode_base",
        **encoding,
        model=plan.model.facts.digest if baseline is None else baseline.digest,
        reading=reading if baseline is None else None,  # another model is read by its own settings
    )
    # Not the split's key: a change of the test side must not retrain.
    train = add(
        "train",
        semantic=semantic_document(plan),
        evaluation=sources[num_train:]
        if data["split"].get("leakage") == "drop_train"
        else bool(num_train < len(sources)),
        checks=document["train"]["checks"],
        export={k: document["export"][k] for k in ("dtype", "merge_lora")},
    )
    encode_tuned = add("encode_tuned", train=train, **encoding)
    scoring = {
        k: v for k, v in evaluation.items() if k not in ("latency_queries", "baseline", "baseline_facts")
    }
    evaluate = add(
        "evaluate", split=split, encode_base=encode_base, encode_tuned=encode_tuned, scoring=scoring
    )
    gate = add("gate", evaluate=evaluate, gates=document["gates"])
    add("register", gate=gate, train=train, name=plan.name, path=document["export"]["path"])
    return documents


def _latency(plan: Plan) -> dict[str, Any] | None:
    """Where latency is measured; a gate may not be judged by another machine's numbers."""
    if plan.evaluation.latency_queries == 0:
        return None
    run = plan.execution
    return {
        "queries": plan.evaluation.latency_queries,
        "machine": plan.machine.digest,
        "device": run.device,
        "threads": run.num_threads,
    }


def with_stages(plan: Plan, lookup: Lookup) -> Plan:
    """The plan with its stages; `lookup(stage, key)` says whether the store already holds the output."""
    stages: list[Stage] = []
    for name, document in stage_documents(plan).items():
        key = hash_of(document)
        action, reason = lookup(name, key)
        stages.append(Stage(name=name, key=key, needs=NEEDS[name], action=action, reason=reason))
    return replace(plan, stages=tuple(stages))


def predicted_seconds(plan: Plan) -> float:
    """Of the stages that will run; the start of the programs counts when any of them does."""
    assert plan.estimates is not None
    reused = {stage.name for stage in plan.stages if stage.action is Action.REUSE}
    if reused.issuperset(PROGRAM_STAGES):
        reused.add("start")
    return sum(value for name, value in plan.estimates.stage_seconds.items() if name not in reused)


def nothing_stored(stage: str, key: str) -> tuple[Action, Reason]:
    """The lookup of an empty store."""
    del stage, key
    return Action.RUN, Reason.NO_ARTIFACT
