"""`ftspec fmt`"""

from pathlib import Path

import click

from ftspec.cli.common import fail, report, write_file
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics, Span


@click.command("fmt")
@click.argument("specs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SPEC...")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 when a file is not formatted.")
def fmt_command(specs: tuple[Path, ...], check: bool) -> None:
    """Format specs in place: canonical key order, two spaces. Comments stay; hashes do not change.

    \b
    Examples:
      ftspec fmt specs/*.yaml
      ftspec fmt --check specs/*.yaml                # in CI
    """
    from ftspec.source.format import format_text
    from ftspec.source.load import load_document

    found = Diagnostics()
    changed = 0
    for path in specs:
        document, here = load_document(path)
        if document is None or document.damaged:
            found.extend(here)
            continue
        text = path.read_bytes().decode("utf-8")  # with its line ends, which are formatted too
        formatted = format_text(text)
        if formatted == text:
            continue
        changed += 1
        if check:
            found.add(
                codes.NOT_FORMATTED,
                "the first line that would change",
                primary=_first_change(path, text, formatted),
                help=f"ftspec fmt {path}",
            )
        else:
            write_file(path, formatted)
            click.echo(f"formatted {path}")
    if found.has_errors:
        fail(found)
    report(found)
    if not changed:
        click.echo(f"{len(specs)} file{'s' if len(specs) != 1 else ''} already formatted")


def _first_change(path: Path, text: str, formatted: str) -> Span:
    before, after = text.split("\n"), formatted.split("\n")
    same = (old == new for old, new in zip(before, after, strict=False))
    line = next((number for number, equal in enumerate(same) if not equal), min(len(before), len(after)) - 1)
    excerpt = before[line]
    return Span(
        path=str(path),
        line=line + 1,
        column=1,
        end_line=line + 1,
        end_column=max(len(excerpt), 1) + 1,
        excerpt=excerpt,
    )
