"""`ftspec drift --behaviour`: a model that was trained for real answers the held-out side of newer data."""

from pathlib import Path

import pytest

from tests.e2e.harness import ftspec, ftspec_json, rows, write_rows

pytestmark = pytest.mark.slow

NEW = [
    {"question": f"find the zebra {number}", "text": f"a zebra of the {number}th herd", "color": "red"}
    for number in range(20)
]


def test_behaviour_on_newer_data(copied: Path) -> None:
    stored = sorted(path.name for path in (copied / ".ftspec/artifacts").iterdir())
    same = ftspec_json("drift", "spec.yaml", "--behaviour", cwd=copied)
    (model,) = same["models"]
    assert model["findings"] == []
    assert any("passes its gates" in note for note in model["notes"])

    write_rows(copied / "rows.jsonl", [*rows(), *NEW])
    told = ftspec("drift", "spec.yaml", "--behaviour", "--format", "json", cwd=copied)
    assert "on today's held-out side, once" in told.stderr
    newer = ftspec_json("drift", "spec.yaml", "--behaviour", cwd=copied)
    (model,) = newer["models"]
    assert [finding["kind"] for finding in model["findings"]] == ["data"]
    assert any("passes its gates" in note for note in model["notes"])

    # A stricter gate is judged by what is stored: no program runs again.
    spec = copied / "spec.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("{min: 0.05,", "{min: 0.99,"), encoding="utf-8")
    strict = ftspec(
        "drift", "spec.yaml", "--behaviour", "--detailed-exitcode", "--format", "json", cwd=copied, exits=2
    )
    assert "once" not in strict.stderr
    assert "gate Recall@1: at least 0.99" in strict.stdout
    assert "fails today" in strict.stdout
    assert "when it was registered" in strict.stdout

    # Nothing was trained or registered for it, and no lease stays.
    assert not list((copied / ".ftspec/runs").glob("*-2"))
    assert [path.name for path in (copied / ".ftspec/models/tiny").glob("v*")] == ["v1"]
    assert not (copied / ".ftspec/lease.json").exists()
    now = sorted(path.name for path in (copied / ".ftspec/artifacts").iterdir())
    assert now == sorted({*stored, "behaviour"})

    # A model whose files are gone cannot be asked.
    (copied / ".ftspec/models/tiny/v1/model.safetensors").unlink()
    gone = ftspec_json("drift", "spec.yaml", "--behaviour", cwd=copied)
    assert any(text.startswith("behaviour: ") for text in gone["models"][0]["unknown"])
