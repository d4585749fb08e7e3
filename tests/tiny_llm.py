"""A two-layer decoder with tokenizer and chat template, made on the spot without torch: about 0.7 MB."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_model import WORDS, tiny_texts

PAD, BOS, START, END = "<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, BOS, START, END)  # their ids are 0, 1, 2, 3
SPREAD = 0.06  # of the random weights: wide enough that an adapter can move the answers

# ChatML, with the tools in front where there are any. An answer ends with END and a line break.
CHAT_TEMPLATE = (
    "{%- if tools %}{{ '<|im_start|>system\n# Tools\n' }}"
    "{%- for tool in tools %}{{ tool | tojson }}{{ '\n' }}{%- endfor %}{{ '<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + (message['content'] or '') }}"
    "{%- if message['tool_calls'] %}"
    "{%- for call in message['tool_calls'] %}{{ '\n<tool_call>' + (call | tojson) + '</tool_call>' }}{%- endfor %}"
    "{%- endif %}{{ '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)


def make_tiny_llm(
    folder: Path,
    *,
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    vocab: int = 600,
    positions: int = 512,
    chat_template: bool = True,
    texts: Iterable[str] = (),
    seed: int = 0,
    architecture: str = "llama",
) -> Path:
    """Saves the model to `folder` as transformers lays it out, and returns it.

    `architecture`: llama (own output matrix) or qwen2 (biases, output tied to the embeddings). The
    byte-level tokenizer is trained on `texts` and the words of tiny_model; `vocab` is its highest size.
    Weights depend on `seed` and the sizes alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = _write_tokenizer(folder, vocab, positions, chat_template, texts)
    config = _config(architecture, layers, width, heads, kv_heads, size, positions)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    generation = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    _write_weights(folder / "model.safetensors", config, seed)
    return folder


def _config(
    architecture: str, layers: int, width: int, heads: int, kv_heads: int, vocab: int, positions: int
) -> dict[str, Any]:
    assert architecture in {"llama", "qwen2"}
    shared = {
        "architectures": [{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[architecture]],
        "model_type": architecture,
        "dtype": "float32",
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "hidden_act": "silu",
        "max_position_embeddings": positions,
        "initializer_range": SPREAD,
        "rms_norm_eps": 1e-6,
        "attention_dropout": 0.0,
        "use_cache": True,
        "bos_token_id": 1,
        "eos_token_id": 3,
        "pad_token_id": 0,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": architecture == "qwen2",
    }
    if architecture == "llama":
        return {**shared, "head_dim": width // heads, "attention_bias": False, "mlp_bias": False}
    return {**shared, "use_sliding_window": False}


def _write_weights(path: Path, config: dict[str, Any], seed: int) -> None:
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    width, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    narrow = width // config["num_attention_heads"] * config["num_key_value_heads"]
    made: dict[str, np.ndarray] = {}

    def matrix(name: str, *shape: int) -> None:
        made[name] = random.normal(0.0, SPREAD, shape).astype(np.float32)

    def ones(name: str) -> None:
        made[name] = np.ones(width, dtype=np.float32)

    matrix("model.embed_tokens.weight", vocab, width)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        for name, rows in (("q_proj", width), ("k_proj", narrow), ("v_proj", narrow)):
            matrix(f"{at}.self_attn.{name}.weight", rows, width)
            if config["model_type"] == "qwen2":
                matrix(f"{at}.self_attn.{name}.bias", rows)
        matrix(f"{at}.self_attn.o_proj.weight", width, width)
        matrix(f"{at}.mlp.gate_proj.weight", inner, width)
        matrix(f"{at}.mlp.up_proj.weight", inner, width)
        matrix(f"{at}.mlp.down_proj.weight", width, inner)
        ones(f"{at}.input_layernorm.weight")
        ones(f"{at}.post_attention_layernorm.weight")
    ones("model.norm.weight")
    if not config["tie_word_embeddings"]:
        matrix("lm_head.weight", vocab, width)
    save_file(made, path, metadata={"format": "pt"})


def _write_tokenizer(
    folder: Path, vocab: int, positions: int, chat_template: bool, texts: Iterable[str]
) -> int:
    """The number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    roles = "system\nuser\nassistant\n"
    tokenizer.train_from_iterator([roles * 8, " ".join(WORDS), *tiny_texts(200, 8), *texts], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": positions,
        "bos_token": BOS,
        "eos_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        **({"chat_template": CHAT_TEMPLATE} if chat_template else {}),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return tokenizer.get_vocab_size()


if (
    __name__ == "__main__"
):  # the base of the examples: python -m tests.tiny_llm specs/data/tiny-llm specs/data/*.jsonl
    import sys

    texts = [Path(name).read_text(encoding="utf-8") for name in sys.argv[2:]]
    make_tiny_llm(Path(sys.argv[1]), vocab=512, positions=1024, texts=texts, architecture="qwen2")
