"""What a finished training leaves for a longer one that begins like it."""

import os
import shutil
from pathlib import Path

KEEP = "FTSPEC_KEEP_STATE"  # set to 1 by who stores it
FOLDER = "last_state"


def clear(saved: Path, step: int) -> None:
    """Remove `saved`, the checkpoints of a finished training. Where it is asked for, that of its last `step`
    stays, as `last_state/` beside them."""
    last, kept = saved / f"checkpoint-{step}", saved.with_name(FOLDER)
    if os.environ.get(KEEP) == "1" and last.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        last.rename(kept)
    shutil.rmtree(saved, ignore_errors=True)
