"""Rotary positions: config.json as mlx_lm reads it, and a proof that it read them right.

transformers 5 writes `rope_parameters`; most models of mlx_lm read `rope_theta` and `rope_scaling` beside
it and take a default in silence where they are missing. Logits are then wrong, not absent.
"""

import math
from typing import Any

import mlx.core as mx
import numpy as np
from events import CheckFailedError
from mlx import nn

RELATIVE, ABSOLUTE = 1e-3, 1e-6  # of angles in float32; another theta or scaling moves them by far more
THETA = 10000.0  # where a config.json says nothing
SAME_AS_DEFAULT = ("default", "mrope", "dynamic")  # below max_position_embeddings
FULL, SLIDING = "full_attention", "sliding_attention"  # kinds of layers
SLIDING_THETA = {
    "gemma3_text": "rope_local_base_freq"
}  # what mlx_lm and transformers 4 call theta of the latter


def rope_of(config: dict[str, Any], kind: str = FULL) -> dict[str, Any] | None:
    """The flat rotary settings, in a config.json of transformers 4 or 5, of layers of a kind; None when it has none.

    Raises CheckFailedError FTS653 where kinds differ in them and mlx_lm is not known to read that.
    """
    found = config.get("rope_parameters")
    own = SLIDING_THETA.get(config.get("model_type", ""))
    if found is None and kind == SLIDING and own in config:
        found = {"rope_theta": config[own]}
    elif found is None:
        scaling = config.get("rope_scaling") or {}
        found = {**scaling, **{key: config[key] for key in ("rope_theta",) if key in config}}
        if "partial_rotary_factor" in config:
            found["partial_rotary_factor"] = config["partial_rotary_factor"]
    elif any(isinstance(value, dict) for value in found.values()):
        if own is None or not found.get(kind):
            raise CheckFailedError(
                "FTS653", "layers of this model differ in rotary positions, which is not read"
            )
        found = found[kind]
    if not found:
        return None
    rope = {**found, "rope_type": found.get("rope_type") or found.get("type") or "default"}
    rope.setdefault("rope_theta", config.get("rope_theta", THETA))
    return rope


def mlx_options(config: dict[str, Any]) -> dict[str, Any]:
    """Keys that mlx_lm's models read, to be laid over config.json."""
    rope, kinds = rope_of(config), config.get("layer_types") or []
    options: dict[str, Any] = {}
    if FULL in kinds and SLIDING in kinds and "sliding_window_pattern" not in config:
        options["sliding_window_pattern"] = kinds.index(FULL) + 1
    if rope is None:
        return options
    options |= {"rope_theta": rope["rope_theta"], "rope_scaling": None}
    if config.get("model_type") in SLIDING_THETA:
        options[SLIDING_THETA[config["model_type"]]] = (rope_of(config, SLIDING) or rope)["rope_theta"]
    if "partial_rotary_factor" in rope:
        options["partial_rotary_factor"] = rope["partial_rotary_factor"]
    if rope["rope_type"] != "default":
        scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
        options["rope_scaling"] = {**scaling, "type": rope["rope_type"]}
    return options


def check_rope(model: Any, config: dict[str, Any], positions: int) -> None:
    """Raises CheckFailedError FTS653 unless every layer turns by the angles of transformers.

    `positions`: how many tokens a row will have at most, answers included.
    """
    told = rope_of(config)
    turning = [[part for _, part in layer.named_modules() if _is_rope(part)] for layer in model.layers]
    if told is None and not any(turning):
        return
    width = config.get("qk_rope_head_dim") or config.get("head_dim")
    width = width or config["hidden_size"] // config["num_attention_heads"]
    kinds = layer_kinds(config, len(turning))
    turns = config.get("no_rope_layers") or [1] * len(turning)  # 0: a layer without, whatever the name says
    for number, parts in enumerate(turning):
        if bool(parts) != bool(turns[number]):
            raise CheckFailedError("FTS653", f"the rotary positions of layer {number} cannot be checked")
        rope = rope_of(config, kinds[number]) or {"rope_type": "default", "rope_theta": THETA}
        expected, factor = inverse_frequencies(rope, config, width, positions)
        wanted = np.zeros(width)
        wanted[: 2 * len(expected)] = np.repeat(expected, 2)
        for part in parts:
            angles, scale = probe(part, width)
            same = np.isclose(np.sort(angles), np.sort(wanted), rtol=RELATIVE, atol=ABSOLUTE).all()
            if not same or not np.allclose(scale[angles > ABSOLUTE], factor, rtol=RELATIVE):
                raise CheckFailedError(
                    "FTS653",
                    f"layer {number} turns by other angles than transformers' {rope['rope_type']} positions of "
                    f"theta {rope['rope_theta']:g}: mlx_lm does not read them for {config['model_type']}",
                )


