"""A real, tiny model, encoded as the evidence was."""

from pathlib import Path

import numpy as np
import pytest

from ftspec.plan.embedding import Prompts
from ftspec.serve.encoder import Encoder
from ftspec.serve.served import Reading

READING = Reading(
    max_seq_length=16,
    prompts=Prompts(query="read ", document=""),
    pooling="mean",
    similarity="cosine",
    trust_remote_code=False,
)


@pytest.mark.slow
def test_prompts_pooling_and_norms(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from dataclasses import replace

    from tests.tiny_model import make_tiny_model

    folder = tmp_path / "model"
    make_tiny_model(folder)
    encoder = Encoder(folder, READING)
    queries = encoder.encode_queries(["open file", "parse json"])
    documents = encoder.encode_documents(["read open file", "parse json"])
    assert queries.dtype == np.float32
    assert np.linalg.norm(queries, axis=1) == pytest.approx(1, abs=1e-5)
    assert queries[0] == pytest.approx(documents[0], abs=1e-5)  # the prompt stands before the text
    assert not np.allclose(queries[1], documents[1], atol=1e-3)
    cls = Encoder(folder, replace(READING, pooling="cls")).encode_documents(["parse json"])
    assert not np.allclose(cls[0], documents[1], atol=1e-3)
