"""The last state of a training on its way: out of the store before one begins, into the store when one has ended."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftspec.driver.extension import train_key_of, versions_in
from ftspec.driver.running import Run, environment_of
from ftspec.plan.codec import HASH_VERSION, hash_of
from ftspec.plan.extension import NOTE, STATE, state_document, with_extension
from ftspec.store.artifacts import MANIFEST, Artifacts
from ftspec.store.extension import read_extension
from ftspec.store.ledger import Ledger
from ftspec.store.records import forget_artifacts
from ftspec.store.run_record import RunRecord, all_records, read_record


def begin_training(run: Run, *, keeps: bool) -> None:
    """Place the last state of the training that this one extends, where the run is not as far by itself.
    `keeps`: its own last state will be stored."""
    from ftspec.lower.state import begun, note_inputs, place_state

    extension, key = run.plan.extends, run.stage("train").key
    own = begun(run.folder, key)
    placed = False
    if extension is not None and (own is None or own[1] < extension.step):
        record, _ = read_record(run.project.runs / extension.run_id)
        assert record is not None, "it was read when the extension was found"
        placed = place_state(
            run.folder,
            run.artifacts.path(STATE, hash_of(_inputs_of(run, train_key_of(record)))),
            key=key,
            step=extension.step,
            note=(NOTE, asdict(extension)),
            wanted=lambda path: str(path) != MANIFEST,
        )
    if keeps:
        note_inputs(run.folder, _inputs_of(run, key), key=key, placed=placed)


def _inputs_of(run: Run, train_key: str) -> dict[str, Any]:
    return state_document(
        run.plan,
        train_key,
        machine_digest=run.machine.digest,
        versions=versions_in(environment_of(run)),
    )


def store_state(run: Run, out: Path) -> None:
    """What a longer training can go on from, as an artefact of its own, under what it was trained with: an attempt
    that only takes it over may have other packages. None is kept of a run whose inputs moved."""
    from ftspec.lower.state import take_state

    scratch = run.folder / "scratch" / STATE
    document = take_state(out, scratch)
    if document is not None and not run.tainted:
        run.lease.require()
        run.artifacts.publish(STATE, hash_of(document), scratch, document, algorithm=HASH_VERSION)


def drop_extended(run: Run) -> None:
    """Remove the state that the training of a finished run went on from, once its own is stored: each takes three
    times the room of the weights. It stays where the newest run of another spec ended in it, as gc would have it."""
    before = read_extension(run.output("train"))
    record = None if before is None else read_record(run.project.runs / before.run_id)[0]
    if record is None:
        return
    records, _ = all_records(run.project)
    kept = {path for path, _ in newest_states(run.artifacts, records)}
    for path, document in states_of(run.artifacts, [run.stage("train").key]):
        if path in kept:
            key = hash_of({**document, "train": train_key_of(record)})
            if run.artifacts.path(STATE, key) not in kept:
                run.lease.require()
                run.artifacts.delete(STATE, key)
                forget_artifacts(Ledger(run.project), run.project.root)


def newest_states(store: Artifacts, records: Iterable[RunRecord]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """`states_of` the newest run of each spec, which is the one that is made longer. `records`: the oldest first."""
    newest = {record.name: record for record in records}
    return states_of(store, [train_key_of(record) for record in newest.values()])


def states_of(store: Artifacts, trained: Iterable[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Where the states of these trainings lie, and what their keys are the hashes of."""
    wanted = set(trained)
    for each in store.all():
        if each.stage == STATE and each.document.get("train") in wanted:
            yield each.path, each.document


def note_beginning(run: Run, out: Path, resumed: int | None) -> None:
    """Let output and plan say what the training in `out` did begin with, whatever was planned. `resumed`: the step
    that its last attempt went on from."""
    placed = read_extension(out)
    if placed is not None and (resumed is None or resumed < placed.step):
        (out / NOTE).unlink()  # what was placed was lost, or could not be read
        placed = None
    run.plan = with_extension(run.plan, placed)
