"""The working state of one resolution: what is known, what was decided, what was found wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ftspec.diagnostics.code import Code
from ftspec.diagnostics.model import Diagnostics, Related, Span
from ftspec.plan.facts import DataFacts, DecoderFacts, EmbeddingDataFacts, ModelFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm_data import LlmDataFacts
from ftspec.plan.model import Decision, PlanNote, Value
from ftspec.plan.reasons import Reason
from ftspec.source.document import Document
from ftspec.spec.kinds import AnySpec
from ftspec.spec.llm import LlmSpec
from ftspec.spec.spec import EmbeddingSpec

SpecPath = tuple[str | int, ...]
S = TypeVar("S", bound=AnySpec)
M = TypeVar("M", bound=ModelFacts)
D = TypeVar("D", bound=DataFacts)


@dataclass(slots=True, kw_only=True)
class Desk(Generic[S, M, D]):
    """Collects; `first_plan` reads it out at the end."""

    spec: S
    document: Document
    model: M
    data: D
    found: Diagnostics = field(default_factory=Diagnostics)
    decisions: list[Decision] = field(default_factory=list)
    notes: list[PlanNote] = field(default_factory=list)

    def given(self, *path: str | int) -> bool:
        """The user wrote a value there (an explicit null or `auto` leaves the choice to the plan)."""
        if not self.document.has(path):
            return False
        node: object = self.document.tree
        for part in path:
            node = node[part]  # type: ignore[index]
        return node is not None and node != "auto"

    def span(self, *path: str | int, key: bool = False) -> Span | None:
        return self.document.span(path, key=key)

    def place(self, *path: str | int) -> str:
        """`file:line:column` of a value of the spec, or of its nearest ancestor; else empty."""
        span = self.document.span(path)
        return "" if span is None else f"{span.path}:{span.line}:{span.column}"

    def fault(
        self, code: Code, detail: str, *path: str | int, help: str = "", related: tuple[Related, ...] = ()
    ) -> None:
        self.found.add(code, detail, primary=self.span(*path), help=help, related=related)

    def note(self, code: Code, detail: str) -> None:
        self.notes.append(PlanNote(code=code.id, detail=detail))

    def decide(
        self,
        field: str,
        after: Value,
        reason: Reason,
        *,
        by: str,
        facts: Mapping[str, Value],
        before: Value = None,
        at: SpecPath = (),
    ) -> None:
        """Record why a leaf has the value that it has."""
        self.decisions.append(
            Decision(
                field=field,
                before=before,
                after=after,
                reason=reason,
                facts=FrozenMap(facts),
                by=by,
                place=self.place(*at) if at else "",
            )
        )


EmbeddingDesk = Desk[EmbeddingSpec, ModelFacts, EmbeddingDataFacts]
LlmDesk = Desk[LlmSpec, DecoderFacts, LlmDataFacts]
AnyDesk = Desk[Any, Any, Any]  # for what every kind has
