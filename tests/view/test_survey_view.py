"""Surveys that take a while say how far they are: one line in a terminal, plain lines elsewhere."""

import io
import sys

import pytest

from ftspec.driver.listening import survey_progress, surveys_shown
from ftspec.view import survey
from ftspec.view.survey import survey_view


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(survey.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_shows_one_line_that_goes_again(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with survey_view() as show:
        for seconds, done in ((1.0, 100), (2.5, 2000), (2.6, 2100), (3.0, 2200)):
            clock[0] = 100.0 + seconds
            show(done, 5000, "rows")
    line = "\r\x1b[KSurveying data: {:,}/5,000 rows"
    assert screen.getvalue() == line.format(2000) + line.format(2200) + "\r\x1b[K"


def test_elsewhere_a_line_now_and_then(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with survey_view() as show:
        for seconds in (5.0, 10.0, 15.0, 21.0):
            clock[0] = 100.0 + seconds
            show(int(seconds), 30, "rows")
    assert capsys.readouterr().err.splitlines() == [
        "Surveying data: 10/30 rows",
        "Surveying data: 21/30 rows",
    ]


def test_short_surveys_say_nothing(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with survey_view() as show:
        show(30, 30, "rows")
    assert capsys.readouterr().err == ""


def test_a_survey_reports_to_who_listens() -> None:
    with survey_progress() as progress:
        assert progress is None
    with surveys_shown(survey_view), survey_progress() as progress:
        assert progress is not None
    with survey_progress() as progress:
        assert progress is None
