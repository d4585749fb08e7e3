"""`ftspec promote`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftspec.cli.common import echo_json, fail, find_project, format_option, project_option, report, tell
from ftspec.cli.environment import environment_option, split_name

if TYPE_CHECKING:
    from ftspec.driver.promote import Proposal
    from ftspec.store.promotion import Promotion


@click.command("promote")
@click.argument("name", metavar="NAME[@VERSION]")
@environment_option("--to", required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--allow-inconclusive", is_flag=True, help="Promote also when the comparison cannot decide.")
@click.option("--allow-space-break", is_flag=True, help="Indexes are built again; they do not fit otherwise.")
@click.option("--allow-tainted", is_flag=True, help="Promote also when inputs changed during the run.")
@click.option("--note", default="", metavar="TEXT", help="Kept with the promotion.")
@format_option("human", "json")
@project_option
def promote_command(
    name: str,
    environment: str,
    yes: bool,
    allow_inconclusive: bool,
    allow_space_break: bool,
    allow_tainted: bool,
    note: str,
    format_: str,
    project_folder: Path | None,
) -> None:
    """Point an environment to a registered version, if it is better than what is there now.

    Both models are compared on the held-out side of the promoted one, by the gates of its spec with the
    present model as the baseline; the primary metric must gain above 0. Into an empty environment the verdict
    of the run counts. The pointers stand in ftspec.environments.json, for git. It waits for no run, unless a
    model has to be run to be compared with. Exit codes: 0 promoted, or it is there already, 4 the environment
    moved meanwhile, or a model has to be run while something else holds the project, 5 a gate failed, 6 it
    cannot be told, 1 refused for another reason.

    \b
    Examples:
      ftspec promote support-search --to staging
      ftspec promote support-search@v3 --to production --allow-space-break --note "index rebuilt"
    """
    from ftspec.driver.comparison import Means
    from ftspec.driver.promote import Allowed, promote, propose
    from ftspec.serve.served import find_registered
    from ftspec.target.load import load_targets

    project = find_project(project_folder)
    model_name, version = split_name(name)
    model = find_registered(project, model_name, version)
    targets, found = load_targets(cache=project.cache)
    report(found, format_=format_)
    proposal = propose(
        project,
        model,
        environment,
        allowed=Allowed(
            inconclusive=allow_inconclusive, space_break=allow_space_break, tainted=allow_tainted
        ),
        means=Means(
            targets=targets,
            purpose=f"ftspec promote {name} --to {environment}",
            tell=lambda text: click.echo(text, err=True),
            notify=tell,
        ),
    )
    if format_ == "human":
        _show(proposal)
    if proposal.refused:
        if format_ == "json":
            echo_json(_document(proposal, None))
        fail(proposal.problems, format_=format_)
    report(proposal.problems, format_=format_)
    if proposal.unchanged:
        if format_ == "json":
            echo_json(_document(proposal, None))
        return
    if not yes:
        _confirm(proposal)
    promotion, warnings = promote(project, proposal, note=note)
    report(warnings, format_=format_)
    if format_ == "json":
        echo_json(_document(proposal, promotion))
        return
    from ftspec.view.environments import render_promotion

    click.echo(render_promotion(promotion), nl=False)


def _show(proposal: "Proposal") -> None:
    from ftspec.driver.promote import sentence
    from ftspec.view.environments import render_comparison

    model = proposal.model
    comparison = proposal.comparison
    if comparison is None or proposal.present is None:
        click.echo(f"{model.name} {model.version}: {sentence(proposal)}")
        return
    text = render_comparison(
        comparison.summary, comparison.verdict, present=proposal.present.version, candidate=model.version
    )
    click.echo(f"{model.name} {model.version} against {proposal.present.version} in {proposal.environment}")
    click.echo(text)


def _confirm(proposal: "Proposal") -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("promote asks before it moves a pointer; without a terminal, pass --yes")
    model = proposal.model
    if not click.confirm(f"Point {proposal.environment} to {model.name} {model.version}?", err=True):
        raise click.Abort


def _document(proposal: "Proposal", promotion: "Promotion | None") -> dict[str, Any]:
    from ftspec.store.promotion import promotion_document
    from ftspec.view.environments import comparison_document

    compared, present = proposal.comparison, proposal.present
    return {
        "environment": proposal.environment,
        "name": proposal.model.name,
        "version": proposal.model.version,
        "space_id": proposal.space_id,
        "present": None if present is None else promotion_document(present),
        "promoted": promotion is not None,
        "unchanged": proposal.unchanged,
        "basis": proposal.basis,
        "verdict": None if proposal.verdict is None else proposal.verdict.value,
        "breaks_space": proposal.breaks_space,
        "comparison": None if compared is None else comparison_document(compared.summary, compared.verdict),
        "problems": [
            {"code": each.code.id, "severity": each.level.value, "detail": each.detail}
            for each in proposal.problems
        ],
        "promotion": None if promotion is None else promotion_document(promotion),
    }
