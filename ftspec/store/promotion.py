"""One promotion: a move of an environment's pointer, under an id taken over its content, so that an edit by hand
is seen. It is written twice: the committed file of environments holds the present ones, the history all."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.plan.codec import hash_of
from ftspec.store.project import ENVIRONMENTS_FILE
from ftspec.store.records import PromotionRow

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Pointers = Mapping[tuple[str, str], "Promotion"]  # (environment, name)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ID_DIGITS = 16
_RESTORE = (
    f"restore it from git (`git checkout HEAD -- {ENVIRONMENTS_FILE}`); or delete it and run `ftspec state rebuild`,"
    " which writes what this clone promoted last, and says what moves"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The primary metric against what was there; `gain` is the improvement, with its interval."""

    metric: str
    gain: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One move of a pointer. `number` counts those of one model in one environment."""

    environment: str
    name: str
    kind: str
    number: int
    action: str  # promote | rollback
    version: str
    digest: str  # of the model's files
    space_id: str | None  # None: it makes no embeddings
    run_id: str | None
    from_version: str | None  # None: the environment was empty
    from_digest: str | None
    basis: str  # registered | comparison | baseline | rollback
    verdict: str  # passed | inconclusive
    comparison: str | None  # key of the artefact of stage `promotion`
    measured: Measured | None
    flags: tuple[str, ...]  # given by the person, as written: --allow-inconclusive
    note: str
    by: str
    promoted: str  # ISO 8601, UTC
    previous: str | None  # id of the promotion that a rollback goes back to
    id: str = ""  # over all of the above

    @property
    def model(self) -> str:
        return f"{self.name} {self.version}"


def action_noun(promotion: Promotion) -> str:
    return "rollback" if promotion.action == "rollback" else "promotion"


def is_environment_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def with_id(promotion: Promotion) -> Promotion:
    return replace(promotion, id=_id_of(_document(promotion)))


def promotion_document(promotion: Promotion) -> dict[str, Any]:
    """As JSON values, with the id."""
    return {"id": promotion.id, **_document(promotion)}


def promotion_row(promotion: Promotion) -> PromotionRow:
    measured = promotion.measured
    return PromotionRow(
        promotion_id=promotion.id,
        environment=promotion.environment,
        name=promotion.name,
        number=promotion.number,
        action=promotion.action,
        version=promotion.version,
        model_digest=promotion.digest,
        space_id=promotion.space_id,
        run_id=promotion.run_id,
        from_version=promotion.from_version,
        from_digest=promotion.from_digest,
        basis=promotion.basis,
        verdict=promotion.verdict,
        metric=measured.metric if measured else None,
        gain=measured.gain if measured else None,
        gain_low=measured.low if measured else None,
        gain_high=measured.high if measured else None,
        comparison_key=promotion.comparison,
        flags=list(promotion.flags),
        note=promotion.note,
        promoted_by=promotion.by,
        promoted=promotion.promoted,
        previous_id=promotion.previous,
    )


def read_promotion(document: Any, place: str) -> Promotion:
    """Raises FTS680 when it is not what was written under its id."""
    from pydantic import ValidationError  # here: most commands read no promotion

    try:
        promotion = _adapter().validate_python(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise unusable(f"{place}: {where}: {error.errors()[0]['msg']}") from error
    surplus = document.keys() - {each.name for each in fields(Promotion)}
    if surplus:
        raise unusable(f"{place}: unknown keys {', '.join(sorted(map(str, surplus)))}")
    if not (is_environment_name(promotion.environment) and is_environment_name(promotion.name)):
        raise unusable(f"{place}: not a name of an environment or a model")
    if promotion.id != _id_of(_document(promotion)):
        raise unusable(f"{place}: it was changed after it was written")
    return promotion


def _document(promotion: Promotion) -> dict[str, Any]:
    document = asdict(promotion)
    del document["id"]
    document["flags"] = list(promotion.flags)
    return document


def _id_of(document: Mapping[str, Any]) -> str:
    return hash_of(document).removeprefix("sha256:")[:_ID_DIGITS]


@cache
def _adapter() -> "TypeAdapter[Promotion]":
    from pydantic import TypeAdapter

    return TypeAdapter(Promotion)


def unusable(detail: str, help: str = _RESTORE) -> FtspecError:
    """FTS680."""
    return FtspecError(
        Diagnostic(code=codes.ENVIRONMENTS_UNREADABLE, detail=f"{ENVIRONMENTS_FILE}: {detail}", help=help)
    )
