"""ftspec.lock: what is written, what a plan makes of it, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.diagnostics.model import Diagnostics
from ftspec.models.find import find_model
from ftspec.paths import shared_folder
from ftspec.plan.contract import model_digest
from ftspec.store.lockfile import lock_text, parse_lock

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ftspec").mkdir()
    shutil.copytree(shared_folder("specs") / "data", tmp_path / "specs/data")
    for name in ("pairs", "scored"):
        shutil.copyfile(shared_folder("specs") / f"{name}.yaml", tmp_path / f"specs/{name}.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def run(*arguments: str, exits: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == exits, (result.exit_code, result.output, result.exception)
    return result.stdout, " ".join(result.stderr.split())


def lock() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path("ftspec.lock").read_text(encoding="utf-8"))
    return document


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")


def lose_a_row() -> None:
    path = Path("specs/data/http-pairs.jsonl")
    path.write_text(
        "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8"
    )


def hub_model(root: Path, commit: str, *, mark: str = "") -> Path:
    """A snapshot of a hub's cache; `main` is the commit that was made last."""
    from ftspec.models.packages import PACKAGES, locate

    place = locate(PACKAGES[0])
    assert place is not None
    repository = root / "hub/models--org--base"
    folder = repository / "snapshots" / commit
    shutil.copytree(place, folder)
    if mark:
        edit(str(folder / "config.json"), "{", '{"mark": "' + mark + '",')
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs/main").write_text(commit, encoding="ascii")
    return folder


def test_all_specs_of_the_project(project: Path) -> None:
    run("lock")
    document = lock()
    assert document["version"] == 1
    assert set(document["models"]) == {"all-MiniLM-L6-v2"}
    assert set(document["data"]) == {"specs/data/http-pairs.jsonl", "specs/data/http-scored.jsonl"}
    assert document["data"]["specs/data/http-pairs.jsonl"]["columns"] == ["answer", "class", "question"]
    assert document["packages"]["accelerate"]["torch"]
    model = document["models"]["all-MiniLM-L6-v2"]
    assert model["digest"] == model_digest(model["files"])
    assert "model.safetensors" in model["files"]
    text = Path("ftspec.lock").read_text(encoding="utf-8")
    assert text == json.dumps(document, indent=1, sort_keys=True) + "\n"
    parsed, found = parse_lock(text, "ftspec.lock")
    assert parsed is not None, [*found]
    assert lock_text(parsed) == text
    out, _ = run("lock", "--check")
    assert "nothing changes" in out
    assert not run("plan", "specs/pairs.yaml", "--locked")[1]


def test_entries_of_other_specs_stay_and_what_none_needs_goes(project: Path) -> None:
    run("lock")
    Path("specs/scored.yaml").unlink()
    run("lock", "specs/pairs.yaml")
    assert "specs/data/http-scored.jsonl" in lock()["data"]
    out, _ = run("lock", "--check", exits=1)
    assert "- data    specs/data/http-scored.jsonl" in out
    report = json.loads(run("lock", "--format", "json")[0])
    assert report["written"]
    assert [(each["change"], each["name"]) for each in report["changes"]] == [
        ("removed", "specs/data/http-scored.jsonl")
    ]
    assert "specs/data/http-scored.jsonl" not in lock()["data"]


def test_packages_of_backends_that_are_not_here_stay(project: Path) -> None:
    run("lock")
    document = lock()
    document["packages"]["mlx"] = {"mlx": "0.1"}
    Path("ftspec.lock").write_text(json.dumps(document), encoding="utf-8")
    run("lock")
    assert lock()["packages"]["mlx"] == {"mlx": "0.1"}


def test_moved_data(project: Path) -> None:
    run("lock")
    lose_a_row()
    _, said = run("plan", "specs/pairs.yaml", "--locked", exits=1)
    assert "error[FTS630]" in said
    assert "specs/pairs.yaml:12:" in said
    assert "data source specs/data/http-pairs.jsonl: 48 rows" in said
    assert "→ 47 rows" in said
    assert "help: `ftspec lock` writes" in said
    before = Path("ftspec.lock").read_bytes()
    _, said = run("plan", "specs/pairs.yaml")
    assert "note[FTS630]" in said
    assert Path("ftspec.lock").read_bytes() == before


