"""What a person reads beside the progress of a stage."""

import pytest

from ftspec.plan.frozen import FrozenMap
from ftspec.run.events import Event
from ftspec.view.progress import describe


@pytest.mark.parametrize(
    ("event", "values", "said"),
    [
        ("log", {"step": 3, "loss": 0.51234, "learning_rate": 1e-5}, "loss 0.512"),
        ("log", {"step": 3, "loss": None}, ""),
        ("eval", {"step": 3, "epoch": 0.5, "metrics": {"ndcg@10": 0.5, "loss": 1.25}, "best_step": 3},
         "validation ndcg@10 0.500, loss 1.250"),
        ("eval", {"step": 3, "epoch": 0.5, "metrics": {"loss": None}}, ""),
        ("resumed", {"step": 40}, "resumed from the checkpoint of step 40"),
        ("progress", {"done": 1, "total": 2}, ""),
    ],
)  # fmt: skip
def test_describe(event: str, values: dict[str, object], said: str) -> None:
    assert describe(Event(time=0.0, stage="train", event=event, values=FrozenMap(values))) == said
