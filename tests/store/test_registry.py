from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.store.project import Project
from ftspec.store.registry import delete_model, find_model_version, list_models, register_model, verify_models


def folder(path: Path, text: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "model.safetensors").write_text(text)
    return path


def versions(project: Project) -> list[tuple[str, bool]]:
    return [(model.version, model.current) for model in list_models(project)]


def test_versions_count_up_and_the_pointer_follows(project: Project, tmp_path: Path) -> None:
    first = register_model(project, "m", folder(tmp_path / "a", "1"), {"run_id": "r1"})
    assert (first.version, first.current) == ("v1", True)
    register_model(project, "m", folder(tmp_path / "b", "2"), {})
    assert versions(project) == [("v1", False), ("v2", True)]
    assert (project.models / "m" / "current").read_text() == "v2\n"
    model, _ = find_model_version(project, "m", "v1")
    assert model is not None
    assert model.meta == {"run_id": "r1"}
    assert not verify_models(project).items


def test_the_same_content_is_the_same_version(project: Project, tmp_path: Path) -> None:
    register_model(project, "m", folder(tmp_path / "a", "1"), {"key": "k"})
    assert register_model(project, "m", folder(tmp_path / "b", "1"), {}).version == "v1"
    assert (
        register_model(project, "m", folder(tmp_path / "c", "card with another date"), {"key": "k"}).version
        == "v1"
    )
    assert (
        register_model(project, "m", folder(tmp_path / "c", "3"), {"key": "l"}, make_current=False).version
        == "v2"
    )
    assert versions(project) == [("v1", True), ("v2", False)]


def test_ten_sorts_after_nine(project: Project, tmp_path: Path) -> None:
    for number in range(1, 12):
        register_model(project, "m", folder(tmp_path / "a", str(number)), {})
    assert [version for version, _ in versions(project)] == [f"v{number}" for number in range(1, 12)]


def test_delete(project: Project, tmp_path: Path) -> None:
    register_model(project, "m", folder(tmp_path / "a", "1"), {})
    register_model(project, "m", folder(tmp_path / "a", "2"), {})
    delete_model(project, "m", "v1")
    delete_model(project, "m", "v2")
    with pytest.raises(FtspecError, match="FTS615"):
        delete_model(project, "m", "v2")
    assert versions(project) == []
    assert find_model_version(project, "m")[0] is None
    assert register_model(project, "m", folder(tmp_path / "a", "2"), {}).version == "v3"


@pytest.mark.parametrize("name", ["nope", "../m", "", "M", "m/v1"])
def test_no_such_model(project: Project, tmp_path: Path, name: str) -> None:
    register_model(project, "m", folder(tmp_path / "a", "1"), {})
    model, found = find_model_version(project, name)
    assert model is None
    (finding,) = found
    assert finding.code.id == "FTS615"
    assert "there is m" in finding.detail
    with pytest.raises(FtspecError, match="no version `v7`"):
        delete_model(project, "m", "v7")


def test_changed_files_are_reported(project: Project, tmp_path: Path) -> None:
    model = register_model(project, "m", folder(tmp_path / "a", "1"), {})
    (model.path / "model.safetensors").write_text("2")
    assert [item.code.id for item in verify_models(project)] == ["FTS612"]
