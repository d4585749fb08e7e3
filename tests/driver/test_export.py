"""`export.path`: a copy of the model that never takes the place of something else."""

from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.driver.register import _export, export_target
from ftspec.plan.embedding import EmbeddingPlan
from tests.example_evidence import example_plan


def plan_for(folder: Path, path: str | None) -> EmbeddingPlan:
    plan = example_plan()
    return replace(plan, data=replace(plan.data, folder=str(folder)), export=replace(plan.export, path=path))


@pytest.mark.parametrize("path", [".", "work", "work/notes.txt"])
def test_what_a_user_keeps_is_not_replaced(tmp_path: Path, path: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/notes.txt").write_text("mine")
    with pytest.raises(FtspecError, match="FTS640"):
        export_target(plan_for(tmp_path, path))


def test_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "ftspec.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for path in ("new", "empty", "new"):
        target = export_target(plan_for(tmp_path, path))
        assert target is not None
        _export(model, target)
        assert [each.name for each in target.iterdir()] == ["ftspec.json"]
    assert export_target(plan_for(tmp_path, None)) is None
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty", "model", "new"]
