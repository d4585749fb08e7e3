"""`python merge.py FOLDER`: FOLDER/model from base/ and FOLDER/adapter.

The last line on standard output is a JSON object: how near the merged model is to the two, or with exit
code 20 the `code` and `detail` of a failed check.
"""

import json
import signal
import sys
from pathlib import Path

from events import CheckFailedError, finite
from llm_settings import read_settings
from main import use_device
from watch import watch_parent

ROOT = Path(__file__).resolve().parent


def main(folder: Path) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    watch_parent()
    settings = read_settings(ROOT / "config.json")
    try:
        use_device(settings.machine)
        from adapters import load_adapter
        from score import load_base
        from train import merge
        from weights import check_layout, quantize

        loaded = load_base(ROOT, settings)
        check_layout(loaded)
        if settings.model.quantization_bits is not None:
            quantize(loaded, settings.model.quantization_bits)  # as it was when the adapter was trained
        load_adapter(loaded.model, folder / "adapter")
        found, code = merge(ROOT, settings, loaded, folder), 0
    except CheckFailedError as fault:
        found, code = {"code": fault.code, "detail": fault.detail}, 20
    print(json.dumps(finite(found)))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
