"""A spec, facts, a machine and a backend, small and made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ftspec.diagnostics.model import Diagnostics
from ftspec.hardware.model import Accelerator, Cpu, Hardware
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.facts import EmbeddingDataFacts, ModelFacts, SourceFacts, TextLengths
from ftspec.plan.frozen import FrozenMap
from ftspec.resolve.first_plan import first_plan
from ftspec.source.document import Document
from ftspec.source.load import load_document
from ftspec.spec.check import check_spec
from ftspec.spec.spec import EmbeddingSpec
from ftspec.target.features import Feature, FeatureSupport, Support
from ftspec.target.model import Target

GIB = 2**30

SPEC: dict[str, Any] = {
    "apiVersion": "ftspec/v1",
    "kind": "Embedding",
    "metadata": {"name": "support-search"},
    "model": {"base": "all-MiniLM-L6-v2"},
    "data": {"train": [{"type": "code", "path": "."}]},
    "train": {"objective": {"type": "contrastive"}},
}


def spec_tree(**sections: Any) -> dict[str, Any]:
    """`SPEC` with sections replaced key by key: `train={"global_batch_size": 8}`."""
    tree = {**SPEC}
    for name, value in sections.items():
        old = tree.get(name)
        tree[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return tree


def model_facts(**changes: Any) -> ModelFacts:
    """all-MiniLM-L6-v2 as it is."""
    facts = ModelFacts(
        id="all-MiniLM-L6-v2",
        origin="package",
        location="/somewhere",
        digest="sha256:" + "1" * 64,
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        architecture="BertModel",
        model_type="bert",
        num_layers=6,
        hidden_size=384,
        intermediate_size=1536,
        num_attention_heads=12,
        vocab_size=30522,
        max_positions=512,
        max_seq_length=256,
        pooling="mean",
        normalizes=True,
        embedding_dimension=384,
        attention_dropout=0.1,
        hidden_dropout=0.1,
        total_parameters=22_713_216,
        embedding_parameters=11_917_824,
        layer_parameters=1_774_464,
        linear_modules=("dense", "key", "query", "value"),
        linear_widths=FrozenMap({"query": 4608, "key": 4608, "value": 4608, "dense": 28416}),
        weights_bytes=90_868_376,
        weights_dtype="F32",
        needs_remote_code=False,
        prompts=FrozenMap({}),
    )
    return replace(facts, **changes)


def lengths(**changes: Any) -> TextLengths:
    made = TextLengths(
        count=1000, mean=60.0, p50=50, p95=120, max=600, share_above_limit=0.02, padded_mean=110.0
    )
    return replace(made, **changes)


def data_facts(**changes: Any) -> EmbeddingDataFacts:
    facts = EmbeddingDataFacts(
        digest="sha256:" + "2" * 64,
        sources=(
            SourceFacts(
                label=".",
                type="code",
                digest="sha256:" + "3" * 64,
                files=9,
                rows=1200,
                skipped=0,
                skip_examples=(),
            ),
        ),
        roles=("query", "positive", "group"),
        num_negatives=0,
        train_rows=1000,
        validation_queries=0,
        test_queries=400,
        test_documents=420,
        split_by="group",
        train_groups=80,
        test_groups=20,
        distinct_queries=1000,
        distinct_positives=1000,
        duplicates_removed=0,
        filtered_out=0,
        leaked_queries=0,
        leaked_positives=0,
        leak_examples=(),
        slices=("group",),
        query_lengths=lengths(max=40, padded_mean=20.0),
        document_lengths=lengths(),
    )
    return replace(facts, **changes)


def cpu(**changes: Any) -> Cpu:
    made = Cpu(
        model="Test CPU",
        architecture="x86_64",
        physical_cores=2,
        usable_cores=2,
        mhz=2500,
        flags=("avx2", "avx512_bf16", "avx512f"),
    )
    return replace(made, **changes)


def hardware(*accelerators: Accelerator, memory_gib: float = 24, **changes: Any) -> Hardware:
    made = Hardware(
        name="bench", os="linux", cpu=cpu(), memory_bytes=int(memory_gib * GIB), accelerators=accelerators
    )
    return replace(made, **changes)


def gpu(name: str = "NVIDIA L4", memory_gib: float = 22, **changes: Any) -> Accelerator:
    made = Accelerator(
        kind="cuda",
        name=name,
        memory_bytes=int(memory_gib * GIB),
        compute_capability="8.9",
        bf16=True,
        fp16=True,
        peak_tflops_fp32=30.0,
        peak_tflops_bf16=121.0,
    )
    return replace(made, **changes)


def target(name: str = "bench-backend", **changes: Any) -> Target:
    """A backend that does everything but several processes."""
    features = {feature: FeatureSupport(support=Support.FULL) for feature in Feature}
    for feature in (Feature.MULTI_PROCESS, Feature.MULTI_NODE):
        features[feature] = FeatureSupport(support=Support.NOT_IMPLEMENTED, why="One process per run.")
    for feature, support in changes.pop("features", {}).items():
        features[feature] = FeatureSupport(
            support=support, why="" if support is Support.FULL else "A reason."
        )
    values: dict[str, Any] = {
        "name": name,
        "description": "For tests.",
        "kinds": ("Embedding",),
        "devices": ("cuda", "mps", "cpu"),
        "packages": {},
        "install": "pip install nothing",
        "features": features,
        "fields": {},
        "folder": Path("/nowhere"),
    }
    return Target(**{**values, **changes})


def read_spec(folder: Path, tree: dict[str, Any]) -> tuple[EmbeddingSpec, Document]:
    path = folder / "spec.yaml"
    with path.open("w", encoding="utf-8") as out:
        YAML().dump(tree, out)
    document, found = load_document(path)
    assert document is not None, list(found)
    spec, found = check_spec(document)
    assert spec is not None, [(item.code.id, item.detail) for item in found]
    return spec, document


def resolve(
    folder: Path,
    tree: dict[str, Any],
    *,
    model: ModelFacts | None = None,
    data: EmbeddingDataFacts | None = None,
    machine: Hardware | None = None,
    baseline: ModelFacts | None = None,
) -> tuple[EmbeddingPlan | None, Diagnostics]:
    spec, document = read_spec(folder, tree)
    return first_plan(
        spec,
        document,
        model or model_facts(),
        data or data_facts(),
        machine or hardware(),
        spec_path="spec.yaml",
        baseline_facts=baseline,
    )


def resolved(folder: Path, tree: dict[str, Any], **facts: Any) -> EmbeddingPlan:
    plan, found = resolve(folder, tree, **facts)
    assert plan is not None, [(item.code.id, item.detail) for item in found]
    return plan


def codes_of(found: Diagnostics) -> list[str]:
    return [item.code.id for item in found]
