"""`read_decoder_facts`: what a plan needs to know about a base model that generates text."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.models.config import read_transformer
from ftspec.models.facts import digest_of_files, needs_remote_code, weights_digest
from ftspec.models.header import (
    TRAINABLE_DTYPES,
    Tensor,
    UnreadableModelError,
    read_json,
    read_object,
    read_weights,
)
from ftspec.models.modules import Chain, read_length_limit
from ftspec.plan.facts import DecoderFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.store.digests import DigestCache

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_BUFFERS = re.compile(r"(?:rotary_emb\.inv_freq|\.attn\.bias|\.masked_bias|position_ids)$")
_TABLES = re.compile(r"embed|^wte$|^wpe$")  # looked up by token or position
_OUTPUT = frozenset({"lm_head", "embed_out"})
MORE_FILES = ("generation_config.json", "chat_template.json")  # where answers end, how turns are written
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_TABLE_OF_TOKENS = frozenset({"embed_tokens", "wte", "embed_in", "word_embeddings"})


class NoLanguageModelError(Exception):
    """The folder holds a model that cannot be fine-tuned as an LLM; the message is the detail of FTS313."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    total: int
    embedding: int
    layer: int
    linear: int
    linear_widths: dict[str, int]
    linear_outputs: dict[str, int]
    dtype: str
    tied: bool


def read_decoder_facts(
    folder: Path, *, id: str, origin: str, cache: Path | None = None
) -> tuple[DecoderFacts | None, Diagnostics]:
    """Facts about the decoder in `folder`; `cache` is where digests of its files are remembered.

    What a trainer could not load, a missing tokenizer included, is FTS302; a model of another kind FTS313.
    """
    found = Diagnostics()
    try:
        with DigestCache(cache) as digests:
            return _read(folder, id, origin, digests), found
    except NoLanguageModelError as error:
        found.add(
            codes.NO_LANGUAGE_MODEL,
            str(error),
            help="name a decoder (its architecture ends in ForCausalLM) in full precision",
        )
    except UnreadableModelError as error:
        found.add(codes.MODEL_NOT_READABLE, str(error), help="download the model again, or use another one")
    except OSError as error:
        found.add(codes.MODEL_NOT_READABLE, f"{error.filename or folder} cannot be read: {error.strerror}")
    return None, found


