"""The one table of diagnostic codes. Codes are stable and never reused.

FTS1xx source · 2xx schema · 3xx resolve · 4xx passes · 5xx lowering · 6xx store and run ·
7xx data · 8xx evaluation. Each group is written in a module of its own, and read
from here.
"""

from ftspec.diagnostics.codes_data import *  # noqa: F403
from ftspec.diagnostics.codes_evaluation import *  # noqa: F403
from ftspec.diagnostics.codes_plan import *  # noqa: F403
from ftspec.diagnostics.codes_run import *  # noqa: F403
from ftspec.diagnostics.codes_spec import *  # noqa: F403
