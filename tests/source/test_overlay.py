from pathlib import Path

from ftspec.source.load import load_document


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_merge_rules(tmp_path: Path) -> None:
    write(
        tmp_path,
        base="a: {x: 1, y: 2}\nlist: [1, 2]\ngone: {z: 1}\nscalar: 1\n",
        spec="extends: base.yaml\na: {y: 3, w: 4}\nlist: [9]\ngone: null\nscalar: {m: 1}\nnothing: null\n",
    )
    document, found = load_document(tmp_path / "spec.yaml")
    assert document is not None
    assert not len(found)
    assert document.tree == {"a": {"x": 1, "y": 3, "w": 4}, "list": [9], "scalar": {"m": 1}, "nothing": None}


def test_places_point_into_the_file_the_value_came_from(tmp_path: Path) -> None:
    write(tmp_path, base="# one\na: {x: 1}\n", spec="extends: base.yaml\nb: 2\n")
    document, _ = load_document(tmp_path / "spec.yaml")
    assert document is not None
    inherited, own = document.span(("a", "x")), document.span(("b",))
    assert inherited is not None
    assert own is not None
    assert (Path(inherited.path).name, inherited.line) == ("base.yaml", 2)
    assert (Path(own.path).name, own.line) == ("spec.yaml", 2)


def test_later_files_win_and_diamonds_are_no_cycles(tmp_path: Path) -> None:
    write(
        tmp_path,
        root="v: 0\nr: 1\n",
        one="extends: root.yaml\nv: 1\n",
        two="extends: root.yaml\nv: 2\n",
        spec="extends: [one.yaml, two.yaml]\n",
    )
    document, found = load_document(tmp_path / "spec.yaml")
    assert document is not None
    assert not len(found)
    assert document.tree == {"v": 2, "r": 1}


def test_extends_is_relative_to_its_own_file_and_data_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / "shared" / "deep").mkdir(parents=True)
    (tmp_path / "shared" / "deep" / "root.yaml").write_text("path: data.jsonl\n")
    (tmp_path / "shared" / "base.yaml").write_text("extends: deep/root.yaml\n")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "spec.yaml").write_text("extends: ../shared/base.yaml\n")
    document, found = load_document(tmp_path / "specs" / "spec.yaml")
    assert document is not None
    assert not len(found)
    assert document.tree == {"path": "data.jsonl"}
    assert document.folder == tmp_path / "specs"
    span = document.span(("path",))
    assert span is not None
    assert span.path == str(tmp_path / "shared" / "deep" / "root.yaml")


def test_faults_of_an_overlay_name_who_inherits_it(tmp_path: Path) -> None:
    write(tmp_path, base="a: 1\na: 2\n", spec="extends: base.yaml\n")
    document, found = load_document(tmp_path / "spec.yaml")
    assert document is not None
    assert document.damaged
    assert [related.message for related in found.items[0].related] == ["first here", "extended from here"]


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, spec="extends: [x.yaml, y.yaml]\n")
    _, found = load_document(tmp_path / "spec.yaml")
    assert [item.code.id for item in found] == ["FTS105", "FTS105"]
