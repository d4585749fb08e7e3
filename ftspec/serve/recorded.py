"""Evidence that was recorded before, found by the name of a run, a model or a spec."""

from difflib import get_close_matches

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.evidence import Summary, read_summary
from ftspec.evaluate.gates import Verdict, read_verdict
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project
from ftspec.store.registry import find_model_version
from ftspec.store.run_record import RunRecord, all_records


def find_run(
    project: Project,
    *,
    label: str,
    name: str | None = None,
    version: str | None = None,
    gate_key: str | None = None,
) -> RunRecord:
    """The run `name`, or the run that made the model `name` (of `version`, else its current one), or
    the latest run of that name (without a name the newest of all); or the latest run whose gate stage has `gate_key`, which is what a spec
    comes to now, however it is worded. Raises FtspecError (FTS614).

    `label` is what the user wrote.
    """
    records = all_records(project)[0]
    if gate_key is not None:
        chosen = [record for record in records if record.stage_key("gate") == gate_key]
        if chosen:
            return chosen[-1]
        raise _not_found(f"no finished run of {label} as it stands now", "`ftspec apply` makes one")
    if name is None:
        if not records:
            raise _not_found("there is no finished run yet", "`ftspec apply SPEC` makes one")
        return records[-1]
    by_id = {record.run_id: record for record in records}
    if name in by_id and version is None:
        return by_id[name]
    model, found = find_model_version(project, name, version)
    if model is not None:
        run_id = model.meta.get("run_id")
        if run_id in by_id:
            return by_id[run_id]
        raise _not_found(
            f"the run that made `{name}` {model.version} has no record", "`ftspec runs` lists runs"
        )
    if version is not None:
        raise FtspecError(*found)
    named = [record for record in records if record.name == name]
    if named:
        return named[-1]
    close = get_close_matches(label, {*by_id, *(record.name for record in records)}, n=1)
    help = f"did you mean `{close[0]}`?" if close else "`ftspec runs` lists runs"
    raise _not_found(f"`{label}` is neither a run nor a model", help)


def read_recorded(project: Project, record: RunRecord) -> tuple[Summary, Verdict]:
    """Summary and verdict of a finished run. Raises FtspecError when an artefact is gone or damaged."""
    folders = {}
    for stage in ("evaluate", "gate"):
        key = record.stage_key(stage)
        artifact = Artifacts(project).find(stage, key) if key is not None else None
        if artifact is None:
            raise FtspecError(
                Diagnostic(
                    code=codes.ARTIFACT_DAMAGED,
                    detail=f"stage {stage} of run {record.run_id} is no longer in the store",
                    help="`ftspec apply` of the spec makes it again",
                )
            )
        folders[stage] = artifact.path
    return read_summary(folders["evaluate"]), read_verdict(folders["gate"])


def _not_found(detail: str, help: str) -> FtspecError:
    return FtspecError(Diagnostic(code=codes.RUN_NOT_FOUND, detail=detail, help=help))
