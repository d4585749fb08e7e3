"""Sliding windows of attention that mlx_lm keeps to, and layers that differ in rotary positions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftspec.target.load import load_targets
from tests.backends.mlx_common import Load, mlx_programs

SMALL = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "sliding_window": 8,
}


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with mlx_programs() as importer:
        yield importer


def windowed(name: str, folder: Path) -> tuple[np.ndarray, Any]:
    """A model whose window is far shorter than its rows, in `folder`; tokens, and what transformers makes of them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **SMALL)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.08)
    model.save_pretrained(str(folder))
    tokens = np.random.default_rng(0).integers(4, 300, (1, 40))
    return tokens, logits_of(model, tokens)


def logits_of(model: Any, tokens: np.ndarray) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor(tokens)).logits.numpy()


def test_windows_that_the_plan_allows_are_kept(load: Load, tmp_path: Path) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.cache import make_prompt_cache
    from transformers import AutoModelForCausalLM

    weights, error = load("weights"), load("events").CheckFailedError
    models = next(target for target in load_targets()[0] if target.name == "mlx").models
    assert models is not None
    assert models.sliding_window
    assert models.rope_by_layer == tuple(load("rope").SLIDING_THETA)
    for name in models.sliding_window:
        folder = tmp_path / name
        tokens, expected = windowed(name, folder)
        with pytest.raises(
            error, match=f"beyond this {name}'s sliding window of 8, which mlx_lm may not keep to"
        ):
            weights.load(folder, "fp32", positions=40)
        loaded = weights.load(folder, "fp32", positions=40, keeps_window=True)
        weights.check_layout(loaded)
        np.testing.assert_allclose(np.array(loaded.model(mx.array(tokens))), expected, atol=1e-3)
        cache = make_prompt_cache(loaded.model)
        steps = [
            loaded.model(mx.array(part), cache=cache)
            for part in np.split(tokens, [12, *range(13, 40)], axis=1)
        ]
        np.testing.assert_allclose(
            np.concatenate([np.array(step) for step in steps], axis=1), expected, atol=1e-3
        )

        saved = tmp_path / f"{name}-saved"
        weights.save(loaded, dict(tree_flatten(loaded.model.parameters())), saved, "fp32")
        again = weights.load(saved, "fp32", positions=40, keeps_window=True)
        np.testing.assert_allclose(np.array(again.model(mx.array(tokens))), expected, atol=1e-3)
        theirs = AutoModelForCausalLM.from_pretrained(str(saved)).eval()
        np.testing.assert_allclose(logits_of(theirs, tokens), expected, atol=1e-5)

        config = json.loads((folder / "config.json").read_text())
        kinds = config["layer_types"]
        config["layer_types"] = [kinds[-1], *kinds[:-1]]
        config["sliding_window_pattern"] = (
            kinds.index("full_attention") + 1 if "full_attention" in kinds else 4
        )
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(error, match=r"other layers|other angles"):
            weights.load(folder, "fp32", positions=40, keeps_window=True)


def test_the_layers_of_a_gemma_of_transformers_4(load: Load, tmp_path: Path) -> None:
    import mlx.core as mx

    tokens, expected = windowed("gemma3_text", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    both = config.pop("rope_parameters")
    del config["layer_types"]
    config |= {"rope_theta": both["full_attention"]["rope_theta"], "sliding_window_pattern": 6}
    config["rope_local_base_freq"] = both["sliding_attention"]["rope_theta"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load("weights").load(tmp_path, "fp32", positions=40, keeps_window=True)
    np.testing.assert_allclose(np.array(loaded.model(mx.array(tokens))), expected, atol=1e-3)
    config["rope_local_base_freq"] *= 2
    with pytest.raises(load("events").CheckFailedError, match="layer 0 turns by other angles"):
        load("rope").check_rope(loaded.model, config, 40)
