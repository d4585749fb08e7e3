"""Peak rates of named accelerators: vendors' data sheets, dense arithmetic (never with sparsity).

`tflops_fp32` is the rate outside tensor cores; bf16 and fp16 are tensor-core rates with fp32
accumulation. Consumer cards: from the architecture white papers. A name that is not here has no
peak: the time model then says that it is not calibrated.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rates:
    tflops_fp32: float
    tflops_bf16: float | None
    tflops_fp16: float | None
    gb_per_second: float


# First match wins: special forms stand before the plain name.
_TABLE: tuple[tuple[str, Rates], ...] = (
    # NVIDIA data centre: data sheets "NVIDIA <name> Tensor Core GPU"; sheets print 2:4 sparse
    # figures from Hopper on, which are halved here.
    (r"\bB200\b", Rates(80, 2250, 2250, 8000)),
    (r"\bGH200\b", Rates(67, 989.5, 989.5, 4000)),  # the 96 GB HBM3 form
    (r"\bH200 NVL\b", Rates(60, 835.5, 835.5, 4800)),
    (r"\bH200\b", Rates(67, 989.5, 989.5, 4800)),
    (r"\bH100 NVL\b", Rates(60, 835.5, 835.5, 3900)),
    (r"\bH100 PCIe\b", Rates(51, 756.5, 756.5, 2000)),
    (r"\bH100\b", Rates(67, 989.5, 989.5, 3350)),  # SXM5
    (r"\bH20\b", Rates(44, 148, 148, 4000)),
    (r"\bA100.*80GB PCIe|\bA100 80GB PCIe", Rates(19.5, 312, 312, 1935)),
    (r"\bA100.*80GB", Rates(19.5, 312, 312, 2039)),
    (r"\bA100\b", Rates(19.5, 312, 312, 1555)),
    (r"\bL40S\b", Rates(91.6, 362, 362, 864)),
    (r"\bL40\b", Rates(90.5, 181, 181, 864)),
    (r"\bL4\b", Rates(30.3, 121, 121, 300)),
    (r"\bA40\b", Rates(37.4, 149.7, 149.7, 696)),
    (r"\bA30\b", Rates(10.3, 165, 165, 933)),
    (r"\bA10\b", Rates(31.2, 125, 125, 600)),
    (r"\bV100\b", Rates(15.7, None, 125, 900)),
    (r"\bT4\b", Rates(8.1, None, 65, 320)),
    (r"\bP100\b", Rates(9.3, None, 18.7, 732)),
    # NVIDIA workstation: data sheets of RTX 6000 Ada and RTX A6000.
    (r"\bRTX 6000 Ada\b", Rates(91.1, 364, 364, 960)),
    (r"\bRTX A6000\b", Rates(38.7, 154.8, 154.8, 768)),
    # NVIDIA consumer: Ampere GA102, Ada and Blackwell RTX white papers, appendix tables.
    (r"\bRTX 5090\b", Rates(104.8, 209.5, 209.5, 1792)),
    (r"\bRTX 4090\b", Rates(82.6, 165.2, 165.2, 1008)),
    (r"\bRTX 4080\b", Rates(48.7, 97.5, 97.5, 717)),
    (r"\bRTX 3090\b", Rates(35.6, 71, 71, 936)),
    # AMD: data sheets of the Instinct series (matrix rates) and of the Radeon RX 7900 XTX.
    (r"\bMI325X\b", Rates(163.4, 1307.4, 1307.4, 6000)),
    (r"\bMI300X\b", Rates(163.4, 1307.4, 1307.4, 5300)),
    (r"\bMI210\b", Rates(22.6, 181, 181, 1638)),
    (r"\b7900 XTX\b", Rates(61.4, 122.8, 122.8, 960)),
    # Apple: full GPU of each chip; cores × 128 lanes × 2 × clock (M1, M2: Apple's own figures).
    # fp16 runs at the fp32 rate; bf16 is native from M3 on. Bandwidth: Apple's technical
    # specifications, best form of the chip.
    (r"\bApple M1 Ultra\b", Rates(20.8, None, 20.8, 800)),
    (r"\bApple M1 Max\b", Rates(10.4, None, 10.4, 400)),
    (r"\bApple M1 Pro\b", Rates(5.2, None, 5.2, 200)),
    (r"\bApple M1\b", Rates(2.6, None, 2.6, 68)),
    (r"\bApple M2 Ultra\b", Rates(27.2, None, 27.2, 800)),
    (r"\bApple M2 Max\b", Rates(13.6, None, 13.6, 400)),
    (r"\bApple M2 Pro\b", Rates(6.8, None, 6.8, 200)),
    (r"\bApple M2\b", Rates(3.6, None, 3.6, 100)),
    (r"\bApple M3 Ultra\b", Rates(28.2, 28.2, 28.2, 819)),
    (r"\bApple M3 Max\b", Rates(14.1, 14.1, 14.1, 400)),
    (r"\bApple M3 Pro\b", Rates(6.4, 6.4, 6.4, 150)),
    (r"\bApple M3\b", Rates(3.5, 3.5, 3.5, 100)),
    (r"\bApple M4 Max\b", Rates(16.1, 16.1, 16.1, 546)),
    (r"\bApple M4 Pro\b", Rates(8.1, 8.1, 8.1, 273)),
    (r"\bApple M4\b", Rates(4.0, 4.0, 4.0, 120)),
)


def find_rates(name: str) -> Rates | None:
    """Rates of an accelerator by the name that its driver reports; None where it is not listed.

    A slice of a GPU (MIG) has a share of its rates, which depends on the profile: not listed.
    """
    if "MIG" in name or "Laptop" in name:
        return None
    return next((rates for pattern, rates in _TABLE if re.search(pattern, name)), None)
