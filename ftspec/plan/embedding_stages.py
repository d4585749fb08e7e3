"""The stages of an embedding run, and what each of them reads."""

from collections.abc import Mapping
from typing import Any

from ftspec.plan.codec import plan_document
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.fingerprints import semantic_document
from ftspec.plan.keys import Keys

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
PROGRAMS = ("encode_base", "train", "encode_tuned")
DATA = "split"  # the stage whose output the programs read
# Raise a version when the stage's algorithm changes what comes out.
VERSIONS: Mapping[str, int] = dict.fromkeys(NEEDS, 1)
_IN_DIGEST = ("path", "synthesize")  # of a source: what was read there, or written for it


def stage_documents(plan: EmbeddingPlan) -> dict[str, dict[str, Any]]:
    """For each stage the document that its key is the hash of, stored beside the artefact."""
    document = plan_document(plan)
    data, model, evaluation = document["data"], document["model"], document["evaluation"]
    sources = [
        {"digest": facts.digest, **{k: v for k, v in source.items() if k not in _IN_DIGEST}}
        for facts, source in zip(plan.data.facts.sources, [*data["train"], *data["evaluation"]], strict=True)
    ]
    num_train = len(plan.data.train)
    reading = {k: model[k] for k in ("max_seq_length", "prompts", "pooling", "similarity")}
    baseline = plan.evaluation.baseline_facts
    keys = Keys(VERSIONS)
    add = keys.add

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
    return keys.documents


def _latency(plan: EmbeddingPlan) -> dict[str, Any] | None:
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
