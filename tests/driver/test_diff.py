"""`ftspec diff` as a command: its sides, its exit codes, and what it refuses (FTS673)."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.driver.rowdiff import row_change
from ftspec.paths import shared_folder
from ftspec.plan.contract import Lock, LockedModel, model_digest
from ftspec.plan.frozen import FrozenMap
from ftspec.store.lockfile import lock_text

SPEC = "specs/pairs.yaml"
DATA = "specs/data/http-pairs.jsonl"


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of a few example specs."""
    top = tmp_path / "repo"
    (top / "specs").mkdir(parents=True)
    for name in ("pairs.yaml", "beir.yaml", "llm-completion.yaml"):
        shutil.copy(shared_folder("specs") / name, top / "specs" / name)
    shutil.copytree(shared_folder("specs") / "data", top / "specs" / "data")
    (top / ".gitignore").write_text(".ftspec\n*.ftplan\n")
    _git(top, "init", "-q", "-b", "main")
    _git(top, "add", ".")
    _git(top, "commit", "-qm", "one")
    monkeypatch.chdir(top)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("CI", raising=False)
    return top


def _run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
    assert unexpected is None, unexpected
    assert result.exit_code == code, result.output
    return result


def _json(*arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run("diff", *arguments, "--format", "json", code=code).stdout)
    return found


