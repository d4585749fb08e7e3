"""Where a source lies: relative paths, `${env:NAME}`, and the standard library."""

import os
import re
import sysconfig
from pathlib import Path

from ftspec.diagnostics.codes import SOURCE_NOT_FOUND
from ftspec.diagnostics.model import Diagnostic, FtspecError

_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def not_found(detail: str, help: str = "") -> FtspecError:
    return FtspecError(Diagnostic(code=SOURCE_NOT_FOUND, detail=detail, help=help))


def resolve_path(written: str, folder: Path) -> Path:
    """The path that `written` means now. The value of a variable is never stored.

    Raises FtspecError (FTS701) for a variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match.group(1))
        if found is None:
            raise not_found(
                f"`{written}`: the environment variable {match.group(1)} is not set",
                f"set it: export {match.group(1)}=…",
            )
        return found

    return folder / Path(_VARIABLE.sub(value, written)).expanduser()


def require(path: Path, written: str, *, folder: bool) -> None:
    """Raise FtspecError (FTS701) unless `path` is a folder, or a file, that can be read."""
    kind = "folder" if folder else "file"
    if path.is_dir() if folder else path.is_file():
        if os.access(path, os.R_OK | (os.X_OK if folder else 0)):
            return
        raise not_found(f"`{written}`: the {kind} may not be read")
    if path.exists():
        help = "" if folder else "a folder is read by `type: code` or `type: beir`"
        raise not_found(f"`{written}` is not a {kind}", help)
    # The value of a variable may be a secret: it is not shown.
    where = "" if str(path) == written or _VARIABLE.search(written) else f" {path}"
    raise not_found(
        f"`{written}`: there is no such {kind}{where}", "paths are relative to the folder of the spec"
    )


def standard_library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])
