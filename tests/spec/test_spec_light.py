import subprocess
import sys

HEAVY = ("torch", "numpy", "scipy", "transformers", "duckdb", "jinja2", "rich", "datasets", "pyarrow")


def test_checking_a_spec_imports_nothing_heavy() -> None:
    code = (
        "import sys, ftspec.source.load, ftspec.source.format, ftspec.spec.check, ftspec.spec.canonical, "
        "ftspec.view.diagnostics_human\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
