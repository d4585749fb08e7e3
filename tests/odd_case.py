"""A project in which every free text is hostile: to shells, templates, Markdown, terminals and YAML."""

import json
import shutil
from pathlib import Path

from ftspec.paths import shared_folder

ODD = "{{ 7 * 7 }} $(touch pwned) `id` \"double\" 'single' \\ %s <b>检索 поиск 🔍</b> | #1 @team\nnew line"
FILE = "данные {{x}} $(id) 'q' 文.jsonl"
COLUMN = '质问 {{q}} $(id) "x"'


def make_project(folder: Path) -> Path:
    """Writes the project and returns its folder; the spec is odd.yaml."""
    source = shared_folder("specs") / "data" / "http-pairs.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row[COLUMN] = row.pop("question")
        row["class"] += f" {ODD}"
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / FILE).write_text("".join(lines), encoding="utf-8")
    shutil.copyfile(shared_folder("specs") / "pairs.yaml", folder / "pairs.yaml")
    spec = {
        "extends": "pairs.yaml",
        "metadata": {"name": "odd", "description": ODD, "labels": {ODD: ODD}},
        "model": {"prompts": {"query": ODD, "document": ODD}},
        "data": {
            "train": [
                {
                    "type": "file",
                    "path": FILE,
                    "roles": {"query": COLUMN, "positive": "answer", "group": "class"},
                }
            ]
        },
        "export": {"path": f"out {ODD}"},
    }
    (folder / "odd.yaml").write_text(json.dumps(spec, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder
