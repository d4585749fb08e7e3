"""Two public decoders as facts, without their weights: Qwen2.5-3B-Instruct and Llama-3.1-8B-Instruct.

The folder of a model holds its config.json and sparse shards behind real headers: enough to read, nothing to
load. What the reader says of it is kept in tests/facts/<name>.json, so that plans are tested without the
folders; `python -m tests.llm_facts` writes those files anew. Digests are of names and sizes: the weights are
holes.
"""

import json
import math
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import TypeAdapter

from ftspec.models.decoder import read_decoder_facts
from ftspec.plan.facts import DecoderFacts

FACTS = Path(__file__).parent / "facts"
# As the hub's config.json files state them; values that no fact comes from are left out.
CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2.5-3b-instruct": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "torch_dtype": "bfloat16",
    },
    "llama-3.1-8b-instruct": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009],
        "torch_dtype": "bfloat16",
    },
}
ENDS = {"qwen2.5-3b-instruct": [151645, 151643], "llama-3.1-8b-instruct": [128001, 128008, 128009]}
IDS = {
    "qwen2.5-3b-instruct": "Qwen/Qwen2.5-3B-Instruct",
    "llama-3.1-8b-instruct": "meta-llama/Llama-3.1-8B-Instruct",
}
SHARDS = {"qwen2.5-3b-instruct": 2, "llama-3.1-8b-instruct": 4}


def llm_facts(name: str) -> DecoderFacts:
    """The kept facts: `qwen2.5-3b-instruct` or `llama-3.1-8b-instruct`."""
    return TypeAdapter(DecoderFacts).validate_json((FACTS / f"{name}.json").read_bytes())


def read_llm(folder: Path, name: str) -> DecoderFacts:
    """What the reader says of a folder of `make_llm_folder`."""
    with patch("ftspec.models.decoder.DigestCache", _NamesAndSizes):
        facts, found = read_decoder_facts(folder, id=IDS[name], origin="hub-cache")
    assert facts is not None, [item.detail for item in found]
    return facts


def facts_document(facts: DecoderFacts) -> str:
    document = TypeAdapter(DecoderFacts).dump_python(facts, mode="json")
    return json.dumps({**document, "location": f"/models/{facts.id}"}, indent=1) + "\n"


def make_llm_folder(folder: Path, name: str) -> Path:
    config = CONFIGS[name]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ENDS[name]}))
    (folder / "tokenizer.json").write_text("{}")
    limit = config["max_position_embeddings"]
    settings = {"chat_template": "{{ messages }}", "model_max_length": limit}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tensors = list(_shapes(config))
    count = SHARDS[name]
    weight_map: dict[str, str] = {}
    for number in range(count):
        part = tensors[number * len(tensors) // count : (number + 1) * len(tensors) // count]
        shard = f"model-{number + 1:05}-of-{count:05}.safetensors"
        _write_shard(folder / shard, dict(part))
        weight_map |= {tensor: shard for tensor, _ in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


class _NamesAndSizes:
    """Stands for `DigestCache`: nobody wants to hash 16 GB of zeros."""

    def __init__(self, cache: Path | None) -> None:
        del cache

    def __enter__(self) -> "_NamesAndSizes":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def sha256(self, path: Path) -> str:
        return f"{path.name} {path.stat().st_size}"


def _shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner = config["hidden_size"], config["intermediate_size"]
    narrow = width // config["num_attention_heads"] * config["num_key_value_heads"]
    biased = config["model_type"] == "qwen2"
    yield "model.embed_tokens.weight", (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        for part, rows in (("q_proj", width), ("k_proj", narrow), ("v_proj", narrow)):
            yield f"{at}.self_attn.{part}.weight", (rows, width)
            if biased:
                yield f"{at}.self_attn.{part}.bias", (rows,)
        yield f"{at}.self_attn.o_proj.weight", (width, width)
        yield f"{at}.mlp.gate_proj.weight", (inner, width)
        yield f"{at}.mlp.up_proj.weight", (inner, width)
        yield f"{at}.mlp.down_proj.weight", (width, inner)
        yield f"{at}.input_layernorm.weight", (width,)
        yield f"{at}.post_attention_layernorm.weight", (width,)
    yield "model.norm.weight", (width,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], width)


def _write_shard(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header: dict[str, object] = {}
    offset = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)


if __name__ == "__main__":
    FACTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for each in CONFIGS:
            read = read_llm(make_llm_folder(Path(scratch) / each, each), each)
            (FACTS / f"{each}.json").write_text(facts_document(read), encoding="utf-8")
