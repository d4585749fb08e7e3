"""The sign of life of silent work: on a terminal only, once it takes a while, and gone afterwards."""

import io
import sys
import threading

import pytest

from ftspec.view import waiting as module
from ftspec.view.waiting import waiting


class Terminal(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        self.drawn.set()
        return written


def test_a_line_that_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with waiting("Loading the model"):
        assert terminal.drawn.wait(60)
    assert terminal.getvalue() == "\r\x1b[KLoading the model …\r\x1b[K"


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 3600.0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with waiting("Loading the model"):
        pass
    assert terminal.getvalue() == ""


def test_nothing_into_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    with waiting("Loading the model"):
        pass
    assert pipe.getvalue() == ""
