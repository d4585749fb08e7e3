"""Model folders made of zeros: a real header, a real config, nothing to load."""

import json
import math
import struct
from pathlib import Path
from typing import Any

BITS = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I8": 1}


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str = "F32") -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        size = math.prod(shape) * BITS[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


def bert_shapes(
    layers: int = 2, hidden: int = 16, ffn: int = 32, vocab: int = 50, positions: int = 512
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocab, hidden),
        "embeddings.position_embeddings.weight": (positions, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for index in range(layers):
        prefix = f"encoder.layer.{index}."
        for name in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        ):
            shapes[f"{prefix}{name}.weight"] = (hidden, hidden)
            shapes[f"{prefix}{name}.bias"] = (hidden,)
        shapes[f"{prefix}intermediate.dense.weight"] = (ffn, hidden)
        shapes[f"{prefix}output.dense.weight"] = (hidden, ffn)
    shapes["pooler.dense.weight"] = (hidden, hidden)
    shapes["pooler.dense.bias"] = (hidden,)
    return shapes


BERT_CONFIG: dict[str, Any] = {
    "architectures": ["BertModel"], "model_type": "bert", "num_hidden_layers": 2, "hidden_size": 16,
    "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 50, "max_position_embeddings": 512,
}  # fmt: skip


def write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def write_bert(folder: Path, **changes: Any) -> Path:
    """A plain transformers folder; `changes` go into config.json (None removes)."""
    config = {key: value for key, value in (BERT_CONFIG | changes).items() if value is not None}
    write_json(folder / "config.json", config)
    write_safetensors(folder / "model.safetensors", bert_shapes())
    return folder


def write_sentence_bert(folder: Path, *, new_format: bool) -> Path:
    write_bert(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    types = {
        "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
        "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    }
    write_json(
        folder / "modules.json",
        [
            {
                "idx": index,
                "name": str(index),
                "path": path,
                "type": types[kind] if new_format else f"sentence_transformers.models.{kind}",
            }
            for index, (path, kind) in enumerate(kinds)
        ],
    )
    if new_format:
        write_json(folder / "1_Pooling" / "config.json", {"embedding_dimension": 16, "pooling_mode": "cls"})
        write_json(folder / "tokenizer_config.json", {"model_max_length": 64})
        write_json(folder / "sentence_bert_config.json", {"transformer_task": "feature-extraction"})
        write_json(
            folder / "config_sentence_transformers.json",
            {"prompts": {"query": "query: ", "document": ""}, "similarity_fn_name": "cosine"},
        )
    else:
        write_json(
            folder / "1_Pooling" / "config.json",
            {
                "word_embedding_dimension": 16,
                "pooling_mode_cls_token": True,
                "pooling_mode_mean_tokens": False,
            },
        )
        write_json(folder / "tokenizer_config.json", {"model_max_length": 512})
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
        write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "query: "}})
    return folder
