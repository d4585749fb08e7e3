"""The stages of an LLM run, and what each of them reads."""

from collections.abc import Mapping
from typing import Any

from ftspec.plan.codec import plan_document
from ftspec.plan.fingerprints import semantic_document
from ftspec.plan.keys import Keys
from ftspec.plan.llm import LlmPlan

NEEDS: Mapping[str, tuple[str, ...]] = {
    "ingest": (),
    "split": ("ingest",),
    "tokenize": ("split",),
    "score_base": ("tokenize",),
    "train": ("tokenize",),
    "score_tuned": ("tokenize", "train"),
    "evaluate": ("split", "score_base", "score_tuned"),
    "gate": ("evaluate",),
    "register": ("train", "evaluate", "gate"),
}
PROGRAMS = ("score_base", "train", "score_tuned")
DATA = "tokenize"  # the stage whose output the programs read
# Raise a version when the stage's algorithm changes what comes out.
VERSIONS: Mapping[str, int] = dict.fromkeys(NEEDS, 1)


def stage_documents(plan: LlmPlan) -> dict[str, dict[str, Any]]:
    """For each stage the document that its key is the hash of, stored beside the artefact."""
    document, facts = plan_document(plan), plan.data.facts
    data, evaluation = document["data"], document["evaluation"]
    settings = [*data["train"], *data["evaluation"]]
    sources = [
        {"digest": source.digest, "render": render, **_without_paths(each)}
        for source, render, each in zip(facts.sources, facts.render, settings, strict=True)
    ]
    num_train = len(plan.data.train)
    keys = Keys(VERSIONS)
    ingest = keys.add(
        "ingest",
        train=sources[:num_train],
        evaluation=sources[num_train:],
        filters=data["filters"],
        on_error=data["on_error"],
        slices=evaluation["slices"],
    )
    split = keys.add("split", ingest=ingest, split=data["split"], limit=data["limit"])
    reading = {
        "tokenizer": facts.tokenizer_digest,
        "max_seq_length": plan.model.max_seq_length,
        **{name: document["train"][name] for name in ("train_on", "packing", "too_long")},
    }
    tokenize = keys.add("tokenize", split=split, **reading)
    answers = {name: evaluation[name] for name in ("generate_rows", "max_new_tokens")}
    # Losses of the two sides are compared to the fourth digit: both must be scored in the same way, and in
    # the form that is shipped. A merged model is not quantised, however it was trained.
    run = plan.execution
    bits = None if plan.export.merge else plan.model.quantization_bits
    how = {"backend": run.backend, "precision": run.precision, "bits": bits}
    scoring = {"tokens": tokenize, "answers": answers, "how": how}
    score_base = keys.add("score_base", model=plan.model.facts.digest, **scoring)
    # Not the key of `tokenize`: a change of the test side must not retrain.
    train = keys.add(
        "train",
        semantic=semantic_document(plan),
        evaluation=sources[num_train:]
        if data["split"]["leakage"] == "drop_train"
        else bool(num_train < len(sources)),
        checks=document["train"]["checks"],
        export={name: document["export"][name] for name in ("dtype", "merge")},
    )
    score_tuned = keys.add("score_tuned", train=train, **scoring)
    evaluate = keys.add(
        "evaluate",
        split=split,
        score_base=score_base,
        score_tuned=score_tuned,
        scoring={name: value for name, value in evaluation.items() if name not in _NOT_SCORING},
    )
    gate = keys.add("gate", evaluate=evaluate, gates=document["gates"])
    keys.add("register", gate=gate, train=train, name=plan.name, path=document["export"]["path"])
    return keys.documents


_NOT_SCORING = ("baseline", "baseline_facts", "generate_rows", "max_new_tokens")


def _without_paths(source: dict[str, Any]) -> dict[str, Any]:
    """The settings of a source: what lies at its paths enters by digest."""
    kept = {name: value for name, value in source.items() if name not in ("path", "render")}
    if kept["raft"] is not None:
        kept["raft"] = {
            name: {key: item for key, item in value.items() if key != "path"}
            if name in ("documents", "questions") and value is not None
            else value
            for name, value in kept["raft"].items()
            if name != "synthesize"  # what was written is in the digest
        }
    return kept