def layer_kinds(config: dict[str, Any], count: int) -> list[str]:
    """The kind of each layer; transformers 4 writes that every n-th one attends to all."""
    turn = config.get("sliding_window_pattern")
    if config.get("layer_types") or type(turn) is not int:
        return config.get("layer_types") or [FULL] * count
    return regular_kinds(turn, count)


def regular_kinds(turn: int, count: int) -> list[str]:
    return [SLIDING if number % turn else FULL for number in range(1, count + 1)]


def _is_rope(part: Any) -> bool:
    return isinstance(part, nn.RoPE) or type(part).__module__ == "mlx_lm.models.rope_utils"


def probe(part: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Angle and length of every axis of a head after one position, [width] each, whatever the layout.

    Each head of the input is one axis; what it becomes has one entry in its own place and one beside.
    """
    axes = mx.zeros((1, width, 2, width), dtype=mx.float32)
    axes[0, :, 1, :] = mx.eye(width)
    turned = np.array(part(axes)[0, :, 1, :], dtype=np.float64)
    straight = np.diag(turned)
    aside = np.abs(turned).sum(axis=1) - np.abs(straight)
    return np.arctan2(aside, straight), np.hypot(aside, straight)


def inverse_frequencies(
    rope: dict[str, Any], config: dict[str, Any], width: int, positions: int
) -> tuple[np.ndarray, float]:
    """Angles of one position, [rotated / 2], and the factor of cosine and sine: the formulas of
    transformers.modeling_rope_utils. Raises CheckFailedError FTS653 for a kind that mlx_lm does otherwise."""
    kind, theta = rope["rope_type"], float(rope["rope_theta"])
    rotated = int(width * rope.get("partial_rotary_factor", 1.0))
    periods = theta ** (np.arange(0, rotated, 2) / rotated)
    plain: np.ndarray = 1.0 / periods
    if kind == "dynamic" and positions > config["max_position_embeddings"]:
        raise CheckFailedError("FTS653", "dynamic rotary positions differ beyond max_position_embeddings")
    if kind in SAME_AS_DEFAULT:
        return plain, 1.0
    if kind == "linear":
        return plain / rope["factor"], 1.0
    if kind == "llama3":
        return _llama3(rope, plain), 1.0
    if kind == "yarn":
        return _yarn(rope, config, plain, rotated)
    raise CheckFailedError("FTS653", f"mlx_lm does not compute {kind} rotary positions as transformers does")


def _llama3(rope: dict[str, Any], plain: np.ndarray) -> np.ndarray:
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    context = rope["original_max_position_embeddings"]
    waves = 2 * math.pi / plain
    smooth = (context / waves - low) / (high - low)
    between = (1 - smooth) * plain / factor + smooth * plain
    scaled = np.where(waves > context / low, plain / factor, plain)
    chosen: np.ndarray = np.where((waves <= context / low) & (waves >= context / high), between, scaled)
    return chosen


def _yarn(
    rope: dict[str, Any], config: dict[str, Any], plain: np.ndarray, rotated: int
) -> tuple[np.ndarray, float]:
    context = rope.get("original_max_position_embeddings") or config["max_position_embeddings"]
    factor = rope.get("factor") or config["max_position_embeddings"] / context
    theta = float(rope["rope_theta"])

    def scale(mscale: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0

    def place(rotations: float) -> float:
        return rotated * math.log(context / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = place(rope.get("beta_fast") or 32), place(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotated - 1)
    ramp = np.clip((np.arange(rotated // 2) - low) / ((high - low) or 0.001), 0, 1)
    attention = rope.get("attention_factor")
    if attention is None:
        one, all_dimensions = rope.get("mscale"), rope.get("mscale_all_dim")
        attention = scale(one) / scale(all_dimensions) if one and all_dimensions else scale(1)
    return plain / factor * ramp + plain * (1 - ramp), float(attention)
