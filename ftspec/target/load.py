"""Finds backends: folders with a `target.yaml`, shipped ones first, then those of the user."""

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from ftspec.diagnostics.codes import BAD_TARGET
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.paths import shared_folder
from ftspec.source.load import Document, load_document
from ftspec.target.features import Feature, FeatureSupport
from ftspec.target.fields import FieldLowering
from ftspec.target.memo import TreeMemo
from ftspec.target.model import Target, TargetFile

PATH_VARIABLE = "FTSPEC_BACKEND_PATH"
_FILE = "target.yaml"
_COMMON = "common"  # helpers that programs of several backends share

Place = tuple[str | int, ...]  # path in target.yaml
Fault = tuple[Place, str]  # with what is wrong there


def backend_folders(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Folders that hold backends: the shipped one, then those named by FTSPEC_BACKEND_PATH."""
    variable = (os.environ if environ is None else environ).get(PATH_VARIABLE, "")
    return (shared_folder("backends"), *(Path(part) for part in variable.split(os.pathsep) if part))


def load_targets(
    folders: Sequence[Path] | None = None, *, cache: Path | None = None
) -> tuple[tuple[Target, ...], Diagnostics]:
    """All backends, by folder and name. One with faults (FTS501) is left out; the others are returned.

    `cache` is where files without faults are remembered by their content.
    """
    found = Diagnostics()
    targets: dict[str, Target] = {}
    memo = None if cache is None else TreeMemo(cache / "targets")
    for folder in backend_folders() if folders is None else folders:
        if not folder.is_dir():
            found.add(
                BAD_TARGET,
                f"`{folder}` is not a folder",
                help=f"folders of backends come from {PATH_VARIABLE}",
            )
            continue
        for file in sorted(folder.glob(f"*/{_FILE}")):
            target = _remembered(file, targets, memo) or _load_target(file, targets, memo, found)
            if target is not None:
                targets[target.name] = target
    return tuple(targets.values()), found


def _remembered(file: Path, others: Mapping[str, Target], memo: TreeMemo | None) -> Target | None:
    """The backend, when its file was read before and is still without faults; else it is to be read anew."""
    tree = None if memo is None else memo.tree(file)
    if tree is None:
        return None
    try:
        target = Target.model_validate({**tree, "folder": file.parent})
    except ValidationError:
        return None
    return None if any(_misplacements(target, others)) else target


def _load_target(
    file: Path, others: Mapping[str, Target], memo: TreeMemo | None, found: Diagnostics
) -> Target | None:
    document, read = load_document(file)
    found.extend(read)
    if document is None or document.damaged:
        return None
    try:
        content = TargetFile.model_validate(document.tree)
    except ValidationError as error:
        found.extend(_schema_faults(error, document))
        return None
    fields = {name: getattr(content, name) for name in TargetFile.model_fields}
    target = Target.model_validate({**fields, "folder": file.parent})
    faults = [*_bad_specifiers(target), *_misplacements(target, others)]
    found.extend(
        Diagnostic(code=BAD_TARGET, detail=detail, primary=document.span(place)) for place, detail in faults
    )
    if faults:
        return None
    if memo is not None and not len(read):
        memo.keep(file, document.tree)
    return target


def helper_file(target: Target, name: str) -> Path:
    """A helper lies in `common` beside the backend's folder, else in the shipped one."""
    beside = target.folder.parent / _COMMON / name
    return beside if beside.is_file() else shared_folder("backends") / _COMMON / name


def _bad_specifiers(target: Target) -> Iterator[Fault]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    for name, required in target.packages.items():
        try:
            SpecifierSet(required)
        except InvalidSpecifier:
            yield ("packages", name), f"`packages.{name}`: `{required}` is not a version specifier"


def _misplacements(target: Target, others: Mapping[str, Target]) -> Iterator[Fault]:
    """Faults that lie around the file, not in it."""
    if target.name != target.folder.name:
        yield ("name",), f"the backend `{target.name}` lies in a folder named `{target.folder.name}`"
    if target.name in others:
        yield ("name",), f"`{target.name}` is also the name of the backend in {others[target.name].folder}"
    if target.requirements_no_deps is not None and target.requirements is None:
        yield ("requirements_no_deps",), "`requirements_no_deps` goes with `requirements`"
    pins = {name: getattr(target, name) for name in ("requirements", "requirements_no_deps")}
    files: list[tuple[Place, Path]] = [
        *((("programs", index), target.folder / name) for index, name in enumerate(target.programs)),
        *((("helpers", index), helper_file(target, name)) for index, name in enumerate(target.helpers)),
        *((("templates", key), target.folder / name) for key, name in target.templates.items()),
        *(((key,), target.folder / name) for key, name in pins.items() if name is not None),
    ]
    for place, path in files:
        if not path.is_file():
            yield place, f"the file `{path.name}` is missing from {path.parent}"


def _schema_faults(error: ValidationError, document: Document) -> Iterator[Diagnostic]:
    for fault in error.errors():
        if not fault["loc"]:  # keys that do not go together
            message = fault["msg"].removeprefix("Value error, ")
            yield Diagnostic(code=BAD_TARGET, detail=message, primary=document.span(("name",)))
            continue
        on_key = fault["loc"][-1] == "[key]" or fault["type"] == "extra_forbidden"
        place = tuple(part for part in fault["loc"] if part != "[key]")
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "is not a key here"
        elif on_key and place[0] == "features":
            message = "is not a feature"
        close = get_close_matches(str(place[-1]), _known(place), n=1) if on_key else []
        yield Diagnostic(
            code=BAD_TARGET,
            detail=f"`{'.'.join(str(part) for part in place)}`: {message}",
            primary=document.span(place, key=on_key),
            help=f"did you mean `{close[0]}`?" if close else "",
        )


def _known(place: tuple[int | str, ...]) -> list[str]:
    """Names that may stand where `place` ends."""
    if len(place) == 1:
        return list(TargetFile.model_fields)
    if place[0] == "features":
        return list(Feature) if len(place) == 2 else list(FeatureSupport.model_fields)
    return list(FieldLowering.model_fields)
