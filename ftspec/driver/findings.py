"""Drift and disagreements of a lock as findings in a file: for annotations in a pull request, and for code
scanning. What people read of them is told elsewhere, with more words."""

from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, Severity, Span
from ftspec.driver.lock import LockResult
from ftspec.plan.drift import DriftFinding, DriftKind, DriftReport, DriftSeverity, ModelDrift
from ftspec.source.document import Document
from ftspec.source.load import load_document
from ftspec.source.node import Path as TreePath

# The key of the spec that asks for what moved.
_KEYS: dict[DriftKind, TreePath] = {
    DriftKind.MODEL: ("model", "base"),
    DriftKind.BASELINE: ("evaluation", "baseline"),
    DriftKind.DATA: ("data", "train"),
    DriftKind.EVALUATION: ("data", "evaluation"),
    DriftKind.ENVIRONMENT: ("resources", "backend"),
    DriftKind.HARDWARE: ("resources",),
    DriftKind.BEHAVIOUR: ("gates",),
    DriftKind.ARTIFACT: ("metadata", "name"),
    DriftKind.SPEC: ("metadata", "name"),
}


def drift_findings(report: DriftReport) -> Diagnostics:
    """FTS694 for each thing that moved: relevant ones as warnings, the others as notes."""
    found = Diagnostics()
    documents: dict[str, Document | None] = {}
    for model in report.models:
        path = model.spec_path
        if path not in documents:
            documents[path] = load_document(Path(path))[0] if path and Path(path).is_file() else None
        for each in model.findings:
            found.items.append(_drifted(model, each, documents[path]))
    return found


def _drifted(model: ModelDrift, finding: DriftFinding, document: Document | None) -> Diagnostic:
    primary = None
    if document is not None:
        place = _KEYS[finding.kind]
        while place and not document.has(place):
            place = place[:-1]
        primary = document.span(place) if place else _line(model.spec_path, 1)
    is_relevant = finding.severity is DriftSeverity.RELEVANT
    return Diagnostic(
        code=codes.DRIFTED,
        detail=f"{model.name} {model.version}: {finding.subject}: {finding.old} → {finding.new}",
        primary=primary,
        help=finding.remedy,
        severity=Severity.WARNING if is_relevant else Severity.NOTE,
    )


def lock_findings(result: LockResult, shown: Path) -> Diagnostics:
    """FTS630 for each entry that `ftspec lock` would change, at its line of the lock that is there."""
    found = Diagnostics()
    try:
        lines = result.path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for change in result.changes:
        quoted = f'"{change.key}"'
        number = next((index for index, line in enumerate(lines, start=1) if quoted in line), 1)
        excerpt = lines[number - 1] if lines else ""
        found.add(
            codes.LOCK_DISAGREES,
            change.sentence(),
            primary=_line(str(shown), number, excerpt) if lines else None,
            help="ftspec lock, and commit it",
        )
    return found


def _line(path: str, number: int, excerpt: str = "") -> Span:
    end = max(len(excerpt), 1) + 1
    return Span(path=path, line=number, column=1, end_line=number, end_column=end, excerpt=excerpt)
