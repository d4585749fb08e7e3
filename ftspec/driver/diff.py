"""`ftspec diff`: two sides are read, compared, and held against the store."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.lookup import stored_stages
from ftspec.driver.sides import Reading, Side, read_side, with_values
from ftspec.plan.compare import (
    changes_of,
    costliest,
    costs_of,
    decisions_of,
    fidelity_of,
    paired_sources,
    shifts_of,
    stages_of,
)
from ftspec.plan.continuation import continuation
from ftspec.plan.difference import Difference, RowChange, SourceChange, SpecChanges
from ftspec.store.project import Project


def diff(
    old: str, new: str, *, project: Project, hardware_name: str | None = None
) -> tuple[Difference | None, Diagnostics]:
    """What the new side changes of the old one. Sides are written as `read_side` says."""
    with ExitStack() as stack:
        reading = Reading(project=project, stack=stack, hardware_name=hardware_name)
        before = read_side(old, reading)
        after = read_side(new, reading, other=old)
        if before is None or after is None:
            once = Diagnostics()  # what both sides say alike
            for each in reading.found:
                if each not in once:
                    once.items.append(each)
            return None, once
        if (before.half is None or after.half is None) and (before.lock is None or after.lock is None):
            reading.found.add(
                codes.NOT_COMPARABLE,
                f"{old} is a {before.name.form}, {new} is a {after.name.form}",
                help="compare a lock with a lock, or with a plan file that was saved beside one",
            )
            return None, reading.found
        return difference(before, after, project=project), reading.found


def difference(old: Side, new: Side, *, project: Project) -> Difference:
    """Of two sides that were read. A lock is compared with a lock."""
    if old.half is None or new.half is None:
        from ftspec.driver.lockdiff import lock_difference

        return lock_difference(old, new)
    if _without_spec(old) != _without_spec(new):
        old, new = with_values(old), with_values(new)
    assert old.half is not None
    assert new.half is not None
    before, after = old.half.plan, new.half.plan
    changes = changes_of(old.half, new.half)
    found = Difference(
        old=old.name,
        new=new.name,
        category=costliest(changes),
        changes=changes,
        notes=(*old.notes, *new.notes),
    )
    if before is None or after is None:
        return found
    stages = stages_of(before, after, stored_stages(project))
    found = replace(found, stages=stages, estimates=costs_of(before, after, stages))
    if before.kind != after.kind:
        return found
    return replace(
        found,
        decisions=decisions_of(before, after),
        fidelity=fidelity_of(before, after),
        data=tuple(_sources(old, new)),
        shifts=shifts_of(before, after),
        continuation=continuation(before, after),
    )


def _without_spec(side: Side) -> bool:
    """A plan that was saved without its spec has no apiVersion."""
    return side.half is not None and "apiVersion" not in side.half.spec


def _sources(old: Side, new: Side) -> Iterator[SourceChange]:
    assert old.half is not None
    assert new.half is not None
    assert old.half.plan is not None
    assert new.half.plan is not None
    before, after = old.half.spec["data"], new.half.spec["data"]
    for pair in paired_sources(old.half, new.half, old.half.plan, new.half.plan):
        one, other = pair.old, pair.new
        if one is not None and other is not None and one.digest == other.digest:
            continue
        rows = share = None
        if (
            pair.old_index is not None
            and pair.new_index is not None
            and old.folder is not None
            and new.folder is not None
        ):
            from ftspec.driver.rowdiff import row_change

            read = row_change(
                before[pair.side][pair.old_index], old.folder, after[pair.side][pair.new_index], new.folder
            )
            if read is not None:
                rows, total = read
                share = _share(rows, total)
        label = other if other is not None else one
        assert label is not None
        yield SourceChange(
            path=f"data.{pair.side}.{pair.index}",
            label=label.label,
            old_digest=None if one is None else one.digest,
            new_digest=None if other is None else other.digest,
            old_rows=None if one is None else one.rows,
            new_rows=None if other is None else other.rows,
            rows=rows,
            share_new=share,
        )


def _share(rows: RowChange, total: int) -> float:
    return round((rows.added + rows.changed) / total, 4)


def diff_since(
    revision: str,
    specs: tuple[Path, ...],
    *,
    project: Project,
    hardware_name: str | None = None,
) -> tuple[SpecChanges | None, Diagnostics]:
    """Of every spec that means something else since the revision, or of the given ones. Faults of one spec stop
    no other. None where the revision cannot be read."""
    from ftspec.driver.since import changed_specs

    changed, found = changed_specs(revision, specs, project=project)
    if changed is None:
        return None, found
    differences: list[Difference] = []
    new: list[str] = []
    deleted: list[str] = []
    renamed: list[tuple[str, str]] = []
    for each in changed:
        if each.status == "deleted":
            deleted.append(str(each.path))
            continue
        if each.old is None:
            new.append(str(each.path))
            continue
        if each.status == "renamed":
            renamed.append((str(each.old_path), str(each.path)))
        made, here = diff(
            f"{each.base[:12]}:{each.old}", str(each.path), project=project, hardware_name=hardware_name
        )
        if made is None and each.extended:
            continue  # no spec of its own: those that extend it are compared
        found.extend(here)
        if made is not None and not made.is_empty:
            differences.append(made)
    changes = SpecChanges(
        differences=tuple(differences),
        new=tuple(new),
        deleted=tuple(deleted),
        renamed=tuple(renamed),
        is_partial=found.has_errors,
    )
    return changes, found
