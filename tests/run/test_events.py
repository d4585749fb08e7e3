from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.run.events import drop_torn_line, read_events


def line(event: str, step: int | None = None, loss: float = 0.0) -> str:
    values = "" if step is None else f', "step": {step}, "loss": {loss}'
    return f'{{"time": 1, "stage": "train", "event": "{event}"{values}}}\n'


def test_reads_on_where_it_stopped_and_leaves_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(path) == ((), 0)
    path.write_text(line("start") + line("log", 1)[:-8])
    events, offset = read_events(path)
    assert [event.event for event in events] == ["start"]
    path.write_text(line("start") + line("log", 1) + "\n" + line("end"))
    events, offset = read_events(path, offset)
    assert [(event.event, event.values.get("step")) for event in events] == [("log", 1), ("end", None)]
    assert offset == path.stat().st_size
    assert read_events(path, offset) == ((), offset)


@pytest.mark.parametrize("bad", ["nonsense\n", "[]\n", '{"time": 1}\n', '{"time": 1, "sta\n'])
def test_any_other_bad_line_is_an_error_with_its_place(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line("start") + bad + line("end"))
    with pytest.raises(FtspecError, match=rf"FTS623.*byte {len(line('start'))}"):
        read_events(path)


def test_a_torn_line_of_a_dead_writer_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert drop_torn_line(path) == 0
    path.write_text(line("start") + '{"time"')
    assert drop_torn_line(path) == len(line("start"))
    path.write_text('{"time"')
    assert drop_torn_line(path) == 0
    assert path.read_text() == ""
