"""A registered model as a folder of its own, to use without ftspec."""

import shutil
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.card import CARD, PASSPORT
from ftspec.store.files import partial_path
from ftspec.store.registry import ADAPTER, REGISTRATION, RegisteredModel


def export_model(model: RegisteredModel, destination: Path, form: str | None = None) -> None:
    """Copy the files of `model` to `destination`, which is absent or empty, in one visible step.

    `form`: None for all that is registered; `adapter` for the adapter alone, as its library reads it, with
    the card; `merged` for all but the adapter. Raises FtspecError: FTS642 when the version lacks the
    form; FTS640 when something is there already, or the place cannot be written.
    """
    _check_form(model, form)
    destination = destination.absolute()
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise _refused(f"{destination} is there, and not an empty folder", "name a new folder")
    partial = partial_path(destination.parent, destination.name)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _copy(model, partial, form)
        if destination.exists():
            destination.rmdir()
        partial.rename(destination)
    except OSError as error:
        raise _refused(
            f"{destination}: {error.strerror or error}", "name a place that can be written"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_form(model: RegisteredModel, form: str | None) -> None:
    name = f"{model.name} {model.version}"
    if form == "adapter" and model.adapter is None:
        raise FtspecError(
            Diagnostic(
                code=codes.MODEL_FORM,
                detail=f"{name} has no adapter: all of its weights were trained",
                help=f"`ftspec models export {model.name}` copies the whole model",
            )
        )
    if form == "merged" and not model.is_whole:
        raise FtspecError(
            Diagnostic(
                code=codes.MODEL_FORM,
                detail=f"{name} is an adapter; it was registered unmerged",
                help=f"`ftspec models merge {model.name}` registers the merged model",
            )
        )


def _copy(model: RegisteredModel, target: Path, form: str | None) -> None:
    if form == "adapter":
        assert model.adapter is not None
        shutil.copytree(model.adapter, target)
        for name in (CARD, PASSPORT):  # they say which base it needs
            shutil.copyfile(model.path / name, target / name)
        return

    def left_out(folder: str, names: list[str]) -> set[str]:
        out = {REGISTRATION} if Path(folder) == model.path else set()
        return out | (
            {ADAPTER} if form == "merged" and model.adapter and Path(folder) == model.path else set()
        )

    shutil.copytree(model.path, target, ignore=left_out)


def _refused(detail: str, help: str) -> FtspecError:
    return FtspecError(Diagnostic(code=codes.EXPORT_REFUSED, detail=detail, help=help))
