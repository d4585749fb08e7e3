"""The chain of modules of a sentence-transformers model: modules.json and what it points to.

Both spellings are read: types such as `sentence_transformers.models.Pooling` with one boolean per
pooling mode (up to 5.x), and `sentence_transformers.sentence_transformer.modules.pooling.Pooling`
with one `pooling_mode` (from 6.x).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ftspec.models.header import UnreadableModelError, read_json, read_object

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SUPPORTED = ("Transformer", "Pooling", "Dense", "Normalize")
_LENGTH_FILES = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_NO_LIMIT = 1_000_000  # tokenizers write 1e30 for "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`pooling` joins several modes with "+"; `dense` holds the folders of Dense modules, in order."""

    transformer: str  # folder inside the model's; "" is the model's own
    pooling: str
    pooling_folder: str | None
    dense: tuple[str, ...]
    dense_width: int | None  # output of the last Dense
    normalizes: bool
    remote_code: bool
    folders: tuple[str, ...]  # of all modules, "" included


def read_chain(folder: Path, *, causal: bool) -> Chain:
    """A folder without modules.json gets what sentence-transformers adds on loading: mean pooling, or
    the last token for a causal language model."""
    if not (folder / "modules.json").is_file():
        return Chain(
            transformer="",
            pooling="lasttoken" if causal else "mean",
            pooling_folder=None,
            dense=(),
            dense_width=None,
            normalizes=False,
            remote_code=False,
            folders=("",),
        )
    modules = [_module(entry) for entry in _entries(folder)]
    kinds = [kind for kind, _, _ in modules]
    unknown = [kind for kind in kinds if kind not in _SUPPORTED]
    remote = any(not type_name.startswith("sentence_transformers.") for _, type_name, _ in modules)
    if unknown and not remote:
        raise UnreadableModelError(
            f"modules.json has a {unknown[0]} module; only {', '.join(_SUPPORTED)} can be fine-tuned"
        )
    if kinds.count("Transformer") != 1 or kinds[0] != "Transformer":
        raise UnreadableModelError("modules.json does not start with one Transformer")
    if kinds.count("Pooling") != 1:
        raise UnreadableModelError("modules.json does not have one Pooling module")
    paths = {kind: path for kind, _, path in modules}
    dense = tuple(path for kind, _, path in modules if kind == "Dense")
    return Chain(
        transformer=paths["Transformer"],
        pooling=read_pooling(read_object(folder / paths["Pooling"] / "config.json")),
        pooling_folder=paths["Pooling"],
        dense=dense,
        dense_width=_dense_width(folder / dense[-1] / "config.json") if dense else None,
        normalizes="Normalize" in kinds,
        remote_code=remote,
        folders=tuple(dict.fromkeys(path for _, _, path in modules)),
    )


def _entries(folder: Path) -> list[Any]:
    entries = read_json(folder / "modules.json")
    if not isinstance(entries, list) or not entries:
        raise UnreadableModelError(f"{folder / 'modules.json'} is not a list of modules")
    return entries


def _module(entry: Any) -> tuple[str, str, str]:
    """(kind, full type, folder); the folder must lie inside the model's."""
    match entry:
        case {"type": str(type_name), "path": str(path)}:
            parts = PurePosixPath(path)
            if parts.is_absolute() or ".." in parts.parts or "\\" in path:
                raise UnreadableModelError(f"modules.json points to {path!r:.80}, outside of the model")
            return type_name.rpartition(".")[2], type_name, path
    raise UnreadableModelError("modules.json has an entry without type and path")


def read_pooling(config: Mapping[str, Any]) -> str:
    mode = config.get("pooling_mode")
    if isinstance(mode, str):
        modes = [mode]
    elif isinstance(mode, list):
        modes = [str(item) for item in mode]
    else:
        modes = [name for key, name in _LEGACY_POOLING.items() if config.get(key)]
    if not modes or not set(modes) <= set(_LEGACY_POOLING.values()):
        raise UnreadableModelError(f"the Pooling module has no known mode: {modes or 'none'}")
    return "+".join(modes)


def _dense_width(path: Path) -> int:
    width = read_object(path).get("out_features")
    if type(width) is not int or not 1 <= width <= 1_000_000:
        raise UnreadableModelError(f"{path}: out_features is {width!r:.40}")
    return width


def read_length_limit(folder: Path) -> int | None:
    """Tokens the model cuts texts at: sentence_*_config.json (up to 5.x), else the tokenizer's own limit,
    which is where 6.x saves it. None: no limit but the positions."""
    for name in _LENGTH_FILES:
        if (folder / name).is_file():
            value = read_object(folder / name).get("max_seq_length")
            if type(value) is int:
                if value < 1:
                    raise UnreadableModelError(f"{folder / name}: max_seq_length is {value}")
                return value
    if (folder / "tokenizer_config.json").is_file():
        value = read_object(folder / "tokenizer_config.json").get("model_max_length")
        if isinstance(value, int | float) and 1 <= value < _NO_LIMIT:
            return int(value)
    return None


def read_prompts(folder: Path) -> tuple[dict[str, str], int | None]:
    """Non-empty prompts by name, and `truncate_dim`, of config_sentence_transformers.json."""
    path = folder / "config_sentence_transformers.json"
    if not path.is_file():
        return {}, None
    document = read_object(path)
    prompts = document.get("prompts") or {}
    if not isinstance(prompts, dict):
        raise UnreadableModelError(f"{path}: prompts is not a mapping")
    width = document.get("truncate_dim")
    return (
        {str(name): text for name, text in prompts.items() if isinstance(text, str) and text},
        width if type(width) is int and width > 0 else None,
    )
