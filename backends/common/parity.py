"""Whether a merged model says what base and adapter say: a judgement on their logits, for every backend."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from events import CheckFailedError

ROWS, POSITIONS = 4, 64  # whose logits are compared: the first targets of the first rows
# How far logits may move, as a part of the largest: rounding of the coarser of the two dtypes.
PART = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 6e-2}


def judge(adapter: np.ndarray, merged: np.ndarray, *, dtypes: Sequence[str], rows: int) -> dict[str, Any]:
    """The two models' logits, [positions, vocabulary], as info.json has them.

    Raises CheckFailedError FTS651 when they are further apart than rounding in `dtypes` explains.
    """
    difference = np.abs(adapter - merged)
    tolerance = max(PART[name] for name in dtypes) * float(np.abs(adapter).max())
    found = {
        "max_abs_logit_difference": float(difference.max()),
        "mean_abs_logit_difference": float(difference.mean()),
        "argmax_agreement": float((adapter.argmax(-1) == merged.argmax(-1)).mean()),
        "tolerance": tolerance,
        "rows": rows,
    }
    if not found["max_abs_logit_difference"] <= tolerance:  # a NaN is no agreement
        raise CheckFailedError(
            "FTS651",
            f"logits of the merged model and of base and adapter differ by up to "
            f"{found['max_abs_logit_difference']:.4g}, {tolerance:.4g} is allowed",
        )
    return found
