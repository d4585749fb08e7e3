"""Who is told how far the surveys of a command are. A survey is taken below most commands, at many depths."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

Progress = Callable[[int, int, str], None]  # done, total, unit
View = Callable[[], AbstractContextManager[Progress]]  # of one survey

_view: ContextVar[View | None] = ContextVar("survey_view", default=None)


@contextmanager
def surveys_shown(view: View) -> Iterator[None]:
    """Within this context each survey opens `view`."""
    token = _view.set(view)
    try:
        yield
    finally:
        _view.reset(token)


@contextmanager
def survey_progress() -> Iterator[Progress | None]:
    """What a survey reports its progress to; None where nobody listens."""
    view = _view.get()
    if view is None:
        yield None
        return
    with view() as progress:
        yield progress
