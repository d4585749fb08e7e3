"""Facts of known models, written down so that estimates are tested without a model on disk."""

from dataclasses import replace

from ftspec.plan.facts import ModelFacts
from ftspec.plan.frozen import FrozenMap

MINILM = ModelFacts(
    id="all-MiniLM-L6-v2",
    origin="package",
    location="/models/minilm",
    digest="sha256:0",
    weights_sha256="53aa",
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
    weights_bytes=90_868_376,
    weights_dtype="F32",
    needs_remote_code=False,
    prompts=FrozenMap(),
)

BASE = replace(
    MINILM,
    num_layers=12,
    hidden_size=768,
    intermediate_size=3072,
    embedding_dimension=768,
    total_parameters=109_482_240,
    embedding_parameters=23_837_184,
    layer_parameters=7_087_872,
)
