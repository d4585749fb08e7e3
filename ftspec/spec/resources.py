"""`resources` and `export`: limits on the machine, and the form of the result."""

from typing import Annotated, Literal

from pydantic import Field

from ftspec.spec.base import Section


class Limits(Section):
    memory: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? ?(MiB|GiB|MB|GB)$")] | None = None
    """Memory that training may use, e.g. `8GiB`; default: what the machine has."""
    threads: Annotated[int, Field(gt=0)] | None = None
    """CPU threads; default: the usable cores."""


class Resources(Section):
    """Wishes about the machine. Left away, the plan decides by the hardware."""

    backend: Annotated[str, Field(min_length=1)] = "auto"
    """Name of a backend; `ftspec doctor` lists them."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the training step."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device."""
    num_processes: Annotated[int, Field(gt=0)] | None = None
    """Training processes; default: what the backend can use."""
    limits: Limits = Limits()
    """Upper bounds."""


class Export(Section):
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the saved weights."""
    merge_lora: bool = True
    """Merge adapters into the weights, so that the model loads without peft."""
    path: str | None = None
    """Folder to copy the model to when all gates pass, relative to the spec's folder."""
