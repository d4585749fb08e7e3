"""The stages of a run up to its evidence: data in this process, training and encoding in programs."""

import json
import shutil
from pathlib import Path

from ftspec.diagnostics.model import FtspecError
from ftspec.driver.extension import keeps_state
from ftspec.driver.inputs import DATA_KINDS, MODEL_KINDS, moved_inputs, require_unmoved
from ftspec.driver.last_state import begin_training, note_beginning, store_state
from ftspec.driver.running import Run, environment_of, raise_errors, timed
from ftspec.plan.stages import GRAPHS, data_stages, program_stages


def run_data_stages(run: Run) -> None:
    """Raises FTS602 when a source moved while it was read: then nothing is spent yet, and nothing is kept."""
    from ftspec.driver.inprocess import make_data

    made = [name for name in data_stages(run.plan) if run.runs(name)]
    for name in made:

        def progress(done: int, total: int, unit: str, stage: str = name) -> None:
            run.emit(stage, "progress", done=done, total=total, unit=unit)

        with timed(run, name) as out:
            raise_errors(
                make_data(run.plan, name, run.output, out, project=run.project, on_progress=progress)
            )
    if not made:
        return
    try:
        require_unmoved(run.plan, run.project, DATA_KINDS)
    except FtspecError:
        for name in made:
            run.artifacts.delete(name, run.stage(name).key)
        raise


def run_program_stages(run: Run) -> None:
    """Lower the run folder and launch it, unless all of its stages are stored."""
    missing = [name for name in program_stages(run.plan) if run.runs(name)]
    if not missing:
        return
    from ftspec.driver.disk import check_disk
    from ftspec.driver.inprocess import check_evidence
    from ftspec.lower.lower import LowerInputs, lower
    from ftspec.lower.state import KEEP_STATE
    from ftspec.run.launch import launch

    raise_errors(check_evidence(run.plan, run.output))
    environment = environment_of(run)
    check_disk(run.plan, run.project)
    baseline = run.plan.evaluation.baseline_facts
    inputs = LowerInputs(
        base_model=Path(run.plan.model.facts.location),
        baseline_model=None if baseline is None else Path(baseline.location),
        data=run.output(GRAPHS[run.plan.kind].data),
        reused={name: run.output(name) for name in program_stages(run.plan) if name not in missing},
    )
    raise_errors(lower(run.plan, run.target, inputs, run.folder)[1])
    keeps = "train" in missing and keeps_state(run.plan, run.target)
    if "train" in missing:
        begin_training(run, keeps=keeps)
    try:
        outcome = launch(
            run.folder,
            on_event=run.watch,
            interpreter=str(environment.interpreter),
            environment={KEEP_STATE: "1"} if keeps else {},
        )
    finally:
        run.note_moved(moved_inputs(run.plan, run.project, MODEL_KINDS), spoils=True)
        for name in missing:
            _take_over(run, name)
    raise_errors(outcome.diagnostics)
    unfinished = [name for name in missing if run.artifacts.find(name, run.stage(name).key) is None]
    assert not unfinished, f"the program ended well without finishing {unfinished}"


def _take_over(run: Run, name: str) -> None:
    """Publish the output of a finished program stage. The run folder keeps links to it."""
    from ftspec.lower.links import link_tree

    out = run.folder / "out" / name
    done = out / "DONE.json"
    if not done.is_file():
        return
    state = json.loads(done.read_text(encoding="utf-8"))
    if state["key"] != run.stage(name).key:
        return
    info = json.loads((out / "info.json").read_text(encoding="utf-8"))
    if name == "train":
        store_state(run, out)
        note_beginning(run, out, info.get("resumed_from_step"))
    scratch = run.folder / "scratch" / name
    shutil.rmtree(scratch, ignore_errors=True)
    link_tree(out, scratch)
    run.publish(name, scratch)
    if run.spoiled:
        done.unlink()  # the next attempt makes it again
    run.took(name, float(state["seconds"]))
    peak = info.get("peak_memory_bytes")
    if peak is not None:
        run.peak_memory_bytes = max(run.peak_memory_bytes or 0, int(peak))
