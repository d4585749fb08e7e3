"""`ftspec sql`: questions to the ledger."""

from pathlib import Path

import click

from ftspec.cli.common import find_project, format_option, project_option

EPILOG = """\b
Examples:
  ftspec sql "show tables"
  ftspec sql "describe query_scores"
  ftspec sql "select variant, metric, avg(value) from query_scores group by all order by all"
  ftspec sql --format csv "from runs" > runs.csv"""


@click.command("sql", epilog=EPILOG)
@click.argument("query")
@format_option("human", "json", "csv")
@project_option
def sql_command(query: str, format_: str, project_folder: Path | None) -> None:
    """Run one DuckDB QUERY over the ledger. It can read the ledger, and nothing else; it writes nothing."""
    from ftspec.cli.output import result_width, write_result
    from ftspec.store.ledger import Ledger, json_value
    from ftspec.view.table import render_result

    result = Ledger(find_project(project_folder)).query_readonly(query)
    rows = [
        [json_value(value, type_name) for value, type_name in zip(row, result.types, strict=True)]
        for row in result.rows
    ]
    write_result(render_result(result.columns, result.types, rows, format=format_, width=result_width()))
