from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.diagnostics.model import Diagnostics
from ftspec.source.format import format_text
from ftspec.source.parse import parse_yaml
from ftspec.source.text import SourceText

SPECS = sorted((Path(__file__).resolve().parents[2] / "specs").glob("*.yaml"))

UGLY = """\
# yaml-language-server: $schema=../schemas/spec.schema.json

kind: "Embedding"   # what
apiVersion:   ftspec/v1
# of train
train:
      learning_rate: 5e-5
      # about the objective
      objective: {type:   contrastive,  temperature: 0.05}
      max_steps: null
model:
    # the base
    base: |
       several
       # no comment
       lines
data:
    train:
    - type: code
      path: 'it''s'

# the end
"""

NEAT = """\
# yaml-language-server: $schema=../schemas/spec.schema.json

apiVersion: ftspec/v1
kind: "Embedding"   # what
model:
  # the base
  base: |
    several
    # no comment
    lines
data:
  train:
    - type: code
      path: 'it''s'
# of train
train:
  learning_rate: 5e-5
  # about the objective
  objective: {type: contrastive, temperature: 0.05}
  max_steps: null

# the end
"""


def values(text: str) -> object:
    found = Diagnostics()
    node = parse_yaml(SourceText(path="", text=text), found)
    if node is None or found.has_errors:
        return None
    plain = node.plain()
    return repr(sorted(plain.items()) if isinstance(plain, dict) else plain)


def test_form() -> None:
    assert format_text(UGLY) == NEAT
    assert format_text(NEAT) == NEAT


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_examples_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_text(text) == text


@pytest.mark.parametrize("text", ["", "a: [", "- a\n", "a: 1\na: 2\n", "a: &x 1\n", "{a: 1}\n", "text"])
def test_what_is_no_spec_stays(text: str) -> None:
    assert format_text(text) == text


KEYS = st.sampled_from(
    ["train", "model", "data", "kind", "apiVersion", "gates", "other", "ndcg@10", "'q'", '"é"']
)
SCALARS = st.sampled_from(
    ["1", "5e-5", "no", "'a: b'", '"x\\ny"', "~", "", "0x1F", "text # comment", "it's", "日本 語"]
)
COMMENTS = st.sampled_from(["", "# c\n", "\n# c\n\n", "\n", "    # deep\n"])


@st.composite
def texts(draw: st.DrawFn, depth: int = 0) -> str:
    indent = " " * draw(st.sampled_from([2, 4, 3]))
    out = ""
    for key in draw(st.lists(KEYS, min_size=1, max_size=4, unique=True)):
        out += draw(COMMENTS)
        shape = draw(st.integers(0, 4)) if depth < 2 else 0
        if shape == 1:
            below = draw(texts(depth=depth + 1))
            out += f"{key}:\n" + "".join(f"{indent}{line}\n" if line else "\n" for line in below.splitlines())
        elif shape == 2:
            out += f"{key}:\n" + "".join(f"{indent}- {item}\n" for item in ("a", "{b: [1, 2]}", "'c'"))
        elif shape == 3:
            out += f"{key}: |\n{indent}line  \n{indent}# not a comment\n\n{indent}  more\n"
        else:
            out += f"{key}: {draw(SCALARS)}\n"
    return out


@settings(max_examples=150, deadline=None)
@given(texts())
def test_no_value_changes_no_comment_is_lost_and_once_is_enough(text: str) -> None:
    formatted = format_text(text)
    assert values(formatted) == values(text)
    assert formatted.count("#") == text.count("#")
    assert format_text(formatted) == formatted
