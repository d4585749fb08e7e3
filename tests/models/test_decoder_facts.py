"""Facts of models that generate text: what is counted, and what is refused before anything is planned."""

from pathlib import Path
from typing import Any

import pytest

from ftspec.models.decoder import read_decoder_facts
from ftspec.models.find import find_decoder
from ftspec.plan.facts import DecoderFacts
from tests.models.checkpoint import write_bert, write_json, write_safetensors, write_sentence_bert
from tests.tiny_llm import make_tiny_llm

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 16,
    "intermediate_size": 40, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50,
    "max_position_embeddings": 512, "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3"},
    "tie_word_embeddings": False, "eos_token_id": 7,
}  # fmt: skip
LAYER = 2 * 16 * 16 + 2 * 8 * 16 + 3 * 16 * 40


def shapes(*, output: bool = True) -> dict[str, tuple[int, ...]]:
    made: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (50, 16), "model.norm.weight": (16,)}
    for index in range(2):
        prefix = f"model.layers.{index}."
        for name, shape in (
            ("self_attn.q_proj", (16, 16)), ("self_attn.k_proj", (8, 16)), ("self_attn.v_proj", (8, 16)),
            ("self_attn.o_proj", (16, 16)), ("mlp.gate_proj", (40, 16)), ("mlp.up_proj", (40, 16)),
            ("mlp.down_proj", (16, 40)),
        ):  # fmt: skip
            made[f"{prefix}{name}.weight"] = shape
        made[f"{prefix}input_layernorm.weight"] = (16,)
        made[f"{prefix}self_attn.rotary_emb.inv_freq"] = (2,)
    return made | ({"lm_head.weight": (50, 16)} if output else {})


def write_decoder(folder: Path, *, output: bool = True, **changes: Any) -> Path:
    """`changes` go into config.json (None removes)."""
    config = {key: value for key, value in (CONFIG | changes).items() if value is not None}
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer.json", {"model": {}})
    write_json(folder / "tokenizer_config.json", {"chat_template": "{{ messages }}", "model_max_length": 256})
    write_safetensors(folder / "model.safetensors", shapes(output=output), dtype="BF16")
    return folder


def facts_of(folder: Path) -> DecoderFacts:
    facts, found = read_decoder_facts(folder, id="x", origin="path")
    assert facts is not None, [item.detail for item in found]
    assert len(found) == 0
    return facts


def fault_of(folder: Path) -> tuple[str, str]:
    facts, found = read_decoder_facts(folder, id="x", origin="path")
    assert facts is None
    (fault,) = found
    return fault.code.id, fault.detail


def test_counts(tmp_path: Path) -> None:
    facts = facts_of(write_decoder(tmp_path))
    assert facts.total_parameters == 2 * 50 * 16 + 16 + 2 * (LAYER + 16)
    assert facts.embedding_parameters == 50 * 16
    assert facts.linear_parameters == 2 * LAYER
    assert facts.layer_parameters == LAYER + 16
    assert facts.linear_modules == (
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    )  # fmt: skip
    assert facts.linear_widths["k_proj"] == 2 * 24
    assert (facts.num_key_value_heads, facts.head_dim, facts.tied_embeddings) == (2, 4, False)
    assert (facts.rope_type, facts.rope_theta) == ("llama3", 500000.0)
    assert (facts.max_positions, facts.max_seq_length) == (512, 256)
    assert facts.eos_token_ids == (7,)
    assert facts.chat_template
    assert facts.weights_dtype == "BF16"


@pytest.mark.parametrize("stated", [True, None])
@pytest.mark.parametrize("output", [True, False])
def test_a_tied_output_is_counted_once(tmp_path: Path, stated: bool | None, output: bool) -> None:
    facts = facts_of(write_decoder(tmp_path, output=output, tie_word_embeddings=stated))
    assert facts.tied_embeddings is (bool(stated) or not output)
    assert facts.total_parameters == 50 * 16 + 16 + 2 * (LAYER + 16) + (
        0 if facts.tied_embeddings else 50 * 16
    )


