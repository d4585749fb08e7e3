"""The reader against two public models, of which only the shapes are here."""

from pathlib import Path

import pytest

from tests.llm_facts import CONFIGS, FACTS, facts_document, llm_facts, make_llm_folder, read_llm

TOTALS = {"qwen2.5-3b-instruct": 3_085_938_688, "llama-3.1-8b-instruct": 8_030_261_248}


@pytest.mark.parametrize("name", CONFIGS)
def test_kept_facts_are_what_the_reader_says(name: str, tmp_path: Path) -> None:
    facts = read_llm(make_llm_folder(tmp_path / name, name), name)
    assert facts_document(facts) == (FACTS / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_the_published_ones(name: str) -> None:
    facts = llm_facts(name)
    assert facts.total_parameters == TOTALS[name]
    assert facts.weights_bytes == pytest.approx(2 * TOTALS[name], rel=1e-4)


def test_a_lora_of_rank_16_on_all_linear_layers() -> None:
    """As peft counts it: 29,933,568 for Qwen2.5-3B and 41,943,040 for Llama-3.1-8B."""
    assert 16 * sum(llm_facts("qwen2.5-3b-instruct").linear_widths.values()) == 29_933_568
    assert 16 * sum(llm_facts("llama-3.1-8b-instruct").linear_widths.values()) == 41_943_040


def test_what_differs() -> None:
    small, large = llm_facts("qwen2.5-3b-instruct"), llm_facts("llama-3.1-8b-instruct")
    assert (small.tied_embeddings, large.tied_embeddings) == (True, False)
    assert (small.num_key_value_heads, large.num_key_value_heads) == (2, 8)
    assert (small.head_dim, large.head_dim) == (128, 128)
    assert (small.rope_type, large.rope_type) == ("default", "llama3")
    assert (small.max_positions, large.max_positions) == (32768, 131072)
    assert small.eos_token_ids == (151645, 151643)
    assert large.eos_token_ids == (128001, 128008, 128009)
    assert large.embedding_parameters == 128256 * 4096
