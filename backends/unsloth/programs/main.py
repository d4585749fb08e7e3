"""Runs the stages of config.json; see stages.py for options and exit codes.

unsloth changes torch, transformers, peft and trl when it is imported. Only the training may see that: base
and tuned model are scored by the libraries as they are, as whoever uses the model will run it. So each stage
begins in a new interpreter.
"""

import os
import sys
from pathlib import Path

from llm_settings import Settings, read_settings
from stages import Work, run_program
from watch import StopRequest

ROOT = Path(__file__).resolve().parent

# It would install packages of the system and of Python, and tell its makers that it runs.
QUIET = {
    "UNSLOTH_AUTO_INSTALL": "0",
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "UNSLOTH_COMPILE_LOCATION": str(ROOT / "compiled"),
}


def work(name: str, settings: Settings, stop: StopRequest) -> Work:
    """The stage's function. Libraries are imported when the stage begins, unsloth before all others."""
    os.environ.update(QUIET)
    if name == "train":
        import fast
        import torch
        from train import run_train

        torch.set_num_threads(settings.machine.num_threads)
        return lambda folder, events: run_train(
            ROOT, settings, folder, events=events, stop=stop, load=fast.load_to_train, export=fast.export
        )
    import torch
    from score import run_score

    torch.set_num_threads(settings.machine.num_threads)
    trained = {"score_base": None, "score_tuned": ROOT / "out" / "train"}[name]
    return lambda folder, events: run_score(ROOT, settings, folder, trained, events=events, stop=stop)


if __name__ == "__main__":
    sys.exit(run_program(ROOT, read_settings, work, renew=True))
