"""The closed forms against the memory of a real training step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.estimate.memory import MemoryInputs, training_memory
from ftspec.models.find import find_model

ROWS, TOKENS = 16, 128

STEP = f"""
import resource, sys, torch
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu").train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
for _ in range(2):
    embeddings = []
    for _ in range(2):
        ids = torch.randint(1000, 30000, ({ROWS}, {TOKENS}))
        inputs = {{"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}}
        embeddings.append(model(inputs)["sentence_embedding"])
    loss = torch.nn.functional.cross_entropy(20 * embeddings[0] @ embeddings[1].T, torch.arange({ROWS}))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss has other units elsewhere")
def test_predicted_peak_is_near_the_measured(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    facts, _ = find_model("all-MiniLM-L6-v2", None, folder=tmp_path, store=None)
    if facts is None:
        pytest.skip("all-MiniLM-L6-v2 is not on this machine")
    tuned = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "131072", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STEP, facts.location],
        env=os.environ | tuned,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = int(done.stdout.split()[-1])
    predicted = training_memory(
        MemoryInputs(
            facts=facts,
            column_lengths=(TOKENS, TOKENS),
            rows=ROWS,
            loss_rows=ROWS,
            trainable_parameters=facts.total_parameters,
            malloc_tuned=True,
        )
    ).peak_bytes
    assert predicted == pytest.approx(measured, rel=0.25)
