"""Scoring text imports no library of models, and stays quick for many rows."""

import subprocess
import sys

import pytest


def test_no_library_of_models_is_imported() -> None:
    code = (
        "import sys, ftspec.evaluate.evaluate, ftspec.evaluate.text, ftspec.driver.merge, ftspec.cli.models\n"
        "heavy = {'torch', 'transformers', 'peft', 'mlx', 'duckdb', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("length", [200_000])
def test_a_long_answer_is_no_trap(length: int) -> None:
    """Texts come from models that may repeat themselves: no pattern may take quadratic time."""
    import time

    from ftspec.evaluate.text_metrics import RaftRow, text_value
    from ftspec.plan.llm_data import QUOTE_BEGIN
    from ftspec.plan.metrics import metrics_of

    raft = RaftRow(oracle="word " * 1000, distractors=("other " * 1000,) * 4, present=True, refuse=False)
    for text in (QUOTE_BEGIN * (length // len(QUOTE_BEGIN)), " " * length, "a the " * (length // 6)):
        for traits in metrics_of("LLM"):
            if traits.needs_generation:
                began = time.perf_counter()
                text_value(traits.name, text, ("word",) * 3, raft)
                assert time.perf_counter() - began < 5, traits.name
