"""Runs the stages of config.json; see stages.py for options and exit codes."""

import sys
from pathlib import Path

from llm_settings import Settings, read_settings
from stages import Work, run_program
from watch import StopRequest

ROOT = Path(__file__).resolve().parent


def work(name: str, settings: Settings, stop: StopRequest) -> Work:
    """The stage's function. Libraries are imported once, when the first stage needs them."""
    import torch

    torch.set_num_threads(settings.machine.num_threads)
    if name == "train":
        from train import run_train

        return lambda folder, events: run_train(ROOT, settings, folder, events=events, stop=stop)
    from score import run_score

    trained = {"score_base": None, "score_tuned": ROOT / "out" / "train"}[name]
    return lambda folder, events: run_score(ROOT, settings, folder, trained, events=events, stop=stop)


if __name__ == "__main__":
    sys.exit(run_program(ROOT, read_settings, work, num_processes=lambda found: found.machine.num_processes))
