"""Runs the stages of config.json; see stages.py for options and exit codes."""

import sys
from pathlib import Path

from events import CheckFailedError
from llm_settings import Machine, Settings, read_settings
from stages import Work, run_program
from watch import StopRequest

ROOT = Path(__file__).resolve().parent


def work(name: str, settings: Settings, stop: StopRequest) -> Work:
    """The stage's function. Libraries are imported once, when the first stage needs them."""
    use_device(settings.machine)  # before mlx_lm is imported, which keeps a stream of the device
    if name == "train":
        from train import run_train

        return lambda folder, events: run_train(ROOT, settings, folder, events=events, stop=stop)
    from score import run_score

    tuned = {"score_base": False, "score_tuned": True}[name]
    return lambda folder, events: run_score(ROOT, settings, folder, tuned, events=events, stop=stop)


def use_device(machine: Machine) -> None:
    """Raises CheckFailedError FTS606 where mlx cannot run on the planned device."""
    import mlx.core as mx

    if machine.device == "cpu":
        mx.set_default_device(mx.cpu)
    elif machine.device == "mps" and mx.metal.is_available():
        mx.set_default_device(mx.gpu)
    else:
        raise CheckFailedError("FTS606", f"mlx has no {machine.device} device here, which was planned")


if __name__ == "__main__":
    sys.exit(run_program(ROOT, read_settings, work))
