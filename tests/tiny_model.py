"""A two-layer BERT-like SentenceTransformer, made on the spot: no download, about 0.1 MB."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

WORDS = [
    "read",
    "write",
    "open",
    "close",
    "file",
    "socket",
    "thread",
    "lock",
    "queue",
    "parse",
    "json",
    "xml",
    "csv",
    "date",
    "time",
    "zone",
    "color",
    "red",
    "blue",
    "green",
    "sort",
    "merge",
    "split",
    "join",
    "list",
    "tuple",
    "dict",
    "set",
    "integer",
    "float",
    "complex",
    "string",
    "bytes",
    "regex",
    "match",
    "search",
    "replace",
    "hash",
    "sign",
    "verify",
    "encrypt",
    "compress",
    "archive",
    "path",
    "folder",
    "network",
    "address",
    "mail",
    "message",
    "header",
    "body",
]


def tiny_texts(count: int, words: int = 6, offset: int = 0) -> list[str]:
    """Different sentences of the tokenizer's words; the same arguments give the same texts."""
    texts = []
    for index in range(offset, offset + count):
        digest = hashlib.sha256(str(index).encode()).digest()
        texts.append(" ".join(WORDS[digest[place % 32] % len(WORDS)] for place in range(words)))
    return texts


def _letters(texts: Iterable[str]) -> list[str]:
    """Every letter, as the first of a word and within one."""
    letters = sorted({*"abcdefghijklmnopqrstuvwxyz0123456789", *"".join(texts).lower()} - {" ", "\n", "\t"})
    return [*letters, *(f"##{letter}" for letter in letters)]


def _vocabulary(pieces: Iterable[str], words: Iterable[str]) -> dict[str, int]:
    """`pieces` and then the commonest words, 400 in all. It is not trained: the trainer of `tokenizers` breaks
    ties by chance, and each run of the tests had another model."""
    counts = Counter(words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    tokens = dict.fromkeys([*pieces, *ranked])
    return {token: index for index, token in enumerate(list(tokens)[:400])}


def make_tiny_model(
    folder: Path,
    layers: int = 2,
    width: int = 32,
    *,
    positions: int = 64,
    dropout: float = 0.1,
    normalize: bool = True,
    texts: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """Saves the model to `folder` and returns it. The same arguments give the same files."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = _vocabulary([*special, *_letters(texts)], [*WORDS, *" ".join(texts).lower().split()])
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=positions,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    bert = BertModel(
        BertConfig(
            vocab_size=len(fast),
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // 16),
            intermediate_size=2 * width,
            max_position_embeddings=positions,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )
    torch.random.set_rng_state(state)
    inner = folder.parent / f"{folder.name}-transformer"
    bert.save_pretrained(inner)
    fast.save_pretrained(inner)
    transformer = Transformer(str(inner), max_seq_length=positions)
    modules = [transformer, Pooling(width, pooling_mode="mean")]
    if normalize:
        modules.append(Normalize())
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder
