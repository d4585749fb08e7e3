"""Hits and models on a terminal, and what importing the commands costs."""

import subprocess
import sys

from ftspec.serve.query import Hit
from ftspec.view.hits import hits_document, render_hits
from ftspec.view.safe_text import cell_width

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "numpy",
    "scipy",
    "duckdb",
    "ir_measures",
    "jinja2",
)


def test_hits_fit_and_cannot_steer_the_terminal() -> None:
    text = "\x1b[31mred\n\n日本語 " + "long " * 40 + "\nthree\nfour\nfive\nsix"
    rendered = render_hits([Hit(rank=1, id="a\nb\x1b" + "x" * 100, score=0.51239, text=text)], width=60)
    lines = rendered.splitlines()
    assert lines[0].startswith(" 1  0.512  a b\\x1bxxx")
    assert lines[-1] == "    … 2 more lines"
    assert "\x1b" not in rendered
    assert all(cell_width(line) <= 60 for line in lines)
    assert len(lines) == 6


def test_no_hits() -> None:
    assert render_hits([], width=80) == ""
    assert hits_document([]) == []


def test_importing_the_commands_loads_nothing_heavy() -> None:
    program = (
        "import sys, ftspec.cli.query, ftspec.cli.models, ftspec.cli.eval\n"
        "import ftspec.serve.served, ftspec.serve.index, ftspec.serve.encoder, ftspec.evaluate.gates\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
