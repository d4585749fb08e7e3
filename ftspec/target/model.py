"""What a backend can do, as its `target.yaml` says: devices, packages, features, lowered fields.

Passes ask a `Target` for a `Feature`, never for its name. `lower` reads `fields`, `programs`,
`helpers` and `templates`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from ftspec.target.features import (
    Device,
    Devices,
    Feature,
    FeatureSupport,
    Names,
    Part,
    PlainOrSupport,
    Sentence,
    Support,
)
from ftspec.target.fields import Emission, FieldLowering, FieldPath

_PLAIN_LOSS = 12  # bytes per logit


class MemoryCosts(Part):
    """What a backend's own way of training an LLM costs, for the closed forms of `estimate.decoder`."""

    loss_bytes_per_logit: dict[
        Annotated[Device, Field(strict=False)], Annotated[float, Field(ge=0, strict=False)]
    ] = Field(default_factory=dict)
    """Device → peak of the loss in bytes, per token and entry of the vocabulary. A device that is not named: 12,
    for logits in fp32, their logarithms and two gradients."""
    loss_tokens: Annotated[int, Field(ge=1)] | None = None
    """The loss works on so many tokens at a time; left away: on all of a micro-batch."""
    loss_vocabulary: Annotated[int, Field(ge=1)] | None = None
    """The loss works on so many entries of the vocabulary at a time; left away: on all."""
    loss_limit_bytes: dict[Annotated[Device, Field(strict=False)], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )
    """Device → bytes that the loss never exceeds, because it works in parts. A device that is not named: no
    limit."""
    score_bytes_per_logit: Annotated[float, Field(ge=0, strict=False)] = 4
    """Peak of scoring, per token and entry of the vocabulary."""
    bytes_per_4bit_parameter: Annotated[float, Field(ge=0.5)] = 0.516
    """With scales: 0.516 for bitsandbytes with double quantisation, 0.5625 for groups of 64 in mlx."""
    bytes_per_8bit_parameter: Annotated[float, Field(ge=1, strict=False)] = 1.004
    """With scales."""
    cpu_half_bytes_per_width: Annotated[int, Field(ge=0)] = 0
    """On a CPU in half precision: bytes that stay allocated for each width that batches are padded to."""
    cpu_half_widths: Annotated[int, Field(ge=1)] = 40
    """So many widths at most are kept."""
    quantizes_embeddings: bool = False
    """Whether embeddings and the output matrix are quantised with the linear layers."""

    def loss_bytes(self, device: str, tokens: int, vocabulary: int) -> int:
        """Peak of the loss of so many tokens."""
        known = {kind.value: count for kind, count in self.loss_bytes_per_logit.items()}
        logits = min(tokens, self.loss_tokens or tokens) * min(vocabulary, self.loss_vocabulary or vocabulary)
        needed = round(known.get(device, _PLAIN_LOSS) * logits)
        limits = {kind.value: limit for kind, limit in self.loss_limit_bytes.items()}
        return min(needed, limits.get(device, needed))

    def quantized_bytes(self, bits: int) -> float:
        """Bytes that a parameter takes in so many bits."""
        return {4: self.bytes_per_4bit_parameter, 8: self.bytes_per_8bit_parameter}[bits]


class BaseModels(Part):
    """Which bases of an LLM a backend's library reads as transformers does, by what their config.json says."""

    package: Sentence
    """The library that brings the networks."""
    version: Sentence
    """Its version that the lists are of. They hold wherever a plan is made, whatever is installed there."""
    types: Annotated[Names, Field(min_length=1)]
    """Values of `model_type`. A model with code of its own is none of them."""
    otherwise: dict[str, Sentence] = Field(default_factory=dict)
    """Those of `types` that the library is known to read otherwise than transformers: type → in which way."""
    rope_types: Names | None = None
    """Kinds of rotary positions; left away: all."""
    rope_by_layer: Names | None = None
    """Types whose layers may differ in their rotary positions; left away: all."""
    sliding_window: Names | None = None
    """Types whose sliding window of attention the library was seen to keep to, so that rows may be longer; left
    away: all."""

    def keeps_window(self, model_type: str) -> bool:
        return self.sliding_window is None or model_type in self.sliding_window