def _read(folder: Path, id: str, origin: str, digests: DigestCache) -> DecoderFacts:
    if not folder.is_dir():
        raise UnreadableModelError(f"{folder} is not a folder")
    config = read_object(folder / "config.json")
    place = str(folder / "config.json")
    transformer = read_transformer(config, place)
    _check_kind(folder, config, transformer.architecture)
    settings = _read_tokenizer(folder)
    weights = read_weights(folder)
    counts = _count(weights.tensors, config, transformer.num_layers, transformer.vocab_size, folder)
    heads = transformer.num_attention_heads
    chain = Chain(
        transformer="",
        pooling="",
        pooling_folder=None,
        dense=(),
        dense_width=None,
        normalizes=False,
        remote_code=False,
        folders=("",),
    )
    remote_code = needs_remote_code(folder, transformer, chain)
    rope_type, rope_theta = _rope(config)
    limit = read_length_limit(folder)
    return DecoderFacts(
        id=id,
        origin=origin,
        location=str(folder.absolute()),
        digest=digest_of_files(folder, chain, {"": weights}, digests, python=remote_code, more=MORE_FILES),
        weights_sha256=weights_digest(folder, weights, digests),
        architecture=transformer.architecture,
        model_type=transformer.model_type,
        num_layers=transformer.num_layers,
        hidden_size=transformer.hidden_size,
        intermediate_size=transformer.intermediate_size,
        num_attention_heads=heads,
        vocab_size=transformer.vocab_size,
        max_positions=transformer.max_positions,
        max_seq_length=min(limit or transformer.max_positions, transformer.max_positions),
        pooling="",
        normalizes=False,
        embedding_dimension=transformer.hidden_size,
        attention_dropout=transformer.attention_dropout,
        hidden_dropout=transformer.hidden_dropout,
        total_parameters=counts.total,
        embedding_parameters=counts.embedding,
        layer_parameters=counts.layer,
        linear_modules=tuple(counts.linear_widths),
        linear_widths=FrozenMap(counts.linear_widths),
        linear_outputs=FrozenMap(counts.linear_outputs),
        weights_bytes=weights.size_bytes,
        weights_dtype=counts.dtype,
        needs_remote_code=remote_code,
        prompts=FrozenMap(),
        num_key_value_heads=_whole(config, "num_key_value_heads", heads, place),
        head_dim=_whole(config, "head_dim", max(transformer.hidden_size // heads, 1), place),
        tied_embeddings=counts.tied,
        linear_parameters=counts.linear,
        chat_template=_has_chat_template(folder, settings),
        eos_token_ids=_end_tokens(folder, config),
        rope_type=rope_type,
        rope_theta=rope_theta,
        rope_by_layer=_by_layer(config.get("rope_parameters")) or "rope_local_base_freq" in config,
        sliding_window=_window(config, place),
    )


def _check_kind(folder: Path, config: Mapping[str, Any], architecture: str) -> None:
    if (folder / "modules.json").is_file():
        raise NoLanguageModelError(f"{folder} is a model of sentence-transformers, which makes embeddings")
    if not architecture.endswith(("ForCausalLM", "LMHeadModel")):
        raise NoLanguageModelError(f"{folder} is a {architecture}, which does not generate text")
    if any(isinstance(config.get(name), int) and config[name] > 1 for name in _EXPERTS):
        raise NoLanguageModelError(f"{folder} is a mixture of experts, which no estimate here is made for")
    quantised = config.get("quantization_config") or config.get("quantization")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise NoLanguageModelError(
            f"the weights of {folder} are quantised already{f' ({method})' if method else ''}; "
            "`model.quantization` quantises full weights"
        )


# --- weights -----------------------------------------------------------------------------------


def _count(
    tensors: tuple[Tensor, ...], config: Mapping[str, Any], num_layers: int, vocab_size: int, folder: Path
) -> _Counts:
    """Counts of the model as it is loaded. Linear layers are two-dimensional weights that are neither
    looked up nor the output matrix: the ones that `all-linear` means to peft."""
    dtypes: Counter[str] = Counter()
    layers: defaultdict[int, int] = defaultdict(int)
    widths: Counter[str] = Counter()
    outputs: Counter[str] = Counter()
    total = embedding = linear = 0
    output = any(_owner(tensor) in _OUTPUT for tensor in tensors)
    tied = _is_tied(config, output, folder)
    for tensor in tensors:
        if _BUFFERS.search(tensor.name):
            continue
        if tensor.dtype not in TRAINABLE_DTYPES:
            raise UnreadableModelError(
                f"{folder}: {tensor.name} is {tensor.dtype}; weights must be {', '.join(TRAINABLE_DTYPES)}"
            )
        owner = _owner(tensor)
        if owner in _OUTPUT and tied:
            continue
        dtypes[tensor.dtype] += tensor.count
        total += tensor.count
        layer = _LAYER.search(tensor.name)
        if layer:
            layers[int(layer[1])] += tensor.count
        table = layer is None and _TABLES.search(owner) is not None
        if table:
            embedding += tensor.count
            if owner in _TABLE_OF_TOKENS and tensor.shape[:1] != (vocab_size,):
                raise UnreadableModelError(
                    f"{folder} embeds {tensor.shape[0] if tensor.shape else 0} tokens, config.json says {vocab_size}"
                )
        elif len(tensor.shape) == 2 and tensor.name.endswith(".weight") and owner not in _OUTPUT:
            linear += tensor.count
            widths[owner] += sum(tensor.shape)
            outputs[owner] += tensor.shape[0]
    if sorted(layers) != list(range(num_layers)):
        raise UnreadableModelError(
            f"{folder} has weights of {len(layers)} layers, config.json says {num_layers}"
        )
    if not embedding or not linear:
        raise UnreadableModelError(f"{folder} holds no weights of a decoder")
    return _Counts(
        total=total,
        embedding=embedding,
        layer=max(layers.values()),
        linear=linear,
        linear_widths=dict(sorted(widths.items())),
        linear_outputs=dict(sorted(outputs.items())),
        dtype=dtypes.most_common(1)[0][0],
        tied=tied,
    )


def _owner(tensor: Tensor) -> str:
    """`q_proj` of `model.layers.0.self_attn.q_proj.weight`."""
    return tensor.name.rpartition(".")[0].rpartition(".")[2]


def _is_tied(config: Mapping[str, Any], output: bool, folder: Path) -> bool:
    """Families differ in what they mean where config.json leaves it open; then the weights say it."""
    stated = config.get("tie_word_embeddings")
    if stated is False and not output:
        raise UnreadableModelError(f"{folder} lacks the output matrix (lm_head), which is not tied")
    return not output if stated is None else bool(stated)


# --- tokenizer ---------------------------------------------------------------------------------


def _read_tokenizer(folder: Path) -> Mapping[str, Any]:
    """tokenizer_config.json; rows are cut into tokens by tokenizer.json alone, so that it must be there."""
    if not (folder / "tokenizer.json").is_file():
        raise UnreadableModelError(
            f"tokenizer.json is missing in {folder}: the tokenizer must be saved in the form of `tokenizers`"
        )
    settings = folder / "tokenizer_config.json"
    return read_object(settings) if settings.is_file() else {}


def _has_chat_template(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Where transformers looks: chat_template.jinja, chat_template.json, tokenizer_config.json."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    return bool(settings.get("chat_template"))


def _end_tokens(folder: Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    """Of generation_config.json, which may name more (end of a turn) than config.json, else of the latter."""
    generation = folder / "generation_config.json"
    document = read_json(generation) if generation.is_file() else {}
    stated = document.get("eos_token_id") if isinstance(document, dict) else None
    ids = config.get("eos_token_id") if stated is None else stated
    ids = ids if isinstance(ids, list) else [ids]
    return tuple(id for id in ids if type(id) is int and id >= 0)


# --- config ------------------------------------------------------------------------------------


def _rope(config: Mapping[str, Any]) -> tuple[str, float | None]:
    """(type, base) of rotary positions. transformers 5 writes `rope_parameters`, earlier ones `rope_theta` and
    `rope_scaling`; where layers differ, those of full attention are meant. ("", None): not stated."""
    parameters = config.get("rope_parameters")
    if _by_layer(parameters):
        assert isinstance(parameters, dict)
        parameters = parameters.get("full_attention") or next(iter(parameters.values()))
    scaling = parameters if isinstance(parameters, dict) else config.get("rope_scaling")
    scaling = scaling if isinstance(scaling, dict) else {}
    theta = scaling.get("rope_theta", config.get("rope_theta"))
    if isinstance(theta, bool) or not isinstance(theta, int | float):
        return "", None
    return str(scaling.get("rope_type") or scaling.get("type") or "default"), float(theta)


def _by_layer(parameters: Any) -> bool:
    """Whether `rope_parameters` holds settings for each kind of layer."""
    return (
        isinstance(parameters, dict)
        and bool(parameters)
        and all(isinstance(v, dict) for v in parameters.values())
    )


def _window(config: Mapping[str, Any], place: str) -> int | None:
    """Families write a window even where they do not use it."""
    if config.get("use_sliding_window") is False or not config.get("sliding_window"):
        return None
    return _whole(config, "sliding_window", 0, place)


def _whole(config: Mapping[str, Any], name: str, default: int, place: str) -> int:
    value = config.get(name)
    if value is None:
        return default
    if type(value) is not int or not 1 <= value <= 1_000_000:
        raise UnreadableModelError(f"{place}: {name} is {value!r:.40}, not a positive number")
    return value
