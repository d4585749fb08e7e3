"""`python merge.py FOLDER`: FOLDER/model from base/ and FOLDER/adapter, by transformers and peft alone.

The last line on standard output is a JSON object: how near the merged model is to the two, or with exit
code 20 the `code` and `detail` of a failed check.
"""

import json
import os
import signal
import sys
from pathlib import Path

from events import CheckFailedError, finite
from llm_settings import read_settings
from watch import watch_parent

ROOT = Path(__file__).resolve().parent


def main(folder: Path) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    watch_parent()
    settings = read_settings(ROOT / "config.json")
    os.environ["OMP_NUM_THREADS"] = str(settings.machine.num_threads)
    import torch
    from models import load_adapter, load_model, place
    from train import merge

    torch.set_num_threads(settings.machine.num_threads)
    # A quantised base is merged as it was before, on the CPU: it may not fit elsewhere.
    device = "cpu" if settings.model.quantization_bits is not None else place(settings.machine.device)
    base = load_model(
        ROOT / settings.model.folder,
        settings,
        dtype=settings.machine.precision,
        quantized=False,
        device=device,
    )
    last = [load_adapter(base, folder / "adapter")]
    del base
    try:
        found, code = merge(ROOT, settings, last.pop(), folder, device), 0
    except CheckFailedError as fault:
        found, code = {"code": fault.code, "detail": fault.detail}, 20
    print(json.dumps(finite(found)))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