def test_ci_implies_locked_where_there_is_a_lock(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert not run("plan", "specs/pairs.yaml")[1]
    _, said = run("plan", "specs/pairs.yaml", "--locked", exits=1)
    assert "FTS633" in said
    run("lock")
    lose_a_row()
    assert "error[FTS630]" in run("plan", "specs/pairs.yaml", exits=1)[1]
    assert "note[FTS630]" in run("plan", "specs/pairs.yaml", "--no-locked")[1]


def test_missing_entries_and_packages(project: Path) -> None:
    run("lock")
    edit("ftspec.lock", '"torch": "', '"torch": "0.')
    edit("ftspec.lock", "all-MiniLM-L6-v2", "another")
    _, said = run("plan", "specs/pairs.yaml", "--locked", exits=1)
    assert "base model all-MiniLM-L6-v2 is not in the lock" in said
    assert "package torch of accelerate: 0." in said
    _, said = run("plan", "specs/pairs.yaml", "--locked", "--hardware", "laptop-cpu", exits=1)
    assert "torch" not in said, "another machine has other packages"


def test_the_locked_revision_is_used(project: Path) -> None:
    edit("specs/pairs.yaml", "base: all-MiniLM-L6-v2", "base: org/base")
    first = hub_model(project, COMMIT)
    run("lock", "specs/pairs.yaml")
    assert lock()["models"]["org/base"]["revision"] == COMMIT
    hub_model(project, OTHER, mark="newer")
    plan = json.loads(run("plan", "specs/pairs.yaml", "--locked", "--format", "json")[0])
    assert plan["model"]["facts"]["location"] == str(first)
    run("lock", "specs/pairs.yaml")
    assert lock()["models"]["org/base"]["revision"] == COMMIT, "it stays"
    out, _ = run("lock", "specs/pairs.yaml", "--upgrade", "org/base")
    assert f"revision: {COMMIT} → {OTHER}, config.json:" in out
    assert lock()["models"]["org/base"]["revision"] == OTHER


def test_a_locked_revision_that_is_not_here(project: Path) -> None:
    edit("specs/pairs.yaml", "base: all-MiniLM-L6-v2", "base: org/base")
    shutil.rmtree(hub_model(project, COMMIT).parent / "gone", ignore_errors=True)
    run("lock", "specs/pairs.yaml")
    shutil.rmtree(project / "hub")
    hub_model(project, OTHER)
    _, said = run("plan", "specs/pairs.yaml", exits=1)
    assert f"revision {COMMIT}" in said
    assert f"ftspec models pull org/base --revision {COMMIT}" in said
    assert "`ftspec lock --upgrade org/base` takes the one that is here" in said


def test_a_revision_never_changes(project: Path) -> None:
    edit("specs/pairs.yaml", "base: all-MiniLM-L6-v2", "base: org/base")
    folder = hub_model(project, COMMIT)
    run("lock", "specs/pairs.yaml")
    edit(str(folder / "config.json"), "{", '{"mark": "altered",')
    assert "config.json:" in run("plan", "specs/pairs.yaml", "--locked", exits=1)[1]
    _, said = run("lock", "specs/pairs.yaml", exits=1)
    assert "its revision is the same" in said
    run("lock", "specs/pairs.yaml", "--upgrade", "org/base")
    assert not run("plan", "specs/pairs.yaml", "--locked")[1]


def test_upgrade_of_an_unknown_name(project: Path) -> None:
    _, said = run("lock", "--upgrade", "all-MiniLM-L6", exits=1)
    assert "did you mean `all-MiniLM-L6-v2`?" in said
    assert not Path("ftspec.lock").exists()


def test_two_readings_of_one_folder(project: Path) -> None:
    for name in ("one", "two"):
        shutil.copyfile("specs/pairs.yaml", f"specs/{name}.yaml")
    edit("specs/two.yaml", "query: question", "query: answer")
    edit("specs/two.yaml", "positive: answer", "positive: question")
    run("lock")
    assert len([key for key in lock()["data"] if key.startswith("specs/data/http-pairs.jsonl")]) == 1
    for name in ("one", "two"):
        assert not run("plan", f"specs/{name}.yaml", "--locked")[1]


def test_another_reading_does_not_push_the_first_one_out(project: Path) -> None:
    """Of one spec alone: the bytes are the same, so that it is no new content."""
    run("lock")
    shutil.copyfile("specs/pairs.yaml", "specs/two.yaml")
    edit("specs/two.yaml", "query: question", "query: answer")
    edit("specs/two.yaml", "positive: answer", "positive: question")
    edit("specs/two.yaml", "  split:", "  on_error: skip\n  split:")
    path = Path("specs/data/http-pairs.jsonl")
    rows = path.read_text(encoding="utf-8").splitlines()
    first = {**json.loads(rows[0]), "question": [json.loads(rows[0])["question"], "another"]}
    path.write_text("\n".join([json.dumps(first), *rows[1:]]) + "\n", encoding="utf-8")
    edit("specs/pairs.yaml", "  split:", "  on_error: skip\n  split:")
    run("lock", "specs/pairs.yaml")
    run("lock", "specs/two.yaml")
    keys = [key for key in lock()["data"] if key.startswith("specs/data/http-pairs.jsonl")]
    assert len(keys) == 2
    for name in ("pairs", "two"):
        assert "FTS630" not in run("plan", f"specs/{name}.yaml", "--locked")[1]


def test_links_on_the_way_to_the_project(project: Path) -> None:
    run("lock")
    link = project.parent / f"{project.name}-link"
    link.symlink_to(project)
    out, _ = run("lock", "--check", "--project", str(link))
    assert "nothing changes" in out


def faults(text: str) -> str:
    found: Diagnostics
    parsed, found = parse_lock(text, "ftspec.lock")
    assert parsed is None
    (fault,) = found
    return f"{fault.code.id} {fault.detail} {fault.help}"


def test_what_is_no_lock(project: Path) -> None:
    run("lock", "specs/pairs.yaml")
    text = Path("ftspec.lock").read_text(encoding="utf-8")
    conflict = text.replace(' "data"', '<<<<<<< HEAD\n "data"', 1)
    assert faults(conflict).startswith("FTS631 ftspec.lock:2: a conflict of git is not settled")
    assert "ends in the middle" in faults(text[: len(text) // 2])
    assert faults(text.replace('"version": 1', '"version": 2')).startswith("FTS632")
    assert "edited by hand" in faults(text.replace('"digest": "sha256:', '"digest": "sha256:0', 1))
    model = json.loads(text)["models"]["all-MiniLM-L6-v2"]["digest"]
    assert "is not that of its files" in faults(text.replace(model, "sha256:" + "0" * 64))
    assert "`version` is not 1" in faults(text.replace('"version": 1', '"version": true'))
    for other in ("[]", "{}", "null", '{"version": 1}', "", "text"):
        assert faults(other).startswith("FTS631")
    assert faults(text.replace("all-MiniLM-L6-v2", "\\ud800")).startswith("FTS631")
    assert faults("[" * 100_000).startswith("FTS631")
    for section in ("models", "data", "packages"):
        document = json.loads(text)
        document[section] = {"x": 1}
        assert faults(json.dumps(document)).startswith("FTS631")
    Path("ftspec.lock").write_text(conflict, encoding="utf-8")
    for command in (("plan", "specs/pairs.yaml"), ("lock",)):
        _, said = run(*command, exits=1)
        assert "FTS631" in said
        assert "git checkout --ours ftspec.lock" in said


@pytest.mark.parametrize("name", ["llm-chat", "llm-completion", "llm-raft"])
def test_language_models(project: Path, name: str) -> None:
    shutil.copyfile(shared_folder("specs") / f"{name}.yaml", "specs/llm.yaml")
    run("lock", "specs/llm.yaml")
    (model,) = lock()["models"].items()
    assert model[0].startswith("./specs/data/")
    assert {"tokenizer.json", "config.json"} <= model[1]["files"].keys()
    assert all(each["columns"] for each in lock()["data"].values())
    assert {each["type"] for each in lock()["data"].values()} == {name.removeprefix("llm-")}
    assert not [line for line in run("plan", "specs/llm.yaml", "--locked")[1].split() if "FTS63" in line]
    tokenizer = project / model[0] / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    _, said = run("plan", "specs/llm.yaml", "--locked", exits=1)
    assert f"base model {model[0]}: tokenizer_config.json:" in said


def test_what_is_a_spec(project: Path) -> None:
    from ftspec.driver.specs import project_specs

    Path("other.yaml").write_text("kind: Deployment\nspec:\n  apiVersion: ftspec/v1\n", encoding="utf-8")
    Path("quoted.yml").write_text('"apiVersion": "ftspec/v1" # here\n', encoding="utf-8")
    hidden = project / ".hidden"
    hidden.mkdir()
    shutil.copyfile("specs/pairs.yaml", hidden / "pairs.yaml")
    names = [path.relative_to(project).as_posix() for path in project_specs(project)]
    assert names == ["quoted.yml", "specs/pairs.yaml", "specs/scored.yaml"]


def test_a_version_of_a_registered_model(project: Path) -> None:
    from ftspec.models.packages import PACKAGES, locate

    place = locate(PACKAGES[0])
    assert place is not None
    for version in ("v1", "v2"):
        shutil.copytree(place, project / ".ftspec/models/mine" / version)
    facts, _ = find_model("mine", None, folder=project, store=project / ".ftspec/models", locked="v1")
    assert facts is not None
    assert facts.location.endswith("mine/v1")


def test_a_folder_that_is_read_twice_agrees_with_its_own_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One spec trains on one split of a BEIR folder and is judged on another."""
    shutil.copytree(shared_folder("specs") / "data", tmp_path / "data")
    shutil.copyfile(shared_folder("specs") / "beir.yaml", tmp_path / "beir.yaml")
    (tmp_path / ".ftspec").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    for arguments in (["lock"], ["lock", "--check"], ["plan", "beir.yaml", "--locked"]):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, (arguments, result.output)
    (tmp_path / "ftspec.lock").write_text(
        (tmp_path / "ftspec.lock").read_text().replace('"rows": ', '"rows": 1')
    )
    refused = CliRunner().invoke(cli, ["apply", "beir.yaml", "--yes"])
    assert refused.exit_code == 1
    assert "FTS63" in refused.output, "nothing runs that the lock does not state"
