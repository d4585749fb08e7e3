"""Parameter counts and linear layers from tensor names and shapes."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from ftspec.models.config import Transformer
from ftspec.models.header import TRAINABLE_DTYPES, Tensor, UnreadableModelError

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_LOOKUP_TABLE = re.compile(r"relative_attention_bias")  # two-dimensional, but looked up, not multiplied

# Checkpoints saved with a task head carry the encoder under its own name; the encoder alone is loaded.
_BASE_PREFIXES = (
    "bert.",
    "roberta.",
    "distilbert.",
    "mpnet.",
    "electra.",
    "nomic_bert.",
    "transformer.",
    "model.",
)
_HEADS = ("cls.", "lm_head.", "classifier.", "vocab_", "head.", "decoder.", "qa_outputs.", "score.")
# AutoModel of these makes a pooler even where the checkpoint has none. It is trained with the rest, and
# is counted with it, though sentence-transformers reads token embeddings only.
_POOLER = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Counts of the transformer as it is loaded. `embedding`: tensors outside of layers below a name part
    with "embed" in it, the tables and their layer norm: what `freeze.embeddings` freezes."""

    total: int
    embedding: int
    layer: int  # the largest layer; all are alike in most families
    linear_widths: dict[str, int]
    dtype: str


def count_parameters(tensors: tuple[Tensor, ...], transformer: Transformer, place: str) -> Parameters:
    """Raises UnreadableModelError when the tensors do not fit the config."""
    loaded = _loaded(tensors)
    dtypes: Counter[str] = Counter()
    layers: defaultdict[int, int] = defaultdict(int)
    widths: Counter[str] = Counter()
    total = embedding = 0
    for tensor in loaded:
        if tensor.dtype.startswith(("I", "U", "BOOL")):
            if tensor.name.endswith(("position_ids", "token_type_ids", "bias", "masked_bias")):
                continue  # buffers, not parameters
            raise UnreadableModelError(
                f"{place}: {tensor.name} is {tensor.dtype}; quantised weights cannot be trained"
            )
        if tensor.dtype not in TRAINABLE_DTYPES:
            raise UnreadableModelError(
                f"{place}: {tensor.name} is {tensor.dtype}; weights must be {', '.join(TRAINABLE_DTYPES)}"
            )
        dtypes[tensor.dtype] += tensor.count
        total += tensor.count
        owner, _, leaf = tensor.name.rpartition(".")
        layer = _LAYER.search(tensor.name)
        if layer:
            layers[int(layer[1])] += tensor.count
        in_embeddings = layer is None and "embed" in owner
        if in_embeddings:
            embedding += tensor.count
        if len(tensor.shape) != 2:
            continue
        if not in_embeddings and leaf == "weight" and not _LOOKUP_TABLE.search(owner):
            widths[owner.rpartition(".")[2]] += sum(tensor.shape)
    if not loaded or not dtypes:
        raise UnreadableModelError(f"{place} holds no weights of a transformer")
    if sorted(layers) != list(range(transformer.num_layers)):
        raise UnreadableModelError(
            f"{place} has weights of {len(layers)} layers, config.json says {transformer.num_layers}"
        )
    hidden = transformer.hidden_size
    if transformer.model_type in _POOLER and not any(tensor.name.startswith("pooler.") for tensor in loaded):
        total += hidden * hidden + hidden
        widths["dense"] += 2 * hidden
    _check_vocabulary(loaded, transformer, place)
    return Parameters(
        total=total,
        embedding=embedding,
        layer=max(layers.values()),
        linear_widths=dict(sorted(widths.items())),
        dtype=dtypes.most_common(1)[0][0],
    )


def _loaded(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The tensors of the encoder itself, without the prefix it has inside of a model with a head."""
    for prefix in _BASE_PREFIXES:
        if any(tensor.name.startswith(prefix) and "embed" in tensor.name for tensor in tensors):
            return tuple(
                Tensor(name=tensor.name.removeprefix(prefix), dtype=tensor.dtype, shape=tensor.shape)
                for tensor in tensors
                if tensor.name.startswith(prefix)
            )
    return tuple(tensor for tensor in tensors if not tensor.name.startswith(_HEADS))


def _check_vocabulary(tensors: tuple[Tensor, ...], transformer: Transformer, place: str) -> None:
    rows = [
        tensor.shape
        for tensor in tensors
        if re.search(r"(?:word_embeddings|tok_embeddings|embed_tokens)\.", tensor.name)
    ]
    for shape in rows:
        if len(shape) != 2 or shape[0] != transformer.vocab_size:
            raise UnreadableModelError(
                f"{place} embeds {shape[0] if shape else 0} tokens, config.json says {transformer.vocab_size}"
            )