class TargetFile(Part):
    """A `target.yaml`: one backend."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    """Name of the backend, equal to that of its folder."""
    description: Sentence
    """One sentence: what it trains, and with which library."""
    kinds: Annotated[Names, Field(min_length=1)]
    """Kinds of spec that it trains: `Embedding`, `LLM`."""
    devices: Devices
    """Kinds of device that it runs on, best first."""
    prefers: Annotated[tuple[Annotated[Device, Field(strict=False)], ...], Field(strict=False)] = ()
    """Kinds of device where `backend: auto` takes it before others that can do the same."""
    emit_only: Sentence | None = None
    """Why its run folder is written but not run by ftspec; `backend: auto` never takes such a backend."""
    packages: dict[str, str]
    """Packages that a run needs, with version specifiers (PEP 440): `torch: ">=2.8"`."""
    install: Sentence
    """The command that installs them: `pip install 'ftspec[accelerate]'`."""
    requirements: Sentence | None = None
    """File of exact pins in this folder, of which `ftspec backends install` makes an environment."""
    requirements_no_deps: Sentence | None = None
    """File of exact pins that are installed after `requirements` without what they ask for, where they ask
    for what cannot be had together."""
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(
        default_factory=dict
    )
    """Variables of every process of this backend: `UNSLOTH_AUTO_INSTALL: "0"`."""
    features: dict[Annotated[Feature, Field(strict=False)], PlainOrSupport]
    """What it can do. A feature that is not named is not implemented."""
    models: BaseModels | None = None
    """Which bases of an LLM it reads; left away: all."""
    memory: MemoryCosts = Field(default_factory=MemoryCosts)
    """What its way of training an LLM costs."""
    fields: dict[FieldPath, FieldLowering]
    """Plan field → native option, or why it is ignored. `model.facts.*` stands for all below."""
    emit: Emission | None = None
    """The config file of a library that is run by its own commands; for backends with `emit_only`."""
    programs: Names = ()
    """Python files of this folder that lowering copies into the run folder."""
    helpers: Names = ()
    """Python files of `backends/common` that the programs import."""
    templates: dict[str, str] = Field(default_factory=dict)
    """File in the run folder → template in this folder: `launch.sh: templates/launch.sh.j2`."""

    def support_of(self, feature: Feature, device: str | None = None) -> FeatureSupport:
        """How well `feature` works, on `device` where one is given."""
        found = self.features.get(feature)
        if found is None:
            why = f"{self.name} does not describe it"
            return FeatureSupport(support=Support.NOT_IMPLEMENTED, why=why)
        if device is not None and found.devices is not None and device not in found.devices:
            why = f"only on {', '.join(found.devices)}" + (f": {found.why}" if found.why else "")
            return FeatureSupport(support=Support.IMPOSSIBLE, why=why)
        return found

    @model_validator(mode="after")
    def _emits_what_it_does_not_run(self) -> Self:
        if self.emit is not None and self.emit_only is None:
            raise ValueError("`emit` goes with `emit_only`")
        return self

    def supports(self, feature: Feature, device: str | None = None) -> bool:
        """True for full and approximated support; ask `support_of` for the difference."""
        return self.support_of(feature, device).support in {Support.FULL, Support.APPROXIMATED}

    def lowering_of(self, path: str) -> FieldLowering | None:
        """The entry for a leaf of the plan: its own, else the longest `prefix.*` above it.

        `data.train[0].path` and `data.train.0.path` both lie under `data.train.*`.
        """
        path = path.replace("[", ".").replace("]", "")
        if path in self.fields:
            return self.fields[path]
        parts = path.split(".")
        for end in range(len(parts) - 1, 0, -1):
            found = self.fields.get(".".join((*parts[:end], "*")))
            if found is not None:
                return found
        return None


class Target(TargetFile):
    """A loaded backend: its `target.yaml` and where that lies."""

    folder: Path
    """Folder of target.yaml; programs and templates are relative to it."""


def unlowered_fields(target: TargetFile, leaf_paths: Iterable[str]) -> list[str]:
    """Leaves of a plan that the target neither lowers nor declares ignored; must be empty."""
    return sorted(path for path in set(leaf_paths) if target.lowering_of(path) is None)


def dangling_fields(target: TargetFile, leaf_paths: Iterable[str]) -> list[str]:
    """Entries of `fields` that name no leaf of the plan: misspelt, or left over."""
    leaves = set(leaf_paths)
    return sorted(
        entry
        for entry in target.fields
        if not (
            any(leaf.startswith(entry[:-1]) for leaf in leaves) if entry.endswith(".*") else entry in leaves
        )
    )
