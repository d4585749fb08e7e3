"""`ftspec query`"""

from pathlib import Path

import click

from ftspec.cli.common import echo_json, find_project, format_option, project_option, terminal_width
from ftspec.cli.environment import environment_option


@click.command("query")
@click.argument("name")
@click.argument("text")
@click.option(
    "-k", "top_k", type=click.IntRange(1, 1000), default=5, show_default=True, help="Documents to show."
)
@click.option("--base", "use_base", is_flag=True, help="Ask the untuned base model instead, to compare.")
@click.option("--version", help="A version of the model; default: the current one.")
@environment_option("--environment", help="The version that production, say, points to.")
@click.option(
    "--all", "everything", is_flag=True, help="Search the training documents too; they are encoded once."
)
@format_option("human", "json")
@project_option
def query_command(
    name: str,
    text: str,
    top_k: int,
    use_base: bool,
    version: str | None,
    environment: str | None,
    everything: bool,
    format_: str,
    project_folder: Path | None,
) -> None:
    """Search the documents of a run with the model that it made.

    The held-out documents are searched, which the model never saw; with --all also those that it was
    trained on. Where no model was promoted, the base model answers, and a note on stderr says so.

    \b
    Examples:
      ftspec query stdlib-search "split a path into folder and file name"
      ftspec query stdlib-search "parse a date" --base
      ftspec query stdlib-search "parse a date" --environment production
      ftspec query stdlib-search "read a zip archive" -k 10 --all --format json
    """
    from ftspec.plan.space import short_space
    from ftspec.serve.encoder import Encoder
    from ftspec.serve.index import open_index
    from ftspec.serve.query import search
    from ftspec.serve.served import find_promoted, serve_model
    from ftspec.view.hits import hits_document, render_hits
    from ftspec.view.waiting import waiting

    if not text.strip():
        raise click.UsageError("the query is empty")
    if sum((use_base, version is not None, environment is not None)) > 1:
        raise click.UsageError("--base, --version and --environment exclude each other")
    project = find_project(project_folder)
    if environment is not None:
        version = find_promoted(project, name, environment).version
    served = serve_model(project, name, version=version, use_base=use_base)
    if served.fallback:
        click.echo(f"note: {served.fallback}", err=True)

    def tell(documents: int) -> None:
        click.echo(f"encoding {documents:,} documents, once …", err=True)

    encoder = Encoder(served.folder, served.reading)
    with waiting("Loading the model"):  # mostly the import of its libraries
        (vector,) = encoder.encode_queries([text])
    index = open_index(project, served, encoder, everything=everything, on_encode=tell)
    hits = search(index, vector, top_k=top_k, cosine=served.reading.similarity == "cosine")
    if format_ == "json":
        echo_json(
            {
                "name": served.name,
                "version": served.version,
                "variant": "base" if served.version is None else "tuned",
                "space_id": served.space_id,
                "fallback": bool(served.fallback),
                "query": text,
                "documents": len(index.ids),
                "hits": hits_document(hits),
            }
        )
        return
    who = "base model" if served.version is None else f"{served.name} {served.version}"
    which = "documents" if everything else "held-out documents"
    space = f" · space {short_space(served.space_id)}" if served.space_id else ""
    click.echo(f"{who}{space} · {len(index.ids):,} {which}", err=True)
    click.echo(render_hits(hits, width=terminal_width()), nl=False)
