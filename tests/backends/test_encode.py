"""How texts are put to the model whose embeddings are the evidence."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def test_a_baseline_is_read_with_its_own_prompts(load: Callable[[str], Any]) -> None:
    encode = load("encode")
    model = SimpleNamespace(prompts={"query": "", "document": "", "passage": "passage: "})
    assert encode.own_prompt(model, encode.DOCUMENT_PROMPTS) == "passage: "
    assert encode.own_prompt(model, encode.QUERY_PROMPTS) == ""
