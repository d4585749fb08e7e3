"""`ftspec schema`"""

import click

from ftspec.paths import shared_folder


@click.command("schema")
@click.argument("name", default="spec", required=False)
def schema_command(name: str) -> None:
    """Print a published JSON Schema: spec (default), plan, result, hardware, target, diagnostics.

    \b
    Examples:
      ftspec schema > spec.schema.json
      ftspec schema plan
    In an editor, put this first line into a spec:
      # yaml-language-server: $schema=spec.schema.json
    """
    names = sorted(
        path.name.removesuffix(".schema.json") for path in shared_folder("schemas").glob("*.schema.json")
    )
    if name not in names:
        raise click.UsageError(f"no schema called {name!r}; there are {', '.join(names)}")
    click.echo((shared_folder("schemas") / f"{name}.schema.json").read_text(encoding="utf-8"), nl=False)
