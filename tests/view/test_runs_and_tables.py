import pytest

from ftspec.view.runs import RunSummary, render_runs
from ftspec.view.safe_text import cell_width
from ftspec.view.table import cut, render_result, render_table

ROWS = [["a", "x" * 50, "1"], ["日本語", "line\nbreak \x1b[31m", "22"]]


@pytest.mark.parametrize("width", [30, 40, 80, 120])
def test_a_table_keeps_to_its_width(width: int) -> None:
    text = render_table(["name", "text", "n"], ROWS, right=[False, False, True], width=width)
    lines = text.splitlines()
    assert len(lines) == 4
    assert max(cell_width(line) for line in lines) <= width
    assert "\x1b" not in text
    assert all(line.endswith(end) for line, end in zip(lines, ["n", "─", " 1", "22"], strict=True))


def test_without_a_width_nothing_is_cut() -> None:
    assert "x" * 50 in render_table(["name", "text", "n"], ROWS)


def test_too_many_columns_become_blocks() -> None:
    columns = [f"column_{number}" for number in range(20)]
    text = render_table(columns, [["value of some length"] * 20] * 2, width=80)
    assert text.splitlines()[:2] == ["── 1 ──", "column_0   value of some length"]
    assert len(text.splitlines()) == 42


def test_cut_marks_what_is_gone() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cut("日本語", 5) == "日本…"


def test_no_rows() -> None:
    assert render_result(["a"], ["INTEGER"], [], format="human") == "a\n─\n0 rows\n"
    assert render_result(["a"], ["INTEGER"], [], format="json") == "[]\n"
    assert render_result(["a"], ["INTEGER"], [], format="csv") == "a\n"
    assert render_result([], [], [], format="human") == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_run_ids_are_never_cut(width: int) -> None:
    run = RunSummary(
        run_id="a-rather-long-name-aaaaaaaa",
        name="a-rather-long-name",
        state="finished",
        verdict="inconclusive",
        ended="2026-01-01T10:00:00+00:00",
        wall_seconds=200.0,
        primary="ndcg@10",
        metrics={"base": {"ndcg@10": 0.5}, "tuned": {"ndcg@10": 0.4}},
        model="a-rather-long-name v1",
    )
    text = render_runs([run], format="human", width=width)
    assert max(cell_width(line) for line in text.splitlines()) <= width
    assert "a-rather-long-name-aaaaaaaa" in text
    assert "-0.100" in text
