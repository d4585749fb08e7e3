"""A saved plan is a contract: each thing that can move is named, and what may differ is said."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.hardware.model import Hardware, hardware_from_facts
from ftspec.hardware.profiles import load_hardware, profile_names
from ftspec.paths import shared_folder
from ftspec.plan.codec import NOT_IDENTITY, hash_of, without

SPEC, PLAN = "specs/pairs.yaml", "change.ftplan"


class Applied(Exception):
    """In place of a run: what it was asked for."""

    def __init__(self, asked: dict[str, Any]) -> None:
        super().__init__("applied")
        self.asked = asked


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ftspec").mkdir()
    shutil.copytree(shared_folder("specs") / "data", tmp_path / "specs/data")
    shutil.copyfile(shared_folder("specs") / "pairs.yaml", tmp_path / SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def applied(plan: Any, **asked: Any) -> NoReturn:
        raise Applied({"plan": plan, **asked})

    monkeypatch.setattr("ftspec.driver.apply.apply_plan", applied)
    return tmp_path


def run(*arguments: str, exits: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == exits, (result.exit_code, result.output, result.exception)
    return result.stdout, " ".join(result.stderr.split())


def save(*arguments: str) -> dict[str, Any]:
    run("plan", SPEC, "--out", PLAN, *arguments)
    return saved()


def saved() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(PLAN).read_text(encoding="utf-8"))
    return document


def apply() -> tuple[dict[str, Any], str]:
    """What the run is asked for, and what was said before."""
    result = CliRunner().invoke(cli, ["apply", PLAN, "--yes"])
    assert isinstance(result.exception, Applied), (result.output, result.exception)
    return result.exception.asked, " ".join(result.stderr.split())


def refusal(code: int = 3) -> str:
    return run("apply", PLAN, "--yes", exits=code)[1]


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def hardware(name: str) -> Hardware:
    found, _ = load_hardware(name)
    assert found is not None
    return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """This machine becomes a named one."""

    def become(name: str) -> None:
        monkeypatch.setattr("ftspec.hardware.detect.detect", lambda: hardware(name))

    return become


def test_what_a_plan_file_holds(project: Path) -> None:
    document = save()
    contract = document["contract"]
    assert document["format_version"] == "1.1"
    assert contract["spec"]["train"]["num_train_epochs"] == 2.0
    assert contract["packages"]["torch"]
    assert contract["commit"] is None
    assert contract["production"] is None
    assert set(contract["lock"]["data"]) == {"specs/data/http-pairs.jsonl"}
    assert "model.safetensors" in contract["lock"]["models"]["all-MiniLM-L6-v2"]["files"]
    import jsonschema

    schema = json.loads((shared_folder("schemas") / "plan.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    asked, said = apply()
    assert not said
    assert asked["contract"].spec
    assert asked["machine"] is None
    out, said = run("show", PLAN)
    assert not said
    assert "Made in" in out
    assert json.loads(run("show", PLAN, "--format", "json")[0])["contract"] == contract


def test_the_contract_enters_no_digest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = save()["digest"]
    git("init", "-q")
    monkeypatch.setattr("ftspec.driver.contract.version", lambda name: "9.9")
    second = save()
    assert second["digest"] == first
    assert second["contract"]["ftspec"] == "9.9"


def test_spec_moved(project: Path) -> None:
    save()
    edit(SPEC, "num_train_epochs: 2", "num_train_epochs: 3")
    edit(SPEC, "recall@5:\n    min: 0.5", "recall@5:\n    min: 0.6")
    said = refusal()
    assert "spec specs/pairs.yaml: gates.recall@5.min: 0.5 → 0.6, train.num_train_epochs: 2.0 → 3.0" in said
    assert "ftspec plan specs/pairs.yaml --out FILE" in said
    out, said = run("show", PLAN)
    assert "warning[FTS602]" in said
    assert "train.num_train_epochs: 2.0 → 3.0" in said
    assert "all-MiniLM-L6-v2" in out


def test_formatting_moves_nothing(project: Path) -> None:
    save()
    edit(SPEC, "num_train_epochs: 2", "num_train_epochs:   2.0   # two")
    assert apply()[1] == ""


def test_data_moved(project: Path) -> None:
    save()
    path = Path("specs/data/http-pairs.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    said = refusal()
    assert "data source specs/data/http-pairs.jsonl: 48 rows" in said
    assert "→ 47 rows" in said
    rows = [json.loads(line) for line in lines]
    path.write_text("".join(json.dumps({**row, "new": "1"}) + "\n" for row in rows), encoding="utf-8")
    assert "columns: answer, class, question → answer, class, new, question" in refusal()


def test_model_moved(project: Path) -> None:
    from ftspec.models.packages import PACKAGES, locate

    place = locate(PACKAGES[0])
    assert place is not None
    shutil.copytree(place, "specs/base")
    edit(SPEC, "base: all-MiniLM-L6-v2", "base: ./base")
    save()
    edit("specs/base/config.json", "{", '{"mark": 1,')
    said = refusal()
    assert "base model ./specs/base: config.json:" in said
    assert said.count("FTS602") == 1


def test_package_moved(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = save()["contract"]["packages"]["torch"]
    from ftspec.target.environments import BackendEnvironment

    monkeypatch.setattr(
        BackendEnvironment, "versions", property(lambda self: {**_versions(self), "torch": "9.9"})
    )
    said = refusal()
    assert f"package torch of accelerate: {before} → 9.9, which may change numbers" in said
    assert "install what it was planned with" in said


def _versions(environment: Any) -> dict[str, str]:
    return {each.name: each.installed for each in environment.packages if each.installed is not None}


def test_production_moved(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save()
    promoted = SimpleNamespace(version="v2", digest="sha256:" + "1" * 64)
    monkeypatch.setattr("ftspec.driver.contract.pointer", lambda *_: promoted)
    said = refusal()
    assert "production of pairs: nothing → v2 (111111111111)" in said
    assert save()["contract"]["production"] == {"version": "v2", "digest": "sha256:" + "1" * 64}
    apply()


def test_the_commit_alone_is_told_and_refuses_nothing(project: Path) -> None:
    git("init", "-q")
    git("add", "specs")
    git("commit", "-q", "-m", "one")
    contract = save()["contract"]
    assert contract["commit"]
    assert not contract["dirty"]
    git("commit", "-q", "--allow-empty", "-m", "two")
    said = apply()[1]
    assert "note[FTS635]" in said
    assert f"planned at commit {contract['commit'][:12]}, this is" in said
    edit(SPEC, "num_train_epochs: 2", "num_train_epochs: 3")
    assert f"2.0 → 3.0 (planned at commit {contract['commit'][:12]}, this is" in refusal()
    assert save()["contract"]["dirty"]


def test_other_hardware_that_has_all(project: Path, here: Callable[[str], None]) -> None:
    here("laptop-cpu")
    document = save()
    here("ci-runner")
    if document["execution"]["num_threads"] > hardware("ci-runner").cpu.usable_cores:
        said = refusal()
        assert "threads, and this machine has" in said
    save("--hardware", "a100-40gb")
    here("h100x8")
    asked, said = apply()
    assert "note[FTS634]" in said
    assert "which has all that it asks for" in said
    assert asked["plan"].machine.name == "a100-40gb", "the planned execution runs"
    assert asked["machine"].digest == hardware("h100x8").digest(), "the record names the true one"
    here("laptop-cpu")
    said = refusal()
    assert "hardware: planned for" in said
    assert "the plan asks for 1 × cuda, of which this machine has 0" in said


def test_less_memory_precision_or_threads(project: Path, here: Callable[[str], None]) -> None:
    save("--hardware", "a100-80gb")
    here("t4")
    assert "bf16" in refusal()
    edit(SPEC, "gates:", "resources: {precision: fp16}\ngates:")
    save("--hardware", "a100-80gb")
    assert "note[FTS634]" in apply()[1], "the T4 has less than the limit, and more than the predicted peak"


def test_packages_of_another_machine_are_told(
    project: Path, here: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftspec.target.environments import BackendEnvironment

    here("a100-40gb")
    assert save()["contract"]["packages"]
    here("h100x8")
    monkeypatch.setattr(
        BackendEnvironment, "versions", property(lambda self: {**_versions(self), "torch": "9.9"})
    )
    said = apply()[1]
    assert "note[FTS635]" in said
    assert "packages of another machine: package torch of accelerate:" in said
    assert save("--hardware", "laptop-cpu")["contract"]["packages"] == {}, "nothing is known of them"


@pytest.mark.parametrize("name", profile_names())
def test_hardware_is_read_back_from_its_facts(name: str) -> None:
    machine = hardware(name)
    facts = json.loads(json.dumps(machine.facts()))
    again = hardware_from_facts(name, facts, machine.digest())
    assert again is not None
    assert again.digest() == machine.digest()
    assert hardware_from_facts(name, {**facts, "memory_bytes": 1}, machine.digest()) is None
    assert hardware_from_facts(name, {}, machine.digest()) is None


def test_edited_files(project: Path) -> None:
    text = json.dumps(save(), indent=1)
    for old, new, told in (
        ('"num_train_epochs": 2.0', '"num_train_epochs": 9.0', "its content does not have the digest"),
        ('"dirty": false', '"dirty": true', "its contract does not have the digest"),
        (
            '"production": null',
            '"production": {"version": "v1", "digest": "x"}',
            "its contract does not have",
        ),
    ):
        Path(PLAN).write_text(text.replace(old, new), encoding="utf-8")
        said = refusal()
        assert "FTS603" in said
        assert told in said
        out, said = run("show", PLAN)
        assert "warning[FTS603]" in said
        assert "all-MiniLM-L6-v2" in out
    document = json.loads(text)
    del document["contract"]
    Path(PLAN).write_text(json.dumps(document), encoding="utf-8")
    assert "its contract was taken out" in refusal()
    Path(PLAN).write_text(text.replace('"kind"', '"new": 1,\n "kind"', 1), encoding="utf-8")
    assert "FTS603" in refusal(), "what is not understood is not passed over"


def test_truncated_and_conflicting_files(project: Path) -> None:
    save()
    text = Path(PLAN).read_text(encoding="utf-8")
    Path(PLAN).write_text(text[: len(text) // 2], encoding="utf-8")
    for command in (("apply", PLAN, "--yes"), ("show", PLAN)):
        _, said = run(*command, exits=1)
        assert "FTS616" in said
        assert "ends in the middle" in said
    Path(PLAN).write_text(text.replace(' "kind"', '<<<<<<< HEAD\n "kind"', 1), encoding="utf-8")
    assert "a conflict of git" in refusal(1)


def test_odd_files(project: Path) -> None:
    """Whatever a file holds, it is a fault of the file and no crash."""
    document = save()
    contract = document["contract"]
    text = json.dumps(document)
    odd = [
        text.replace('"learning_rate": 2e-05', '"learning_rate": NaN'),
        text.replace('"learning_rate": 2e-05', '"learning_rate": Infinity'),
        text.replace('"name": "pairs"', '"name": "\\ud800"'),
        text[:-1] + ', "x": ' + "[" * 700 + "]" * 700 + "}",
        text[:-1] + ', "x": ' + "[" * 100_000,
        json.dumps({**document, "format_version": None}),
        json.dumps({**document, "format_version": {"a": 1}}),
        json.dumps({**document, "kind": ["Embedding"]}),
        json.dumps({**document, "machine": {**document["machine"], "facts": {"cpu.flags": 3}}}),
        *(
            json.dumps({**document, "contract": other})
            for other in ([], 1, {}, {"spec": {}}, {**contract, "lock": 1}, {**contract, "spec": "x"})
        ),
        *(json.dumps({**document, "contract": {**contract, key: ["?"]}}) for key in contract),
    ]
    for number, each in enumerate(odd):
        Path(PLAN).write_text(each, encoding="utf-8")
        for command in (("apply", PLAN, "--yes"), ("show", PLAN), ("show", PLAN, "--format", "json")):
            result = CliRunner().invoke(cli, list(command))
            assert result.exception is None or isinstance(result.exception, SystemExit), (number, command)
            assert "FTS6" in result.stderr, (number, command)
            assert command[0] == "show" or result.exit_code in (1, 3), number


def test_an_older_minor_version(project: Path) -> None:
    """As 1.0 wrote it: without a contract, and sources without their columns."""
    document = save()
    for key in ("contract", "contract_digest", "digest"):
        del document[key]
    for source in document["data"]["facts"]["sources"]:
        del source["columns"]
    document["format_version"] = "1.0"
    head = ("semantic_fingerprint", "realisation_fingerprint", "backend")
    whole = {key: value for key, value in document.items() if key not in head}
    document["digest"] = hash_of(without(whole, NOT_IDENTITY))
    Path(PLAN).write_text(json.dumps(document), encoding="utf-8")
    out, said = run("show", PLAN)
    assert not said
    assert "all-MiniLM-L6-v2" in out


def test_newer_versions(project: Path) -> None:
    save()
    edit(PLAN, '"format_version": "1.1"', '"format_version": "1.7"')
    said = refusal(1)
    assert "FTS604" in said
    assert "made by a newer ftspec" in said
    out, said = run("show", PLAN)
    assert "warning[FTS604]" in said
    assert "all-MiniLM-L6-v2" in out
    edit(PLAN, '"format_version": "1.7"', '"format_version": "2.0"')
    assert "FTS604" in refusal(1)
    out, said = run("show", PLAN)
    assert "warning[FTS604]" in said
    assert "only this much of it can be read" in said
    assert "pairs" in out
    assert "format_version 2.0" in out
    assert json.loads(run("show", PLAN, "--format", "json")[0])["format_version"] == "2.0"


def test_a_plan_without_a_contract(project: Path) -> None:
    """As `--format json` prints it, or with the contract taken out whole: what is not compared is said."""
    Path(PLAN).write_text(run("plan", SPEC, "--format", "json")[0], encoding="utf-8")
    said = apply()[1]
    assert "note[FTS636]" in said
    assert "packages, production and commit are not compared" in said
    edit(SPEC, "num_train_epochs: 2", "num_train_epochs: 3")
    assert "train.num_train_epochs: 2.0 → 3.0" in refusal()


def test_a_saved_plan_takes_no_overrides(project: Path) -> None:
    save()
    run("apply", PLAN, "--yes", "--set", "train.seed=1", exits=64)


def test_a_lock_that_says_something_else_by_now(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("lock", SPEC)
    save()
    whole = json.loads(Path("ftspec.lock").read_text("utf-8"))
    (source,) = whole["data"].values()
    source["digest"] = "sha256:" + "0" * 64
    Path("ftspec.lock").write_text(json.dumps(whole), "utf-8")
    assert "note[FTS630]" in apply()[1]
    monkeypatch.setenv("CI", "true")
    assert "note[FTS630]" in apply()[1], "it may have been planned with --no-locked"
    said = run("apply", PLAN, "--yes", "--locked", exits=1)[1]
    assert "error[FTS630]" in said
    assert "data source specs/data/http-pairs.jsonl" in said
    Path("ftspec.lock").write_text("{", "utf-8")
    assert "ftspec.lock cannot be read" in refusal()


def test_a_spec_that_is_gone_is_no_spec_with_faults(project: Path) -> None:
    save()
    text = Path(SPEC).read_text("utf-8")
    Path(SPEC).write_text("kind: [", "utf-8")
    assert "no longer compiles here" in refusal()
    Path(SPEC).unlink()
    said = refusal()
    assert "deleted or renamed" in said
    assert "no longer compiles" not in said
    Path(SPEC).write_text(text, "utf-8")
    apply()


def test_printed_commands_can_be_pasted(project: Path) -> None:
    _, said = run("plan", SPEC, "--out", "my plan.ftplan")
    assert "ftspec apply 'my plan.ftplan'" in said


def test_a_training_that_cannot_go_on_here_as_planned(project: Path) -> None:
    document = save()
    document["extends"] = {"run_id": "pairs-0a1b2c3d", "step": 4}
    Path(PLAN).write_text(json.dumps(document), "utf-8")
    said = apply()[1]
    assert "note[FTS688]" in said
    assert "go on from step 4 of run pairs-0a1b2c3d" in said
