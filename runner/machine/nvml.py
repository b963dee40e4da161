"""Facts from NVML about the GPU that torch uses; None if NVML is absent."""

from collections.abc import Iterator
from typing import Any

from attnbench.runner.machine.doctor import gpu
from attnbench.runner.machine.doctor.finding import Unread
from attnbench.runner.machine.doctor.gpu import Gpu


def find(properties: Any) -> Gpu | None:
    """Return NVML's handle of the device with these torch properties, or None.

    It is found by UUID or PCI address, because indices differ: NVML ignores CUDA_VISIBLE_DEVICES.
    """
    nvml = gpu.load()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    for ask, name in _names(properties):
        try:
            handle = getattr(nvml, ask)(name)
            return Gpu(nvml, handle, nvml.nvmlDeviceGetIndex(handle))
        except nvml.NVMLError:
            continue
    return None


def _names(properties: Any) -> Iterator[tuple[str, str]]:
    """Yield NVML's lookup functions with their arguments. Older torch versions provide fewer of these."""
    uuid = getattr(properties, "uuid", None)
    if uuid is not None:
        yield "nvmlDeviceGetHandleByUUID", f"GPU-{uuid}"
        yield "nvmlDeviceGetHandleByUUID", f"MIG-{uuid}"
    bus = getattr(properties, "pci_bus_id", None)
    if isinstance(bus, int):
        address = f"{properties.pci_domain_id:08X}:{bus:02X}:{properties.pci_device_id:02X}.0"
        yield "nvmlDeviceGetHandleByPciBusId", address


def facts(device: Gpu | None) -> dict[str, Any]:
    """Return the driver and the power limit; None if unknown."""
    if device is None:
        return {"gpu_driver": None, "gpu_power_limit_w": None}
    limit_mw = _told(device, "GetPowerManagementLimit")
    try:
        driver = gpu.text_of(device.nvml.nvmlSystemGetDriverVersion())
    except device.nvml.NVMLError:
        driver = None
    return {"gpu_driver": driver, "gpu_power_limit_w": None if limit_mw is None else limit_mw / 1000}


def sm_clock_mhz(device: Gpu) -> int | None:
    """Return the present clock of the multiprocessors."""
    clock = _told(device, "GetClockInfo", gpu.SM_CLOCK)
    return None if clock is None else int(clock)


def slowdowns(device: Gpu) -> list[str] | None:
    """Return why the clocks are held down now; None if unknown."""
    try:
        return gpu.slowdowns(device)
    except Unread:
        return None


def _told(device: Gpu, name: str, *arguments: int) -> Any:
    """Return NVML's answer, or None."""
    try:
        return device.ask(name, *arguments)
    except Unread:
        return None
