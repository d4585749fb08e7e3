"""`metadata`: who the spec is. Nothing here changes a run."""

from typing import Annotated

from pydantic import Field

from ftspec.spec.base import Section

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Metadata(Section):
    name: Name
    """Name of the model that this spec makes: lower-case letters, digits, `.`, `_`, `-`."""
    description: str = ""
    """One sentence for people; it reaches the model card."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Free key-value pairs, e.g. `team: search`."""
