"""The tokenizer of a base model from its files alone: tokenizer.json, its config and its chat template.

What transformers' fast tokenizers do is done here with the `tokenizers` library; nothing of torch is needed.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from ftspec.data.chat_template import (
    CONFIG_FILE,
    MORE_TEMPLATES,
    TEMPLATE_FILE,
    ChatTemplate,
    TemplateError,
    read_templates,
)
from ftspec.diagnostics.codes import CHAT_TEMPLATE_FAILED, MODEL_NOT_READABLE, NO_END_TOKEN
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.store.digests import DigestCache

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LEGACY = "special_tokens_map.json"
_MODEL_CONFIGS = ("generation_config.json", "config.json")  # where an end token may stand as a number


class Places(Sequence[tuple[int, int]]):
    """Where each token of a text stands, (start, end). A few of them are looked up; a list of all would take
    as long as a third of the tokenising itself."""

    def __init__(self, encoding: Any) -> None:
        self._encoding = encoding
        self._count = len(encoding)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> "list[tuple[int, int]]": ...
    def __getitem__(self, index: int | slice) -> "tuple[int, int] | list[tuple[int, int]]":
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        place: tuple[int, int] = self._encoding.token_to_chars(index % self._count)
        return place


class LlmTokenizer:
    """Texts to tokens. `end` is the token that ends an answer, `leading` what stands before plain text
    (a begin token, or nothing), `special_texts` the control tokens, longest first. `model_tokens`: how many
    tokens the model has embeddings for, None where its config does not say."""

    def __init__(self, folder: Path) -> None:
        """Raises FtspecError: FTS302 for files that cannot be used, FTS716 without an end token, FTS711 for
        a chat template that is no jinja."""
        from tokenizers import AddedToken, Tokenizer

        file = folder / "tokenizer.json"
        try:
            config = _json_object(folder / CONFIG_FILE)
            named = _named_tokens(folder, config)
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception for a bad file
            raise _unreadable(f"{file.parent}: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # Named tokens are control tokens even where tokenizer.json does not say so; none is made new.
        known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
        tokenizer.add_special_tokens(
            [
                AddedToken(text, special=True, normalized=False)
                for text in dict.fromkeys(named.values())
                if text not in known and tokenizer.token_to_id(text) is not None
            ]
        )
        self._tokenizer = tokenizer
        self._newline: list[int] = tokenizer.encode("\n", add_special_tokens=False).ids
        self.special_texts = tuple(
            sorted(
                {
                    token.content
                    for token in tokenizer.get_added_tokens_decoder().values()
                    if token.special and token.content.strip()
                },
                key=lambda text: (-len(text), text),
            )
        )
        self.leading = _leading(tokenizer)
        self.end = _end_token(folder, named, tokenizer)
        self.model_tokens = _model_tokens(folder)
        try:
            templates = read_templates(folder, config)
            self.template = ChatTemplate(templates, named) if templates else None
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(f"{folder}: {error}") from error
        except TemplateError as fault:
            raise FtspecError(
                Diagnostic(code=CHAT_TEMPLATE_FAILED, detail=str(fault), about=("model", "base"))
            ) from fault

    def encode(self, texts: Sequence[str]) -> list[tuple[list[int], "Places"]]:
        """Ids and their places in the text (in characters) for each text, control tokens recognised and
        none added."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [(encoding.ids, Places(encoding)) for encoding in encodings]

    def encode_inner(self, text: str) -> list[int]:
        """Ids of a piece that stands inside a text: after a newline, taken off again, so that tokenizers
        which begin every text with a space do not put one here."""
        ids: list[int] = self._tokenizer.encode("\n" + text, add_special_tokens=False).ids
        if ids[: len(self._newline)] == self._newline:
            return ids[len(self._newline) :]
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, control tokens shown."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


def tokenizer_digest(folder: Path, known: DigestCache) -> str:
    """ "sha256:…" over the files that decide tokens. Raises OSError."""
    names = ["tokenizer.json", CONFIG_FILE, TEMPLATE_FILE, _LEGACY]
    names += [f"{MORE_TEMPLATES}/{file.name}" for file in sorted((folder / MORE_TEMPLATES).glob("*.jinja"))]
    try:
        named = _named_tokens(folder, _json_object(folder / CONFIG_FILE))
    except ValueError:
        named = {}
    if "eos_token" not in named or not _knows_token(folder, named["eos_token"]):
        names += _MODEL_CONFIGS  # the end token is read there
    files = [[name, known.sha256(folder / name)] for name in names if (folder / name).is_file()]
    return "sha256:" + hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _knows_token(folder: Path, text: str) -> bool:
    """Does tokenizer.json hold this token? False for a file that cannot be read: its digest counts anyway."""
    try:
        document = _json_object(folder / "tokenizer.json")
    except ValueError:
        return False
    added = document.get("added_tokens")
    vocabulary = (document.get("model") or {}).get("vocab")
    listed = (
        [each.get("content") for each in added if isinstance(each, dict)] if isinstance(added, list) else []
    )
    return text in listed or (isinstance(vocabulary, dict) and text in vocabulary)


def _unreadable(detail: str) -> FtspecError:
    return FtspecError(
        Diagnostic(
            code=MODEL_NOT_READABLE,
            detail=f"the tokenizer cannot be used: {' '.join(detail.split())}",
            about=("model", "base"),
        )
    )


def _json_object(file: Path) -> dict[str, Any]:
    """Empty where there is no such file. Raises OSError or ValueError."""
    if not file.is_file():
        return {}
    value = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{file.name} is no JSON object")
    return value


def _named_tokens(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """bos_token, eos_token, … as text. An old special_tokens_map.json counts where the config does not
    list its added tokens, as transformers has it."""
    given = dict(config)
    if "added_tokens_decoder" not in config:
        given |= _json_object(folder / _LEGACY)
    named: dict[str, str] = {}
    for name in _NAMED:
        value = given.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str) and text:
            named[name] = text
    return named


def _leading(tokenizer: Any) -> tuple[int, ...]:
    """What tokenizer.json puts before a text."""
    probe = "a"
    inner = tokenizer.encode(probe, add_special_tokens=False).ids
    whole = tokenizer.encode(probe, add_special_tokens=True).ids
    for start in range(len(whole) - len(inner) + 1):
        if whole[start : start + len(inner)] == inner:
            return tuple(whole[:start])
    return ()


def _model_tokens(folder: Path) -> int | None:
    try:
        config = _json_object(folder / "config.json")
    except (OSError, ValueError):
        return None
    inner = config.get("text_config")
    count = config.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)
    return count if isinstance(count, int) else None


def _end_token(folder: Path, named: dict[str, str], tokenizer: Any) -> int:
    if "eos_token" in named:
        found = tokenizer.token_to_id(named["eos_token"])
        if found is not None:
            return int(found)
    for name in _MODEL_CONFIGS:
        try:
            value = _json_object(folder / name).get("eos_token_id")
        except (OSError, ValueError):
            continue
        first = value[0] if isinstance(value, list) and value else value
        if (
            isinstance(first, int)
            and not isinstance(first, bool)
            and tokenizer.id_to_token(first) is not None
        ):
            return first
    said = f"; `{named['eos_token']}` is not in tokenizer.json" if "eos_token" in named else ""
    raise FtspecError(
        Diagnostic(
            code=NO_END_TOKEN,
            detail=f"neither {CONFIG_FILE} nor config.json names an end token{said}",
            help="add `eos_token` to tokenizer_config.json of the base",
            about=("model", "base"),
        )
    )