def _replace(path: str, old: str, new: str) -> None:
    text = Path(path).read_text("utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new), "utf-8")


def _categories(found: dict[str, Any]) -> dict[str, str]:
    return {each["path"]: each["category"] for each in found["changes"]}


def test_nothing_changed(folder: Path) -> None:
    found = _json(SPEC, "--detailed-exitcode")
    assert found["category"] is None
    assert found["changes"] == []
    assert "No change" in _run("diff", SPEC).stdout
    assert "No change" in _run("diff", f"HEAD:{SPEC}", SPEC, "--format", "markdown").stdout


def test_comments_order_and_defaults_are_no_change(folder: Path) -> None:
    text = Path(SPEC).read_text("utf-8")
    blocks = re.split(r"\n(?=[a-z])", text)
    Path(SPEC).write_text("# by another hand\n" + "\n".join(reversed(blocks)) + "\n", "utf-8")
    _replace(SPEC, "\ntrain:\n", "\ntrain:\n  weight_decay: 0.0\n  optim: adamw\n")
    assert _json(SPEC, "--detailed-exitcode")["changes"] == []


def test_an_evaluation_metric_scores_again_and_a_learning_rate_trains_again(folder: Path) -> None:
    _replace(SPEC, "metrics: [mrr@10, recall@1, recall@5]", "metrics: [mrr@10, recall@5]")
    found = _json(SPEC, "--detailed-exitcode", code=2)
    assert found["category"] == "evaluation"
    (change,) = found["changes"]
    assert change["path"] == "evaluation.metrics"
    assert (change["old"], change["new"]) == (["mrr@10", "recall@1", "recall@5"], ["mrr@10", "recall@5"])
    line = next(
        n for n, text in enumerate(Path(SPEC).read_text("utf-8").splitlines(), 1) if "metrics:" in text
    )
    assert change["place"].startswith(f"{SPEC}:{line}:")
    changed = {each["name"] for each in found["stages"] if each["reason"] == "changed"}
    assert changed == {"evaluate", "gate", "register"}
    cheap = found["estimates"]["seconds"]
    _replace(SPEC, "\ntrain:\n", "\ntrain:\n  learning_rate: 3e-5\n")
    found = _json(SPEC)
    assert found["category"] == "retrain"
    assert _categories(found)["train.learning_rate"] == "retrain"
    assert found["estimates"]["seconds"] > cheap
    assert found["continuation"]["form"] == "none"
    assert [each["obstacle"] for each in found["continuation"]["refused"]] == ["curve"]


def test_plan_files_and_specs(folder: Path) -> None:
    _run("plan", SPEC, "--out", "a.ftplan")
    assert _json("a.ftplan", "a.ftplan")["changes"] == []
    assert _json("a.ftplan", SPEC, "--detailed-exitcode")["changes"] == []
    _replace(SPEC, "num_train_epochs: 2", "max_steps: 12")
    _run("plan", SPEC, "--out", "b.ftplan")
    for sides in (("a.ftplan", "b.ftplan"), ("a.ftplan", SPEC)):
        found = _json(*sides, "--detailed-exitcode", code=2)
        assert found["category"] == "retrain"
        assert {"train.num_train_epochs", "train.max_steps"} <= _categories(found).keys()
        assert [each["field"] for each in found["decisions"]].count("train.warmup_steps") == 1


def test_runs(folder: Path) -> None:
    _run("plan", SPEC, "--out", "a.ftplan")
    run = folder / ".ftspec" / "runs" / "20260101-120000-pairs"
    run.mkdir(parents=True)
    shutil.copy("a.ftplan", run / "plan.json")
    found = _json(run.name, SPEC)
    assert (found["old"]["form"], found["changes"]) == ("run", [])
    _replace(SPEC, "min: 0.5", "min: 0.6")
    assert _categories(_json(run.name, SPEC)) == {"gates.recall@5.min": "evaluation"}
    text = (run / "plan.json").read_text("utf-8")
    (run / "plan.json").write_text(text[: len(text) // 2], "utf-8")
    assert "FTS616" in _run("diff", run.name, SPEC, code=1).stderr


def test_two_machines(folder: Path) -> None:
    found = _json(f"{SPEC}@laptop-cpu", "@h100x8")
    assert _categories(found) == {"machine": "evaluation"}  # latency is measured
    assert {"execution.device", "execution.precision"} <= {each["field"] for each in found["decisions"]}
    text = _run("diff", f"{SPEC}@laptop-cpu", f"{SPEC}@rtx4090").stdout
    assert "execution.device cpu → cuda" in text
    assert _json(f"{SPEC}@laptop-cpu", SPEC, "--hardware", "laptop-cpu")["changes"] == []
    assert "FTS309" in _run("diff", f"{SPEC}@no-such", "@h100x8", code=1).stderr


def test_only_a_spec_is_planned_for_another_machine(folder: Path) -> None:
    _run("plan", SPEC, "--out", "a.ftplan")
    run = folder / ".ftspec" / "runs" / "20260101-120000-pairs"
    run.mkdir(parents=True)
    shutil.copy("a.ftplan", run / "plan.json")
    Path("ftspec.lock").write_text(lock_text(Lock()))
    _git(folder, "add", "-f", ".")
    _git(folder, "commit", "-qm", "two")
    for subject in ("a.ftplan", run.name, "ftspec.lock", "HEAD:a.ftplan"):
        for sides in ((subject, "@h100x8"), (f"{subject}@h100x8", subject)):
            assert "FTS673" in _run("diff", *sides, code=1).stderr
        assert "FTS309" in _run("diff", subject, "@nope", code=1).stderr
    assert "FTS673" in _run("diff", "a.ftplan@h100x8", code=1).stderr


def test_a_fault_of_both_sides_is_told_once(folder: Path) -> None:
    for sides in ((f"{SPEC}@nope",), ("@h100x8", "@laptop-cpu")):
        text = _run("diff", *sides, code=1).stderr
        assert text.count("error[") == 1
    Path("ftspec.environments.json").write_text("<<<<<<< HEAD\n")
    _git(folder, "add", ".")
    _git(folder, "commit", "-qm", "two")
    text = _run("diff", "ftspec.environments.json", code=1).stderr
    assert text.count("error[") == text.count("FTS673") == 1


def test_across_backends_what_becomes_approximated_is_said(folder: Path) -> None:
    spec = "specs/llm-completion.yaml"
    shutil.copy(spec, "specs/other.yaml")
    text = Path(spec).read_text("utf-8")
    Path(spec).write_text(
        text + "\nresources:\n  backend: mlx\n" if "resources:" not in text else text, "utf-8"
    )
    Path("specs/other.yaml").write_text(
        Path("specs/other.yaml").read_text("utf-8")
        + ("" if "resources:" in text else "\nresources:\n  backend: trl\n")
    )
    found = _json("specs/other.yaml@laptop-cpu", f"{spec}@laptop-cpu")
    assert found["changes"][0]["path"] == "resources.backend"
    for row in found["fidelity"]:
        assert {row["old"], row["new"]} - {"exact", None}
        assert row["difference"]


def test_rows_that_changed_since_the_commit(folder: Path) -> None:
    lines = Path(DATA).read_text("utf-8").splitlines(keepends=True)
    new = json.dumps({**json.loads(lines[0]), "question": "A new question that nobody asked before?"}) + "\n"
    first = json.loads(lines[1])
    changed = json.dumps({**first, "answer": f"{first['answer']}, indeed"}) + "\n"
    Path(DATA).write_text("".join([lines[0], changed, *lines[3:], new]), "utf-8")
    found = _json(SPEC, code=0)
    assert _categories(found) == {"data.train.0#content": "retrain"}
    (source,) = found["data"]
    assert (source["rows"]["added"], source["rows"]["removed"]) == (2, 2)  # questions there are no identity
    assert source["share_new"] == round(2 / len(lines), 4)
    assert f"{DATA} is read as of HEAD: it changed since" in found["notes"]
    assert "+ A new question" in _run("diff", SPEC).stdout
    since = _json("--since", "HEAD")
    assert {each["new"]["label"] for each in since["diffs"]} == {SPEC, "specs/llm-completion.yaml"}


def test_rows_are_told_apart_by_id_or_query_or_content(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, rows in (
        (old, [(1, "a", "x"), (2, "b", "y"), (3, "c", "z")]),
        (new, [(2, "b", "!"), (3, "c", "z"), (4, "d", "w")]),
    ):
        folder.mkdir()
        lines = [json.dumps({"n": n, "q": q, "d": d}) + "\n" for n, q, d in rows]
        (folder / "rows.jsonl").write_text("".join(lines))
    source: dict[str, Any] = {
        "type": "file",
        "path": "rows.jsonl",
        "format": "auto",
        "roles": {"query": "q", "positive": "d", "id": "n"},
    }
    for roles in (source["roles"], {"query": "q", "positive": "d"}):
        made = row_change({**source, "roles": roles}, old, {**source, "roles": roles}, new)
        assert made is not None
        rows_, total = made
        assert (rows_.added, rows_.removed, rows_.changed, total) == (1, 1, 1, 3)
    made = row_change({**source, "roles": {}}, old, {**source, "roles": {}}, new)
    assert made is not None
    assert (made[0].added, made[0].removed, made[0].changed) == (2, 2, 0)
    assert row_change(source, tmp_path, source, new) is None
    assert row_change({"type": "code", "path": "."}, old, {"type": "code", "path": "."}, new) is None


def test_another_name_of_the_same_data_costs_nothing(folder: Path) -> None:
    shutil.copy(DATA, "specs/data/copy.jsonl")
    _replace(SPEC, "data/http-pairs.jsonl", "data/copy.jsonl")
    assert _categories(_json(SPEC)) == {"data.train.0.path": "metadata"}


def test_overlays_are_read_from_the_same_commit(folder: Path) -> None:
    Path("specs/base.yaml").write_text("train:\n  learning_rate: 1e-5\n")
    text = Path(SPEC).read_text("utf-8").replace("kind:", "extends: base.yaml\nkind:", 1)
    Path(SPEC).write_text(re.sub(r"\n  learning_rate: .*", "", text), "utf-8")
    _git(folder, "add", ".")
    _git(folder, "commit", "-qm", "two")
    Path("specs/base.yaml").write_text("train:\n  learning_rate: 9e-5\n")
    found = _json(SPEC)
    assert [(each["path"], each["old"], each["new"]) for each in found["changes"]] == [
        ("train.learning_rate", 1e-05, 9e-05)
    ]
    assert found["changes"][0]["place"].startswith("specs/base.yaml:2:")
    since = _json("--since", "HEAD")
    assert [each["new"]["label"] for each in since["diffs"]] == [SPEC]
    assert since["category"] == "retrain"


def test_since_in_a_repository_that_did_not_change(folder: Path) -> None:
    found = _json("--since", "HEAD", "--detailed-exitcode")
    assert (found.pop("since"), found.pop("category")) == ("HEAD", None)
    assert not any(found.values())
    assert "No spec changed since main." in _run("diff", "--since", "main").stdout


def test_paths_of_a_revision_start_at_the_top_or_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "specs")
    for path in (SPEC, "pairs.yaml", "./pairs.yaml"):
        assert _json(f"HEAD:{path}", "pairs.yaml")["changes"] == []


def test_a_spec_that_cannot_be_planned_is_still_compared(folder: Path) -> None:
    _replace(SPEC, "data/http-pairs.jsonl", "data/gone.jsonl")
    result = _run("diff", SPEC, "--format", "json")
    found = json.loads(result.stdout)
    assert found["category"] == "retrain"
    assert found["stages"] == []
    assert any("cannot be planned here" in note for note in found["notes"])
    assert "FTS701" in result.stderr


def test_locks(folder: Path) -> None:
    files = FrozenMap({"config.json": "0" * 64})
    model = LockedModel(revision=None, digest=model_digest(files), files=files)
    lock = Lock(models=FrozenMap({"m": model}), packages=FrozenMap({"trl": FrozenMap({"trl": "1.0"})}))
    Path("ftspec.lock").write_text(lock_text(lock))
    _git(folder, "add", ".")
    _git(folder, "commit", "-qm", "lock")
    assert _json("HEAD:ftspec.lock", "ftspec.lock")["changes"] == []
    lock = replace(lock, packages=FrozenMap({"trl": FrozenMap({"trl": "1.1"})}))
    Path("ftspec.lock").write_text(lock_text(lock))
    found = _json("ftspec.lock")
    assert _categories(found) == {"lock.packages.trl": "realisation"}
    Path("ftspec.lock").write_text(lock_text(replace(lock, models=FrozenMap())))
    assert _json("ftspec.lock")["category"] == "space-break"
    assert "FTS673" in _run("diff", "ftspec.lock", SPEC, code=1).stderr
    Path("ftspec.lock").write_text("<<<<<<< HEAD\n")
    assert "FTS631" in _run("diff", "ftspec.lock", code=1).stderr


def test_a_plan_is_compared_with_its_own_part_of_the_lock(folder: Path) -> None:
    shutil.copy(SPEC, "specs/alike.yaml")  # of the same file as llm-completion.yaml, read otherwise
    _replace("specs/alike.yaml", "name: ", "name: other-")
    _run("lock", SPEC, "specs/alike.yaml", "specs/llm-completion.yaml")
    for spec in (SPEC, "specs/llm-completion.yaml"):
        _run("plan", spec, "--out", "a.ftplan")
        for sides in (("a.ftplan", "ftspec.lock"), ("ftspec.lock", "a.ftplan")):
            assert _json(*sides, "--detailed-exitcode")["changes"] == []
    whole = json.loads(Path("ftspec.lock").read_text("utf-8"))
    names = [name for name in whole["data"] if name.partition("#")[0].endswith("http-pairs.jsonl")]
    assert len(names) == 2
    for name in names:
        whole["data"][name]["rows"] += 1
    Path("ftspec.lock").write_text(json.dumps(whole))
    found = _json("a.ftplan", "ftspec.lock", "--detailed-exitcode", code=2)
    (change,) = found["changes"]
    assert (change["category"], set(change["new"])) == ("retrain", {"rows"})
    whole["models"] = {}
    Path("ftspec.lock").write_text(json.dumps(whole))
    assert _json("a.ftplan", "ftspec.lock")["category"] == "space-break"


@pytest.mark.parametrize(
    ("sides", "code"),
    [
        (("no-such:specs/pairs.yaml", SPEC), "FTS671"),
        ((":specs/pairs.yaml", SPEC), "FTS101"),
        (("HEAD:specs/gone.yaml", SPEC), "FTS672"),
        (("specs/gone.yaml", SPEC), "FTS101"),
        (("gone", SPEC), "FTS616"),
        ((DATA, SPEC), "FTS616"),
        (("--since", "no-such"), "FTS671"),
    ],
)
def test_sides_that_are_none(folder: Path, sides: tuple[str, ...], code: str) -> None:
    result = _run("diff", *sides, code=1)
    assert code in result.stderr
    assert not result.stdout.strip()


def test_a_conflict_in_a_spec_is_named(folder: Path) -> None:
    Path(SPEC).write_text("<<<<<<< HEAD\nkind: LLM\n=======\nkind: Embedding\n>>>>>>> x\n")
    assert "FTS108" in _run("diff", SPEC, code=1).stderr
    _git(folder, "commit", "-qam", "with a conflict")
    result = _run("diff", f"HEAD:{SPEC}", "specs/beir.yaml", code=1)
    assert f"HEAD:{SPEC}:1:1" in result.stderr


def test_without_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    Path("a.yaml").write_text("kind: LLM\n")
    for arguments in (("a.yaml",), ("--since", "main"), ("HEAD:a.yaml", "a.yaml")):
        assert "FTS670" in _run("diff", *arguments, code=1).stderr


def test_usage(folder: Path) -> None:
    assert "--since" in _run("diff", code=64).stderr
    _run("diff", "a", "b", "c", code=64)
    assert "name a second side" in _run("diff", "no-such-run", code=64).stderr
    assert "is a folder" in _run("diff", "specs", code=64).stderr
    assert "names a machine" in _run("diff", "@h100x8", code=64).stderr
    run = folder / ".ftspec" / "runs" / "20260101-120000-pairs"
    run.mkdir(parents=True)
    (run / "plan.json").write_text("{}")
    assert "is a run" in _run("diff", run.name, code=64).stderr


def test_the_table_of_rules(folder: Path) -> None:
    found = _json("--rules")
    assert [each["name"] for each in found["categories"]][-1] == "space-break"
    assert len({(each["path"], tuple(each["kinds"])) for each in found["rules"]}) == len(found["rules"])
    assert "model.pooling (Embedding)" in _run("diff", "--rules").stdout
