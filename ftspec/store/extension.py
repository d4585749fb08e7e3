"""What the output of a training says of the one that it extended."""

import json
from pathlib import Path

from ftspec.plan.extension import NOTE
from ftspec.plan.model import Extension


def read_extension(train: Path) -> Extension | None:
    """Of the output folder of stage `train`; None where it began at its start."""
    path = train / NOTE
    if not path.is_file():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    return Extension(run_id=str(document["run_id"]), step=int(document["step"]))
