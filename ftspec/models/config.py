"""What config.json says about a transformer, under the names of each family."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftspec.models.header import UnreadableModelError

_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_HIDDEN = ("hidden_size", "dim", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads")
_INTERMEDIATE = ("intermediate_size", "hidden_dim", "n_inner", "d_ff")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_trained_positions", "seq_length")
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "mlp_dropout", "resid_pdrop")

_UPPER = {"layers": 1_000, "width": 1_000_000, "vocabulary": 100_000_000, "positions": 100_000_000}

# Families whose class default of both dropouts is 0.1: config.json may leave a default out.
_DROPOUT_BY_DEFAULT = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "distilbert", "mpnet", "electra"}
)
# Positions of these start at padding_idx + 1, so that many rows of the table are never used.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """`max_positions` is the longest text in tokens, already without unused rows of the table."""

    architecture: str
    model_type: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    vocab_size: int
    max_positions: int
    attention_dropout: float
    hidden_dropout: float
    causal: bool
    remote_code: bool


def read_transformer(config: Mapping[str, Any], place: str) -> Transformer:
    """Raises UnreadableModelError on missing or absurd values; `place` names the file in the message."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise UnreadableModelError(f"{place} has no model_type")
    layers = _count(config, _LAYERS, _UPPER["layers"], place)
    hidden = _count(config, _HIDDEN, _UPPER["width"], place)
    heads = _count(config, _HEADS, _UPPER["width"], place)
    intermediate = _count(config, _INTERMEDIATE, _UPPER["width"], place, default=4 * hidden)
    vocabulary = _count(config, ("vocab_size",), _UPPER["vocabulary"], place)
    positions = _count(config, _POSITIONS, _UPPER["positions"], place)
    if "head_dim" not in config and hidden % heads:
        raise UnreadableModelError(f"{place}: a width of {hidden} cannot be shared among {heads} heads")
    if model_type in _OFFSET_POSITIONS:
        padding = config.get("pad_token_id", 1)
        positions -= padding + 1 if type(padding) is int and padding >= 0 else 2
        if positions < 1:
            raise UnreadableModelError(f"{place}: no positions are left behind the padding offset")
    default_dropout = 0.1 if model_type in _DROPOUT_BY_DEFAULT else 0.0
    architectures = config.get("architectures")
    named = isinstance(architectures, list) and architectures and isinstance(architectures[0], str)
    architecture = str(architectures[0]) if named and architectures else model_type
    return Transformer(
        architecture=architecture,
        model_type=model_type,
        num_layers=layers,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_attention_heads=heads,
        vocab_size=vocabulary,
        max_positions=positions,
        attention_dropout=_share(config, _ATTENTION_DROPOUT, default_dropout, place),
        hidden_dropout=_share(config, _HIDDEN_DROPOUT, default_dropout, place),
        causal=architecture.endswith("ForCausalLM") and config.get("is_causal", True) is not False,
        remote_code=bool(config.get("auto_map")),
    )


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    for name in names:
        if config.get(name) is not None:
            return name, config[name]
    return names[0], None


def _count(
    config: Mapping[str, Any], names: tuple[str, ...], upper: int, place: str, default: int | None = None
) -> int:
    name, value = _first(config, names)
    if value is None:
        if default is None:
            raise UnreadableModelError(f"{place} has no {name}")
        return default
    if type(value) is not int or not 1 <= value <= upper:
        raise UnreadableModelError(f"{place}: {name} is {value!r:.40}, not a number from 1 to {upper}")
    return value


def _share(config: Mapping[str, Any], names: tuple[str, ...], default: float, place: str) -> float:
    name, value = _first(config, names)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise UnreadableModelError(f"{place}: {name} is {value!r:.40}, not a share from 0 to 1")
    return float(value)
