from pathlib import Path

from ftspec.hardware.amd import read_amd
from tests.hardware.trees import write_tree

GIB = 1024**3
NODES = "sys/class/kfd/kfd/topology/nodes"


def gpu(
    node: int, minor: int, product: str, *, gfx: int, vram: int, gtt: int = 0, unique: int = 0
) -> dict[str, str]:
    properties = f"cpu_cores_count 0\nvendor_id 4098\ndrm_render_minor {minor}\ngfx_target_version {gfx}\nunique_id {unique}\n"
    device = f"sys/class/drm/renderD{minor}/device"
    return {
        f"{NODES}/{node}/properties": properties,
        f"{device}/product_name": f"{product}\n",
        f"{device}/mem_info_vram_total": f"{vram}\n",
        f"{device}/mem_info_gtt_total": f"{gtt}\n",
    }


CPU_NODE = {f"{NODES}/0/properties": "cpu_cores_count 96\nvendor_id 0\ndrm_render_minor 0\n"}
MI300 = gpu(1, 128, "Instinct MI300X", gfx=90402, vram=192 * GIB, gtt=900 * GIB, unique=0xABC)
MI300_2 = gpu(10, 136, "Instinct MI300X", gfx=90402, vram=191 * GIB, unique=0xABD)


def test_no_driver(tmp_path: Path) -> None:
    assert read_amd(tmp_path, {}) == ()


def test_data_centre_gpu(tmp_path: Path) -> None:
    (item,) = read_amd(write_tree(tmp_path, CPU_NODE | MI300), {})
    assert (item.kind, item.name, item.memory_bytes) == ("rocm", "AMD Instinct MI300X", 192 * GIB)
    assert (item.compute_capability, item.bf16, item.fp16) == ("gfx942", True, True)
    assert (item.peak_tflops_bf16, item.shares_memory) == (1307.4, False)


def test_integrated_gpu_reaches_main_memory(tmp_path: Path) -> None:
    apu = gpu(1, 128, "", gfx=90012, vram=GIB // 2, gtt=15 * GIB)
    (item,) = read_amd(write_tree(tmp_path, apu), {})
    assert (item.memory_bytes, item.shares_memory, item.name) == (15 * GIB + GIB // 2, True, "AMD GPU")
    assert (item.compute_capability, item.bf16, item.peak_tflops_fp32) == ("gfx90c", False, None)


def test_memory_that_is_not_told_is_unknown(tmp_path: Path) -> None:
    root = write_tree(tmp_path, MI300)
    (root / "sys/class/drm/renderD128/device/mem_info_vram_total").unlink()
    assert [item.memory_bytes for item in read_amd(root, {})] == [None]


def test_hidden_devices(tmp_path: Path) -> None:
    root = write_tree(tmp_path, CPU_NODE | MI300 | MI300_2)

    def memory(**environ: str) -> list[int | None]:
        return [item.memory_bytes and item.memory_bytes // GIB for item in read_amd(root, environ)]

    assert memory() == [192, 191]  # node 10 after node 1
    assert memory(HIP_VISIBLE_DEVICES="1") == [191]
    assert memory(CUDA_VISIBLE_DEVICES="") == []
    assert memory(ROCR_VISIBLE_DEVICES="1", HIP_VISIBLE_DEVICES="0") == [191]
    assert memory(ROCR_VISIBLE_DEVICES="GPU-0000000000000abc") == [192]
