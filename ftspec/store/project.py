"""Where a project keeps its state: `.ftspec` beside the specs, which git never sees."""

from dataclasses import dataclass
from pathlib import Path

STATE_FOLDER = ".ftspec"
ENVIRONMENTS_FILE = "ftspec.environments.json"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with specs, and the paths of its state. Nothing is written before `create`."""

    root: Path

    @staticmethod
    def find(start: Path) -> "Project":
        """The nearest ancestor of `start` (itself included) that has state; else the root of its git
        checkout; else `start`."""
        start = start.absolute()
        folders = (start, *start.parents)
        for marker in (STATE_FOLDER, ".git"):
            for folder in folders:
                if (folder / marker).exists():
                    return Project(folder)
        return Project(start)

    @property
    def state(self) -> Path:
        return self.root / STATE_FOLDER

    @property
    def cache(self) -> Path:
        return self.state / "cache"

    @property
    def synth(self) -> Path:
        """What language models wrote, by content."""
        return self.state / "synth"

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def models(self) -> Path:
        return self.state / "models"

    @property
    def environments(self) -> Path:
        """Which version each environment points to. It lies beside the specs, for git."""
        return self.root / ENVIRONMENTS_FILE

    @property
    def promotions(self) -> Path:
        return self.state / "promotions"

    @property
    def ledger(self) -> Path:
        return self.state / "ftspec.duckdb"

    @property
    def lock(self) -> Path:
        """Guards the moments in which the lease is read and replaced."""
        return self.state / "lock"

    @property
    def lease(self) -> Path:
        return self.state / "lease.json"

    def create(self) -> None:
        """Make the state folder, and keep it out of git. Does nothing where it stands."""
        self.state.mkdir(parents=True, exist_ok=True)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")

    def relative(self, path: Path) -> str:
        """`path` as records hold it: relative to the root where it lies below, with `/`."""
        path = path.absolute()
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
