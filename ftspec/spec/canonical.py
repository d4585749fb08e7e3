"""The identity of a spec: what it says, however it is written."""

from hashlib import sha256
from typing import Any

from ftspec.plan.codec import canonical_json
from ftspec.spec.gates import effective_gates
from ftspec.spec.kinds import AnySpec
from ftspec.spec.llm import LlmSpec, generate_rows, quantization_bits
from ftspec.spec.optimisation import WARMUP_RATIO
from ftspec.spec.spec import EmbeddingSpec


def spec_hash(spec: AnySpec) -> str:
    """`sha256:…` over the canonical text."""
    return f"sha256:{sha256(canonical_text(spec).encode()).hexdigest()}"


def canonical_text(spec: AnySpec) -> str:
    """JSON with sorted keys and every default filled in, also those that depend on other keys.

    So comments, key order, quoting, overlays and spelled-out defaults make no difference.
    """
    document = spec.model_dump(mode="json")
    _fill(document, spec)
    return canonical_json(_plain(document))


def _fill(document: dict[str, Any], spec: AnySpec) -> None:
    """Defaults that are documented as "left away, …", and are None in the model."""
    train = document["train"]
    if train["num_train_epochs"] is None and train["max_steps"] is None:
        train["num_train_epochs"] = 1.0
    if spec.train.lr_scheduler_type == "cosine_with_restarts" and train["lr_num_cycles"] is None:
        train["lr_num_cycles"] = 1
    if (
        spec.train.lr_scheduler_type != "constant"
        and train["warmup_ratio"] is None
        and train["warmup_steps"] is None
    ):
        train["warmup_ratio"] = WARMUP_RATIO
    if isinstance(spec, LlmSpec):
        document["model"]["quantization"] = {"bits": bits} if (bits := quantization_bits(spec)) else None
        document["evaluation"]["generate_rows"] = generate_rows(spec)
    else:
        _fill_embedding(document, spec)
    document["gates"] = {metric: gate.model_dump() for metric, gate in effective_gates(spec).items()}


def _fill_embedding(document: dict[str, Any], spec: EmbeddingSpec) -> None:
    train = document["train"]
    if spec.train.matryoshka is not None and spec.train.matryoshka.weights is None:
        train["matryoshka"]["weights"] = [1.0] * len(spec.train.matryoshka.dimensions)
    if document["model"]["freeze"] == {"embeddings": False, "layers": None, "fraction": None}:
        document["model"]["freeze"] = None


def _plain(value: Any) -> Any:
    """-0.0 is 0.0."""
    if isinstance(value, dict):
        return {name: _plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    return 0.0 if isinstance(value, float) and value == 0 else value
