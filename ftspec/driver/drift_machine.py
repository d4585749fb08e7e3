"""Drift of what runs a model's training: packages and hardware. Neither changes the model that is in use."""

from collections.abc import Iterator
from importlib.metadata import version

from ftspec.driver.facts import read_targets
from ftspec.driver.inputs import short_digest
from ftspec.plan.drift import DriftFinding, DriftKind, DriftSeverity
from ftspec.store.project import Project
from ftspec.store.run_record import RunRecord
from ftspec.target.environments import find_environment


def packages_drift(project: Project, record: RunRecord) -> Iterator[DriftFinding]:
    targets, _ = read_targets(project.cache)
    target = next((each for each in targets if each.name == record.backend), None)
    environment = None if target is None else find_environment(project.state, target)
    if environment is None or not environment.usable:
        yield DriftFinding(
            kind=DriftKind.ENVIRONMENT,
            subject=f"backend {record.backend}",
            severity=DriftSeverity.INFORMATIONAL,
            old="installed",
            new="not installed here",
            remedy=f"ftspec backends install {record.backend}",
        )
        return
    now = {"python": environment.python or "", "ftspec": version("ftspec"), **environment.versions}
    for name in sorted(record.versions.keys() | now.keys()):
        old, new = record.versions.get(name), now.get(name)
        if old != new:
            yield DriftFinding(
                kind=DriftKind.ENVIRONMENT,
                subject=f"package {name}" if name not in ("python", "ftspec") else name,
                severity=DriftSeverity.INFORMATIONAL,
                old=old or "not there",
                new=new or "not there",
                remedy="a new run may give slightly other numbers; `ftspec lock` states the versions",
            )


def hardware_drift(record: RunRecord) -> Iterator[DriftFinding]:
    from ftspec.hardware.detect import detect

    machine = detect()
    before, after = str(record.machine.get("digest")), machine.digest()
    if before == after:
        return
    old, new = str(record.machine.get("summary")), machine.summary()
    same = old == new
    yield DriftFinding(
        kind=DriftKind.HARDWARE,
        subject="machine",
        severity=DriftSeverity.INFORMATIONAL,
        old=f"{old} ({short_digest(before)})" if same else old,
        new=f"{new} ({short_digest(after)})" if same else new,
        remedy="a new plan decides for this machine; the model stays what it is",
    )
