"""Files whose names look like a revision, or like a machine."""

import json
import shutil

import pytest

from tests.gitops.conftest import Repository


@pytest.mark.parametrize("name", ["specs/a:b.yaml", "HEAD:pairs.yaml", "specs/a@h100x8.yaml"])
def test_a_file_that_is_there_is_no_revision(repository: Repository, name: str) -> None:
    """And what it was is found in HEAD all the same."""
    shutil.copy(repository.path("specs/pairs.yaml"), repository.path(name))
    if "/" not in name:
        repository.replace(name, "path: data/", "path: specs/data/")
    repository.commit()
    repository.replace(name, "metrics: [mrr@10, recall@1, recall@5]", "metrics: [mrr@10, recall@5]")
    for sides in ((name,), (f"HEAD:{name}", name)):
        found = json.loads(repository.run("diff", *sides, "--format", "json").stdout)
        assert found["category"] == "evaluation"
        assert found["new"]["label"] == name
    found = json.loads(repository.run("diff", f"{name}@laptop-cpu", "@h100x8", "--format", "json").stdout)
    assert (found["old"]["machine"], found["new"]["machine"]) == ("laptop-cpu", "h100x8")
