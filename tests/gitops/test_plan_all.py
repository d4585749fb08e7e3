"""`ftspec plan --all --since` in a real git repository."""

import hashlib
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ftspec.driver.plan_files import SUMS_NAME, PlanFiles, file_names
from ftspec.models.packages import PACKAGES, locate
from ftspec.plan.text import plan_from_json
from ftspec.store.project import Project
from ftspec.store.registry import register_model
from tests.driver.drift_case import compiled_plan, pretend_run
from tests.gitops.conftest import Repository
from tests.gitops.github_server import github
from tests.test_light import heavy_imports

METRICS = "metrics: [mrr@10, recall@1, recall@5]"
MORE_METRICS = "metrics: [mrr@10, recall@1, recall@5, recall@10]"


def planned(repository: Repository, *more: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """Path → what is said of it."""
    result = repository.run("plan", "--all", "--since", "main", "--format", "json", *more, code=code)
    return {each["path"]: each for each in json.loads(result.stdout)["specs"]}


def test_a_branch_that_changes_a_metric_and_a_learning_rate(repository: Repository) -> None:
    repository.replace("specs/pairs.yaml", METRICS, MORE_METRICS)
    repository.replace("specs/classes.yaml", "\ntrain:\n", "\ntrain:\n  learning_rate: 5e-5\n")
    repository.commit()
    text = repository.run(
        "plan", "--all", "--since", "main", "--format", "markdown", "--out-dir", "plans"
    ).stdout
    lines = text.splitlines()
    assert lines[0] == "<!-- ftspec:plan -->"
    assert lines[3].startswith("🔁 **Retrain** of 1 spec")
    assert "specs/classes.yaml" in lines[3]
    assert lines[5].startswith("📏 **Re-score** of 1 spec")
    assert "specs/pairs.yaml" in lines[5]
    rows = [line for line in lines if line.startswith("| <code>specs/") and line.count("|") == 7]
    retrain, score = (row.split(" | ") for row in rows)
    assert retrain[1:3] == ["**retrain**", "train, encode&#95;tuned, evaluate, gate, register"]
    assert score[1:3] == ["evaluation", "evaluate, gate, register"]
    assert all(re.search(r"\d+ (s|min)", row[3]) for row in (retrain, score))
    assert "GiB" in retrain[4]
    assert "- train.learning_rate: 2e-05\n+ train.learning_rate: 5e-05" in text
    assert repository.path("plans/comment.md").read_text(encoding="utf-8") == text
    for line in repository.path("plans/SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        raw = repository.path(f"plans/{name}").read_bytes()
        assert hashlib.sha256(raw).hexdigest() == digest
        plan, found = plan_from_json(raw.decode(), name=name)
        assert plan is not None, list(found)
        assert f"ftspec apply plans/{name}" in text
    repository.run("show", "plans/pairs.ftplan")


def test_reformatted_specs_and_words_run_nothing(repository: Repository) -> None:
    repository.replace("specs/pairs.yaml", "kind: Embedding", "kind: 'Embedding'  # of course")
    repository.replace("specs/classes.yaml", "description: ", "description: New words. ")
    specs = planned(repository, "--out-dir", "plans")
    assert specs["specs/pairs.yaml"]["category"] is None
    assert specs["specs/classes.yaml"]["category"] == "metadata"
    assert not any(each["stages"] or each["plan"]["file"] for each in specs.values())
    assert "no change in meaning" in repository.path("plans/comment.md").read_text(encoding="utf-8")
    assert repository.path("plans/SHA256SUMS").read_text() == ""
    repository.run("plan", "--all", "--since", "main", "--detailed-exitcode")


def test_what_a_spec_reads_counts(repository: Repository) -> None:
    """Data, and what is extended; the earlier version is planned with the earlier data."""
    repository.git("checkout", "-q", "main")
    repository.path("specs/over.yaml").write_text("extends: pairs.yaml\nmetadata:\n  name: over\n")
    repository.commit()
    repository.git("checkout", "-qB", "change")
    with repository.path("specs/data/http-classes.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "a teapot that pours", "class": "client error"}\n')
    specs = planned(repository)
    assert list(specs) == ["specs/classes.yaml"]
    one = specs["specs/classes.yaml"]
    assert one["because"] == ["specs/data/http-classes.jsonl"]
    assert one["category"] == "retrain"
    assert [each["path"] for each in one["difference"]["changes"]] == ["data.train.0#content"]
    assert one["difference"]["data"][0]["rows"]["added"] == 1
    repository.git("checkout", "-q", ".")
    repository.replace("specs/pairs.yaml", METRICS, MORE_METRICS)
    specs = planned(repository)
    assert list(specs) == ["specs/over.yaml", "specs/pairs.yaml"]
    assert specs["specs/over.yaml"]["because"] == ["specs/pairs.yaml"]
    assert {each["category"] for each in specs.values()} == {"evaluation"}


@pytest.mark.parametrize("written", [".", "'..'", "./  # all", "../"])
def test_code_of_a_whole_folder(repository: Repository, written: str) -> None:
    text = repository.path("specs/pairs.yaml").read_text(encoding="utf-8")
    start, end = text.index("    - type: file"), text.index("  split:")
    code = f"    - type: code\n      path: {written}\n"
    repository.git("checkout", "-q", "main")
    body = "".join(
        f'def f{n}(x):\n    """Adds the number {n} to x."""\n    return x + {n}\n\n\n' for n in range(40)
    )
    repository.path("specs/code.py").write_text(body)
    repository.path("specs/other.py").write_text(body.replace("Adds", "Takes").replace("+", "-"))
    spec = (text[:start] + code + text[end:]).replace("  slices: [group]\n", "")
    repository.path("specs/pairs.yaml").write_text(spec, encoding="utf-8")
    repository.commit()
    repository.git("checkout", "-qB", "change")
    repository.replace("specs/code.py", "number 3 ", "numeral 3 ")
    specs = planned(repository)
    assert list(specs) == ["specs/pairs.yaml"], specs
    assert specs["specs/pairs.yaml"]["because"] == ["specs/code.py"]
    assert specs["specs/pairs.yaml"]["category"] == "retrain"


def test_nothing_changed(repository: Repository) -> None:
    assert planned(repository) == {}
    result = repository.run("plan", "--all", "--since", "main", "--out-dir", "plans")
    assert result.stdout == "0 specs changed since main, 2 did not.\n"
    assert "**Nothing would run.**" in repository.path("plans/comment.md").read_text(encoding="utf-8")
    assert repository.path("plans/SHA256SUMS").read_text() == ""


def test_the_lock_is_compared_too(repository: Repository) -> None:
    repository.git("checkout", "-q", "main")
    repository.run("lock")
    repository.commit()
    repository.git("checkout", "-qB", "change")
    assert planned(repository) == {}
    with repository.path("specs/data/http-pairs.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"question": "a teapot", "answer": "that pours", "class": "client error"}\n')
    repository.run("lock")
    specs = planned(repository)
    assert list(specs) == ["specs/pairs.yaml", "ftspec.lock"]
    (changed,) = specs["ftspec.lock"]["difference"]["changes"]
    assert changed["path"] == "lock.data.specs/data/http-pairs.jsonl"
    assert specs["ftspec.lock"]["category"] == changed["category"] == "retrain"
    text = repository.run("plan", "--all", "--since", "main", "--format", "markdown").stdout
    assert "<b>ftspec.lock</b>" in text
    assert "1 spec did not change" in text
    human = repository.run("plan", "--all", "--since", "main").stdout
    assert "1 spec and the lock changed since main, 1 did not" in human
    repository.path("ftspec.lock").write_text("<<<<<<< ours\n{}")
    text = repository.run("plan", "--all", "--since", "main", "--format", "markdown", code=1).stdout
    assert "FTS631" in text


def test_nothing_heavy_is_imported(repository: Repository) -> None:
    repository.replace("specs/pairs.yaml", METRICS, MORE_METRICS)
    assert heavy_imports("plan", "--all", "--since", "main", "--out-dir", "plans", cwd=repository.top) == []
    assert heavy_imports("plan", "--all", "--since", "main", "--format", "markdown", cwd=repository.top) == []


def test_files_of_other_programs_are_no_specs(repository: Repository) -> None:
    for name in ("lint.yaml", "gone.yaml"):
        repository.path(name).write_text("extends: [recommended]\nrules: {a: 1}\n")
    repository.git("checkout", "-q", "main")
    repository.commit()
    repository.git("checkout", "-qB", "change")
    repository.replace("lint.yaml", "a: 1", "a: 2")
    repository.path("gone.yaml").unlink()
    repository.path(".hidden").mkdir()
    text = repository.path("specs/pairs.yaml").read_text(encoding="utf-8")
    repository.path(".hidden/pairs.yaml").write_text(text, encoding="utf-8")
    assert planned(repository) == {}


def test_names_with_odd_characters(repository: Repository) -> None:
    name = "specs/a@b: ä.yaml"
    repository.git("checkout", "-q", "main")
    repository.git("mv", "specs/pairs.yaml", name)
    repository.commit()
    repository.git("checkout", "-qB", "change")
    repository.replace(name, METRICS, MORE_METRICS)
    specs = planned(repository, "--out-dir", "plans")
    assert specs[name]["category"] == "evaluation"
    assert specs[name]["difference"]["old"]["label"] == f"main:{name}"
    assert Path(specs[name]["plan"]["file"]).is_file()


def test_new_deleted_and_renamed(repository: Repository) -> None:
    repository.path("search").mkdir()
    text = repository.path("specs/pairs.yaml").read_text(encoding="utf-8")
    repository.path("specs/pairs.yaml").unlink()
    moved = text.replace("path: data/", "path: ../specs/data/").replace(METRICS, MORE_METRICS)
    repository.path("search/http.yaml").write_text(moved, encoding="utf-8")
    new = text.replace("name: pairs", "name: another").replace("path: data/", "path: ../specs/data/")
    repository.path("search/new.yaml").write_text(new, encoding="utf-8")
    repository.path("specs/classes.yaml").unlink()
    repository.commit()
    specs = planned(repository)
    assert {path: each["state"] for path, each in specs.items()} == {
        "search/http.yaml": "renamed", "search/new.yaml": "new", "specs/classes.yaml": "deleted",
    }  # fmt: skip
    assert specs["search/http.yaml"]["old_path"] == "specs/pairs.yaml"
    assert specs["search/http.yaml"]["category"] == "evaluation"
    assert specs["search/new.yaml"]["difference"] is None
    assert specs["search/new.yaml"]["stages"]
    markdown = repository.run("plan", "--all", "--since", "main", "--format", "markdown").stdout
    for word in ("🆕 **New:**", "🗑️ **Deleted:**", "➡️ **Renamed:** <code>specs/pairs.yaml</code> → "):
        assert word in markdown
    human = repository.run("plan", "--all", "--since", "main").stdout
    assert "renamed from specs/pairs.yaml" in human


def test_a_merge_conflict_and_a_wrong_key_stop_no_other_spec(repository: Repository) -> None:
    repository.replace("specs/pairs.yaml", METRICS, MORE_METRICS)
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.replace("specs/pairs.yaml", METRICS, "metrics: [ndcg@10]")
    repository.commit()
    repository.git("checkout", "-q", "change")
    with pytest.raises(Exception, match="merge"):
        repository.git("merge", "main")
    repository.replace("specs/classes.yaml", "\ntrain:\n", "\ntrain:\n  learing_rate: 5e-5\n")
    new = repository.path("specs/classes.yaml").read_text(encoding="utf-8").replace("learing", "learning")
    repository.path("specs/more.yaml").write_text(
        new.replace("name: classes", "name: more"), encoding="utf-8"
    )
    specs = planned(repository, "--out-dir", "plans", code=1)
    assert {path: each["state"] for path, each in specs.items()} == {
        "specs/classes.yaml": "failed", "specs/pairs.yaml": "failed", "specs/more.yaml": "new",
    }  # fmt: skip
    faults = [each["diagnostics"][0] for each in specs.values() if each["state"] == "failed"]
    assert [each["code"] for each in faults] == ["FTS203", "FTS108"]
    assert faults[1]["primary"]["path"] == "specs/pairs.yaml"
    comment = repository.path("plans/comment.md").read_text(encoding="utf-8")
    assert "❌ **2 specs cannot be planned:**" in comment
    assert "**error FTS108** a merge conflict was left in the file at <code>specs/pairs.yaml:" in comment
    lines = repository.run(
        "plan", "--all", "--since", "main", "--format", "github", code=1
    ).stdout.splitlines()
    assert any(
        line.startswith("::error file=specs/classes.yaml,line=20,") and "FTS203" in line for line in lines
    )
    sarif = json.loads(repository.run("plan", "--all", "--since", "main", "--format", "sarif", code=1).stdout)
    places = {
        result["ruleId"]: result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in sarif["runs"][0]["results"]
    }
    assert places["FTS108"] == "specs/pairs.yaml"


def test_a_spec_that_was_broken_is_shown_as_new(repository: Repository) -> None:
    repository.git("checkout", "-q", "main")
    repository.replace("specs/pairs.yaml", "kind: Embedding", "kind: [")
    repository.commit()
    repository.git("checkout", "-qB", "change")
    repository.replace("specs/pairs.yaml", "kind: [", "kind: Embedding")
    one = planned(repository)["specs/pairs.yaml"]
    assert one["difference"] is None
    assert one["stages"]
    assert "cannot be read" in one["notes"][0]


def test_git_sees_nothing_of_the_state(repository: Repository) -> None:
    """Without a line of the user's own in .gitignore."""
    repository.path(".gitignore").unlink()
    repository.commit()
    repository.run("plan", "specs/pairs.yaml")
    assert repository.path(".ftspec/cache").is_dir()
    assert repository.git("status", "--porcelain", "--untracked-files=all") == ""


def test_a_state_folder_that_cannot_be_made_stops_no_plan(repository: Repository) -> None:
    repository.path(".ftspec").write_text("in the way")
    repository.run("plan", "specs/pairs.yaml")


def test_a_revision_that_is_none(repository: Repository) -> None:
    for revision in ("nothing", "origin/main", "--all", ""):
        result = repository.run("plan", "--all", f"--since={revision}", code=1)
        assert "FTS671" in result.stderr
    assert "FTS671" in repository.run("plan", "--all", "--since", "x", "--format", "github", code=1).stdout


def test_no_repository(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    repository.path(".git").rename(tmp_path / "away")
    assert "FTS670" in repository.run("plan", "--all", "--since", "main", code=1).stderr
    text = repository.run("plan", "--all", "--format", "markdown").stdout
    assert "▶️ **2 specs would run:**" in text
    assert "without git" in text


def test_all_specs_alone(repository: Repository) -> None:
    result = repository.run(
        "plan", "--all", "--format", "json", "--out-dir", "plans", "--detailed-exitcode", code=2
    )
    document = json.loads(result.stdout)
    assert {each["path"]: each["state"] for each in document["specs"]} == {
        "specs/pairs.yaml": "planned", "specs/classes.yaml": "planned"
    }  # fmt: skip
    assert sorted(path.name for path in repository.path("plans").iterdir()) == [
        "SHA256SUMS", "classes.ftplan", "comment.md", "pairs.ftplan"
    ]  # fmt: skip
    repository.path("plans/mine.txt").write_text("stays")
    repository.path("specs/pairs.yaml").unlink()
    repository.run("plan", "--all", "specs", "--out-dir", "plans")
    assert sorted(path.name for path in repository.path("plans").iterdir()) == [
        "SHA256SUMS", "classes.ftplan", "comment.md", "mine.txt"
    ]  # fmt: skip


def test_only_plan_files_of_an_earlier_call_go(repository: Repository) -> None:
    """Also those of a call that was broken off; and not one that somebody wrote there since."""
    folder = repository.path("plans")
    repository.run("plan", "--all", "--out-dir", "plans")
    with suppress(KeyboardInterrupt), PlanFiles(folder) as files:
        files.write("half.ftplan", "{}")
        raise KeyboardInterrupt
    assert [path.name for path in folder.glob("*.ftplan")] == ["half.ftplan"]
    assert "half.ftplan" in folder.joinpath(SUMS_NAME).read_text()
    repository.run("plan", "--all", "--out-dir", "plans")
    assert not folder.joinpath("half.ftplan").exists()
    folder.joinpath("pairs.ftplan").write_text("written by a user")
    folder.joinpath("other.ftplan").write_text("never listed")
    repository.path("specs/pairs.yaml").unlink()
    repository.run("plan", "--all", "--out-dir", "plans")
    assert sorted(path.name for path in folder.iterdir()) == [
        "SHA256SUMS", "classes.ftplan", "comment.md", "other.ftplan", "pairs.ftplan"
    ]  # fmt: skip
    assert [line.split()[1] for line in folder.joinpath(SUMS_NAME).read_text().splitlines()] == [
        "classes.ftplan"
    ]


def test_where_nothing_can_be_planned_all_is_left_as_it_was(repository: Repository) -> None:
    repository.run("plan", "--all", "--out-dir", "plans")
    before = contents(repository.path("plans"))
    repository.run("plan", "--all", "--since", "nothing", "--out-dir", "plans", code=1)
    assert contents(repository.path("plans")) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (SUMS_NAME, f"{'a' * 64}  tool-1.0.tar.gz\n"),
        (SUMS_NAME, f"{'a' * 64}  pairs.ftplan\n{'b' * 64}  tool-1.0.tar.gz\n"),
        (SUMS_NAME, f"{'a' * 64}  ../pairs.ftplan\n"),
        ("comment.md", "# Words of a person\n"),
        ("pairs.ftplan", "{}"),
    ],
)
def test_files_of_others_stay(repository: Repository, name: str, text: str) -> None:
    """Whether the plans could be made or not."""
    folder = repository.path("dist")
    folder.mkdir()
    for each, words in ((name, text), ("tool-1.0.tar.gz", "a release")):
        (folder / each).write_text(words)
    before = contents(folder)
    for more in ((), ("--since", "nothing")):
        result = repository.run("plan", "--all", "--out-dir", "dist", *more, code=1)
        assert ("FTS671" if more else f"= dist/{name}: ") in result.stderr
        assert ("FTS674" in result.stderr) != bool(more)
        assert contents(folder) == before
    (folder / name).unlink()
    repository.run("plan", "--all", "--out-dir", "dist")
    assert contents(folder).items() > {"tool-1.0.tar.gz": b"a release"}.items()


def test_a_plan_file_that_was_replaced_since_stays(repository: Repository) -> None:
    repository.run("plan", "--all", "--out-dir", "plans")
    repository.run(
        "plan", "specs/pairs.yaml", "--set", "train.learning_rate=1e-5", "--out", "plans/pairs.ftplan"
    )
    before = contents(repository.path("plans"))
    result = repository.run("plan", "--all", "--out-dir", "plans", code=1)
    assert result.stderr.count("FTS674") == 1
    assert contents(repository.path("plans")) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_for_another_machine(repository: Repository) -> None:
    repository.replace("specs/pairs.yaml", METRICS, MORE_METRICS)
    text = repository.run(
        "plan", "--all", "--since", "main", "--hardware", "h100x8", "--format", "markdown"
    ).stdout
    assert "H100" in text
    assert "GPU h" in text
    assert repository.run("plan", "--all", "--hardware", "nothing", code=1).stderr.count("FTS309") == 1


@pytest.mark.parametrize(
    "arguments",
    [("--since", "main", "specs/pairs.yaml"), ("--out-dir", "x", "specs/pairs.yaml"), (), ("--all", "--out", "x"),
     ("--all", "--set", "train.seed=1"), ("--all", "gone"), ("--all", "--out-dir", "specs/pairs.yaml"),
     ("--all", "--explain")],
)  # fmt: skip
def test_combinations_that_mean_nothing(repository: Repository, arguments: tuple[str, ...]) -> None:
    repository.run("plan", *arguments, code=64)


def test_faults_of_rows_point_into_the_data(repository: Repository) -> None:
    with repository.path("specs/data/http-classes.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"phrase": "no class"}\n')
    for arguments in (("--all", "--since", "main"), ("specs/classes.yaml",)):
        lines = repository.run("plan", *arguments, "--format", "github", code=1).stdout
        assert lines.startswith("::error file=specs/data/http-classes.jsonl,line=49,")


def test_a_single_plan_points_at_lines_too(repository: Repository) -> None:
    lines = repository.run("plan", "specs/pairs.yaml", "--format", "github").stdout.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["::warning file=specs/pairs.yaml"]
    assert "FTS803" in lines[0]
    repository.replace("specs/pairs.yaml", "all-MiniLM-L6-v2", "nobody/nothing")
    line = repository.run("plan", "specs/pairs.yaml", "--format", "github", code=1).stdout
    assert line.startswith("::error file=specs/pairs.yaml,line=8,")
    assert "FTS301" in line


def test_a_folder_that_cannot_be_made(repository: Repository) -> None:
    assert "Error: " in repository.run("plan", "--all", "--out-dir", "/proc/plans", code=1).stderr


def test_names_of_plan_files(tmp_path: Path) -> None:
    paths = [
        tmp_path / name for name in ("a/x.yaml", "b/x.yaml", "b/y z.yaml", "..yaml", "q/ä.yaml", "q/_.yml")
    ]
    names = file_names(paths, tmp_path)
    assert [names[path] for path in paths] == [
        "a-x.ftplan", "b-x.ftplan", "y_z.ftplan", "spec.ftplan", "_.ftplan", "_-2.ftplan"
    ]  # fmt: skip


def test_a_pull_request_has_one_comment_that_follows_its_branch(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_secret")
    plan = ("plan", "--all", "--since", "main", "--out-dir", "plans")
    with github() as server:
        comment = ("comment", "plans/comment.md", "--repo", "acme/search", "--pr", "7", "--api", server.url)
        repository.replace("specs/pairs.yaml", METRICS, MORE_METRICS)
        repository.run(*plan)
        assert repository.run(*comment).stdout.startswith("created")
        assert "Re-score" in server.comments[0]["body"]
        repository.replace("specs/pairs.yaml", "max_seq_length: 64", "max_seq_length: 32")
        repository.run(*plan)
        assert repository.run(*comment).stdout.startswith("updated")
        repository.git("checkout", "-q", ".")
        repository.run(*plan)
        assert repository.run(*comment).stdout.startswith("updated")
    assert len(server.comments) == 1
    assert "Nothing would run" in server.comments[0]["body"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("apiVersion:", "apiversion:"), ("ftspec/v1", "ftspec/v2")],
)
def test_a_spec_whose_head_is_broken_is_no_file_of_others(repository: Repository, old: str, new: str) -> None:
    repository.replace("specs/pairs.yaml", old, new)
    specs = planned(repository, code=1)
    assert specs["specs/pairs.yaml"]["state"] == "failed"


def test_an_emptied_spec_is_told(repository: Repository) -> None:
    repository.path("specs/pairs.yaml").write_text("")
    assert planned(repository, code=1)["specs/pairs.yaml"]["state"] == "failed"


def test_another_revision_in_the_lock_trains_what_starts_from_it(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but ftspec.lock changes, and yet another model comes out."""
    base = locate(PACKAGES[0])
    assert base is not None
    home = tmp_path / "hub" / "models--acme--mini"
    for number in ("1", "2"):
        snapshot = home / "snapshots" / (number * 40)
        shutil.copytree(base, snapshot)
        config = json.loads((snapshot / "config.json").read_text())
        (snapshot / "config.json").write_text(json.dumps(config | {"initializer_range": 0.01 * int(number)}))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("1" * 40)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository.replace("specs/pairs.yaml", "base: all-MiniLM-L6-v2", "base: acme/mini")
    repository.run("lock")
    repository.commit("locked")
    repository.git("branch", "-f", "main")
    (home / "refs" / "main").write_text("2" * 40)
    repository.run("lock", "--upgrade", "acme/mini")
    specs = planned(repository, "--out-dir", "plans")
    assert specs["specs/pairs.yaml"]["because"] == ["ftspec.lock"]
    assert specs["specs/pairs.yaml"]["plan"]["file"]
    assert "specs/classes.yaml" not in specs
    assert "pairs.ftplan" in repository.path("plans/SHA256SUMS").read_text()


def test_what_starts_from_a_model_that_is_made_anew_waits_for_it(repository: Repository) -> None:
    base = locate(PACKAGES[0])
    assert base is not None
    register_model(Project(repository.top), "pairs", base, {})
    repository.replace("specs/classes.yaml", "base: all-MiniLM-L6-v2", "base: pairs")
    repository.commit()
    repository.git("branch", "-f", "main")
    for name in ("pairs", "classes"):
        repository.replace(f"specs/{name}.yaml", "\ntrain:\n", "\ntrain:\n  learning_rate: 5e-5\n")
    specs = planned(repository, "--out-dir", "plans")
    assert specs["specs/pairs.yaml"]["plan"]["file"]
    assert specs["specs/classes.yaml"]["plan"]["file"] is None
    assert "plan it again" in " ".join(specs["specs/classes.yaml"]["notes"])
    assert "classes.ftplan" not in repository.path("plans/SHA256SUMS").read_text()


def test_a_fault_of_the_lock_is_told_once(repository: Repository) -> None:
    repository.path("ftspec.lock").write_text("<<<<<<< ours\n{}")
    for arguments in ((), ("--format", "markdown")):
        assert repository.run("plan", "--all", *arguments, code=1).stderr.count("[FTS631]") == 1
    assert repository.run("plan", "--all", "--format", "github", code=1).stdout.count("FTS631") == 1
    result = repository.run("plan", "--all", "--format", "json", code=1)
    specs = json.loads(result.stdout)["specs"]
    assert [[found["code"] for found in each["diagnostics"]] for each in specs] == [["FTS631"], ["FTS631"]]


def test_drift_of_what_a_spec_made_is_told(repository: Repository) -> None:
    project = Project(repository.top)
    project.create()
    pretend_run(project, compiled_plan(project, Path("specs/pairs.yaml")))
    assert not any(
        each["drift"]
        for each in json.loads(repository.run("plan", "--all", "--format", "json").stdout)["specs"]
    )
    with repository.path("specs/data/http-pairs.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"question": "a teapot", "answer": "that pours", "class": "client error"}\n')
    result = repository.run("plan", "--all", "--format", "json")
    specs = {each["path"]: each for each in json.loads(result.stdout)["specs"]}
    assert specs["specs/classes.yaml"]["drift"] == []
    (drift,) = specs["specs/pairs.yaml"]["drift"]
    assert [each["kind"] for each in drift["findings"]] == ["data"]
    text = repository.run("plan", "--all").stdout
    assert "drift of pairs v1: data source data/http-pairs.jsonl" in " ".join(text.split())


@pytest.mark.parametrize(
    ("written", "encoding"),
    [
        ("apiVersion: ftspec/v2", "utf-8"),
        ("apiversion: ftspec/v1", "utf-8"),
        ("apiVersion: ftspec/v1", "utf-16"),
    ],
)
def test_a_spec_that_nothing_reads_any_more_is_not_passed_over(
    repository: Repository, written: str, encoding: str
) -> None:
    text = repository.path("specs/pairs.yaml").read_text(encoding="utf-8")
    changed = text.replace("apiVersion: ftspec/v1", written)
    repository.path("specs/pairs.yaml").write_bytes(changed.encode(encoding))
    for since in ((), ("--since", "HEAD")):
        plans = json.loads(repository.run("plan", "--all", *since, "--format", "json", code=1).stdout)
        states = {each["path"]: each["state"] for each in plans["specs"]}
        assert states["specs/pairs.yaml"] == "failed"
    repository.run("lock", code=1)
    assert not repository.path("ftspec.lock").exists()


def test_histories_without_a_common_commit_are_named(repository: Repository) -> None:
    repository.git("checkout", "-q", "--orphan", "other")
    repository.git("commit", "-qm", "begun anew")
    for command in (("plan", "--all"), ("diff",)):
        assert "never left 'main'" in " ".join(repository.run(*command, "--since", "main").output.split())


def test_a_spec_in_conflict_is_none_that_did_not_change(repository: Repository) -> None:
    assert repository.run("diff", "--since", "main").stdout == "No spec changed since main.\n"
    repository.replace("specs/pairs.yaml", "\ntrain:\n", "\n<<<<<<< HEAD\ntrain:\n")
    for format_ in ("human", "markdown"):
        result = repository.run("diff", "--since", "main", "--format", format_, code=1)
        assert "FTS108" in result.stderr
        assert result.stdout == "No other spec changed since main.\n"


def test_keys_that_nobody_wrote_and_wishes_are_not_shown(repository: Repository) -> None:
    """A section that is new has many keys that are null; a value that is written follows from none."""
    with repository.path("specs/pairs.yaml").open("a", encoding="utf-8") as file:
        file.write("\nresources: {device: cpu, precision: fp32}\n")
    repository.replace("specs/pairs.yaml", "  latency_ms:\n    p95_max: 200\n", "")
    for command in (("plan", "--all"), ("diff",)):
        text = repository.run(*command, "--since", "main", "--format", "markdown").stdout
        assert '- gates.latency_ms: {"' in text
        assert "null" not in text
    decided = planned(repository)["specs/pairs.yaml"]["difference"]["decisions"]
    assert "execution.precision" not in [each["field"] for each in decided]
