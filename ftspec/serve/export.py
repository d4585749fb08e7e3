"""A registered model as a folder of its own, to use without ftspec."""

import shutil
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.store.files import partial_path
from ftspec.store.registry import REGISTRATION, RegisteredModel


def export_model(model: RegisteredModel, destination: Path) -> None:
    """Copy the files of `model` to `destination`, which is absent or empty, in one visible step.

    Raises FtspecError (FTS640) when something is there already, or the place cannot be written.
    """
    destination = destination.absolute()
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise _refused(f"{destination} is there, and not an empty folder", "name a new folder")
    partial = partial_path(destination.parent, destination.name)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(model.path, partial, ignore=shutil.ignore_patterns(REGISTRATION))
        if destination.exists():
            destination.rmdir()
        partial.rename(destination)
    except OSError as error:
        raise _refused(
            f"{destination}: {error.strerror or error}", "name a place that can be written"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refused(detail: str, help: str) -> FtspecError:
    return FtspecError(Diagnostic(code=codes.EXPORT_REFUSED, detail=detail, help=help))
