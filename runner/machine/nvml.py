"""Facts from NVML on the GPU that torch uses; None where NVML is absent."""

from collections.abc import Iterator
from typing import Any

from attnbench.runner.machine.doctor import gpu
from attnbench.runner.machine.doctor.finding import Unread
from attnbench.runner.machine.doctor.gpu import Gpu


def find(properties: Any) -> Gpu | None:
    """NVML's view of the device with these properties of torch's, or nothing.

    It is found by its UUID or its PCI address: torch counts only what CUDA_VISIBLE_DEVICES shows, NVML counts all.
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
    """NVML's functions that find a device, each with the name to ask for; older torch knows fewer of them."""
    uuid = getattr(properties, "uuid", None)
    if uuid is not None:
        yield "nvmlDeviceGetHandleByUUID", f"GPU-{uuid}"
        yield "nvmlDeviceGetHandleByUUID", f"MIG-{uuid}"
    bus = getattr(properties, "pci_bus_id", None)
    if isinstance(bus, int):
        address = f"{properties.pci_domain_id:08X}:{bus:02X}:{properties.pci_device_id:02X}.0"
        yield "nvmlDeviceGetHandleByPciBusId", address


def facts(device: Gpu | None) -> dict[str, Any]:
    """Driver and power limit, each null where it is not told."""
    if device is None:
        return {"gpu_driver": None, "gpu_power_limit_w": None}
    limit_mw = _told(device, "GetPowerManagementLimit")
    try:
        driver = gpu.text_of(device.nvml.nvmlSystemGetDriverVersion())
    except device.nvml.NVMLError:
        driver = None
    return {"gpu_driver": driver, "gpu_power_limit_w": None if limit_mw is None else limit_mw / 1000}


def sm_clock_mhz(device: Gpu) -> int | None:
    """The clock of the multiprocessors now."""
    told = _told(device, "GetClockInfo", gpu.SM_CLOCK)
    return None if told is None else int(told)


def slowdowns(device: Gpu) -> list[str] | None:
    """What holds the clocks down now, in words; nothing where that is not told."""
    try:
        return gpu.slowdowns(device)
    except Unread:
        return None


def _told(device: Gpu, name: str, *arguments: int) -> Any:
    """NVML's answer, or nothing."""
    try:
        return device.ask(name, *arguments)
    except Unread:
        return None