def test_shards(tmp_path: Path) -> None:
    single = facts_of(write_decoder(tmp_path / "a"))
    folder = write_decoder(tmp_path / "b")
    (folder / "model.safetensors").unlink()
    tensors = list(shapes().items())
    weight_map: dict[str, str] = {}
    for number, part in enumerate((tensors[:7], tensors[7:]), 1):
        name = f"model-0000{number}-of-00002.safetensors"
        write_safetensors(folder / name, dict(part), dtype="BF16")
        weight_map |= {tensor: name for tensor, _ in part}
    write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})
    sharded = facts_of(folder)
    assert sharded.total_parameters == single.total_parameters
    assert sharded.linear_widths == single.linear_widths


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("llama3", 500000.0)),
        ({"rope_scaling": None}, ("default", 500000.0)),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, ("linear", 500000.0)),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 10000}}, ("default", 10000.0)),
        (
            {"rope_parameters": {"sliding_attention": {"rope_theta": 1.0}, "full_attention": {"rope_theta": 2.0}}},
            ("default", 2.0),
        ),
        ({"rope_theta": None, "rope_scaling": None}, ("", None)),
        ({"rope_theta": "much", "rope_scaling": None}, ("", None)),
    ],
)  # fmt: skip
def test_rope(tmp_path: Path, changes: dict[str, Any], expected: tuple[str, float | None]) -> None:
    facts = facts_of(write_decoder(tmp_path, **changes))
    assert (facts.rope_type, facts.rope_theta) == expected


def test_where_answers_end(tmp_path: Path) -> None:
    before = facts_of(write_decoder(tmp_path))
    write_json(tmp_path / "generation_config.json", {"eos_token_id": [7, 9, "x"]})
    after = facts_of(tmp_path)
    assert after.eos_token_ids == (7, 9)
    assert after.digest != before.digest


@pytest.mark.parametrize("place", ["chat_template.jinja", "chat_template.json", None])
def test_chat_templates(tmp_path: Path, place: str | None) -> None:
    write_json(write_decoder(tmp_path) / "tokenizer_config.json", {})
    if place is not None:
        (tmp_path / place).write_text("{}")
    assert facts_of(tmp_path).chat_template is (place is not None)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_tiny_decoder(tmp_path: Path, architecture: str) -> None:
    folder = make_tiny_llm(tmp_path / "model", architecture=architecture)
    facts, found = find_decoder("./model", None, folder=tmp_path, store=None)
    assert facts is not None, [item.detail for item in found]
    assert facts.location == str(folder)
    assert facts.tied_embeddings is (architecture == "qwen2")
    assert facts.num_layers == 2
    assert len(facts.linear_modules) == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["BertModel"]}, "BertModel, which does not generate text"),
        ({"architectures": ["Qwen2_5_VLForConditionalGeneration"]}, "does not generate text"),
        ({"num_local_experts": 8}, "mixture of experts"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised already (bitsandbytes)"),
        ({"quantization": {"bits": 4, "group_size": 64}}, "quantised already;"),
    ],
)
def test_models_that_are_no_base_of_an_llm(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    code, detail = fault_of(write_decoder(tmp_path, **changes))
    assert code == "FTS313"
    assert words in detail


def test_an_embedding_model_is_no_llm(tmp_path: Path) -> None:
    for folder in (write_bert(tmp_path / "a"), write_sentence_bert(tmp_path / "b", new_format=True)):
        assert fault_of(folder)[0] == "FTS313"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 3}, "weights of 2 layers, config.json says 3"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0"),
        ({"head_dim": True}, "head_dim is True"),
        ({"vocab_size": 51}, "embeds 50 tokens"),
        ({"output": False}, "lacks the output matrix"),
    ],
)
def test_what_does_not_fit_its_config(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    code, detail = fault_of(write_decoder(tmp_path, **changes))
    assert code == "FTS302"
    assert words in detail


def test_a_decoder_without_tokenizer(tmp_path: Path) -> None:
    (write_decoder(tmp_path) / "tokenizer.json").unlink()
    assert fault_of(tmp_path) == (
        "FTS302",
        f"tokenizer.json is missing in {tmp_path}: the tokenizer must be saved in the form of `tokenizers`",
    )


def test_weights_that_cannot_be_trained(tmp_path: Path) -> None:
    write_safetensors(write_decoder(tmp_path) / "model.safetensors", shapes(), dtype="I8")
    code, detail = fault_of(tmp_path)
    assert code == "FTS302"
    assert "I8" in detail


@pytest.mark.parametrize(
    ("changes", "by_layer", "window"),
    [
        ({}, False, None),
        ({"sliding_window": 64}, False, 64),
        ({"sliding_window": 64, "use_sliding_window": False}, False, None),
        ({"rope_parameters": {"full_attention": {"rope_theta": 2.0}}}, True, None),
        ({"rope_parameters": {"rope_theta": 2.0}}, False, None),
        ({"rope_theta": 2.0, "rope_local_base_freq": 1.0}, True, None),  # as transformers 4 wrote it
    ],
)
def test_what_layers_see(tmp_path: Path, changes: dict[str, Any], by_layer: bool, window: int | None) -> None:
    facts = facts_of(write_decoder(tmp_path, **changes))
    assert (facts.rope_by_layer, facts.sliding_window) == (by_layer, window)
