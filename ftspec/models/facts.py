"""`read_facts`: what a plan needs to know about a base model, without loading a weight or running its code."""

import hashlib
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.models.config import Transformer, read_transformer
from ftspec.models.header import UnreadableModelError, Weights, read_object, read_weights
from ftspec.models.modules import Chain, read_chain, read_length_limit, read_prompts
from ftspec.models.tensors import count_parameters
from ftspec.plan.facts import ModelFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.store.digests import DigestCache

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model",
    "chat_template.jinja",
)  # fmt: skip
MODULE_FILES = ("config.json", "modules.json", "config_sentence_transformers.json")


def read_facts(
    folder: Path, *, id: str, origin: str, cache: Path | None = None
) -> tuple[ModelFacts | None, Diagnostics]:
    """Facts about the model in `folder`; `cache` is where digests of its files are remembered.

    Anything that a trainer could not load is FTS302. A model with code of its own is described as far as
    its files go, with `needs_remote_code`.
    """
    found = Diagnostics()
    try:
        with DigestCache(cache) as digests:
            return _read(folder, id, origin, digests), found
    except UnreadableModelError as error:
        found.add(codes.MODEL_NOT_READABLE, str(error), help="download the model again, or use another one")
    except OSError as error:
        found.add(codes.MODEL_NOT_READABLE, f"{error.filename or folder} cannot be read: {error.strerror}")
    return None, found


def _read(folder: Path, id: str, origin: str, digests: DigestCache) -> ModelFacts:
    if not folder.is_dir():
        raise UnreadableModelError(f"{folder} is not a folder")
    config_folder = folder / transformer_folder(folder)
    config = read_object(config_folder / "config.json")
    transformer = read_transformer(config, str(config_folder / "config.json"))
    chain = read_chain(folder, causal=transformer.causal)
    weights = read_weights(config_folder)
    parameters = count_parameters(weights.tensors, transformer, str(config_folder / weights.files[0]))
    dense = {part: read_weights(folder / part) for part in chain.dense}
    prompts, truncate_dim = read_prompts(folder)
    limit = read_length_limit(config_folder)
    width = chain.dense_width or transformer.hidden_size * len(chain.pooling.split("+"))
    all_weights = {chain.transformer: weights, **dense}
    remote_code = needs_remote_code(config_folder, transformer, chain)
    return ModelFacts(
        id=id,
        origin=origin,
        location=str(folder.absolute()),
        digest=digest_of_files(folder, chain, all_weights, digests, python=remote_code),
        weights_sha256=weights_digest(config_folder, weights, digests),
        architecture=transformer.architecture,
        model_type=transformer.model_type,
        num_layers=transformer.num_layers,
        hidden_size=transformer.hidden_size,
        intermediate_size=transformer.intermediate_size,
        num_attention_heads=transformer.num_attention_heads,
        vocab_size=transformer.vocab_size,
        max_positions=transformer.max_positions,
        max_seq_length=min(limit or transformer.max_positions, transformer.max_positions),
        pooling=chain.pooling,
        normalizes=chain.normalizes,
        embedding_dimension=min(width, truncate_dim or width),
        attention_dropout=transformer.attention_dropout,
        hidden_dropout=transformer.hidden_dropout,
        total_parameters=parameters.total + sum(t.count for item in dense.values() for t in item.tensors),
        embedding_parameters=parameters.embedding,
        layer_parameters=parameters.layer,
        linear_modules=tuple(parameters.linear_widths),
        linear_widths=FrozenMap(parameters.linear_widths),
        weights_bytes=sum(item.size_bytes for item in all_weights.values()),
        weights_dtype=parameters.dtype,
        needs_remote_code=remote_code,
        prompts=FrozenMap(prompts),
    )


def transformer_folder(folder: Path) -> str:
    """Folder of the first module; most models keep it at the top, some in `0_Transformer`."""
    if not (folder / "modules.json").is_file() or (folder / "config.json").is_file():
        return ""
    return read_chain(folder, causal=False).transformer


def needs_remote_code(config_folder: Path, transformer: Transformer, chain: Chain) -> bool:
    if transformer.remote_code or chain.remote_code:
        return True
    tokenizer = config_folder / "tokenizer_config.json"
    return tokenizer.is_file() and bool(read_object(tokenizer).get("auto_map"))


def defining_files(
    folder: Path,
    parts: tuple[str, ...],
    weights: dict[str, Weights],
    *,
    python: bool,
    more: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Relative names, sorted, of the files that decide what the model computes: configs, tokenizer,
    weights, `more` in each folder, and with `python` the code that comes along. No README, no other formats
    of the weights."""
    names: set[str] = set()
    for part in ("", *parts):
        base = folder / part
        candidates = [base / name for name in (*MODULE_FILES, *TOKENIZER_FILES, *more)]
        candidates += sorted(base.glob("sentence_*_config.json"))
        if python:
            candidates += sorted(base.glob("*.py"))
        names.update(path.relative_to(folder).as_posix() for path in candidates if path.is_file())
    for part, item in weights.items():
        names.update((Path(part) / name).as_posix() for name in item.files)
    return tuple(sorted(names))


def digest_of_files(
    folder: Path,
    chain: Chain,
    weights: dict[str, Weights],
    digests: DigestCache,
    *,
    python: bool,
    more: tuple[str, ...] = (),
) -> str:
    """sha256 over lines `name NUL sha256`, sorted by name."""
    total = hashlib.sha256()
    for name in defining_files(folder, chain.folders, weights, python=python, more=more):
        total.update(f"{name}\0{digests.sha256(folder / name)}\n".encode())
    return "sha256:" + total.hexdigest()


def weights_digest(folder: Path, weights: Weights, digests: DigestCache) -> str:
    """Of the one file, 64 hex digits as hubs state it; of shards, over lines `name NUL sha256`."""
    shards = [name for name in weights.files if name.endswith(".safetensors")]
    if len(shards) == 1:
        return digests.sha256(folder / shards[0])
    total = hashlib.sha256()
    for name in shards:
        total.update(f"{name}\0{digests.sha256(folder / name)}\n".encode())
    return total.hexdigest()
