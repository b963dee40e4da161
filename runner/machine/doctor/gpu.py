"""Checks of NVIDIA GPUs through NVML, if it is installed."""

import importlib
import os
from dataclasses import dataclass
from typing import Any

from attnbench.runner.machine.doctor.finding import Answer, Check, Finding, Unread

SM_CLOCK = 1
"""NVML's number for the clock of the multiprocessors."""
_GPU_SENSOR = 0
_SLOWDOWN_THRESHOLD = 1
_SETTING_BIT = 0x2
_SLOWDOWNS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "held to another GPU's clock",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}
_MARGIN_C = 10
_BUSY_PERCENT = 5
_WHY = "GPU cases need one, and its clocks, heat and other users decide their times."


def load() -> Any:
    """Return the NVML module, or None if it is not installed."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


@dataclass(frozen=True)
class Gpu:
    """NVML's handle of a GPU."""

    nvml: Any
    handle: Any
    number: int

    def ask(self, name: str, *arguments: int) -> Any:
        """Call NVML's function `nvmlDevice` + name for this GPU.

        Raises:
            Unread: this GPU, driver or NVML does not support it.
        """
        try:
            return getattr(self.nvml, f"nvmlDevice{name}")(self.handle, *arguments)
        except (self.nvml.NVMLError, AttributeError) as error:
            raise Unread(f"NVML's nvmlDevice{name} ({error})") from None

    def energy_mj(self) -> int:
        """Return the energy since the driver was loaded, in millijoules.

        Raises:
            Unread: this GPU, driver or NVML does not count it.
        """
        return int(self.ask("GetTotalEnergyConsumption"))


def findings() -> list[Finding]:
    """Return the findings about every GPU, or a single finding without NVML or a GPU."""
    nvml = load()
    if nvml is None:
        do = "Where there is one: `pip install nvidia-ml-py`."
        return [Finding("GPU", "fact", "not looked at: nvidia-ml-py is not installed", _WHY, do)]
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return [Finding("GPU", "fact", f"none: NVML says {error}", _WHY)]
    try:
        gpus = [Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(i), i) for i in range(nvml.nvmlDeviceGetCount())]
        found = [check.finding(gpu, f"GPU {gpu.number} ") for gpu in gpus for check in CHECKS]
        return found or [Finding("GPU", "fact", "none: NVML counts no GPU", _WHY)]
    except nvml.NVMLError as error:
        return [Finding("GPU", "fact", f"cannot be read: NVML says {error}", _WHY)]
    finally:
        nvml.nvmlShutdown()


def driver(gpu: Gpu) -> Answer:
    """Report the GPU model and driver."""
    try:
        version = text_of(gpu.nvml.nvmlSystemGetDriverVersion())
    except gpu.nvml.NVMLError as error:
        raise Unread(f"NVML's nvmlSystemGetDriverVersion ({error})") from None
    return Answer("fact", f"{text_of(gpu.ask('GetName'))}, driver {version}")


def clocks(gpu: Gpu) -> Answer:
    """Check the SM clock. NVML reports application clocks, but not whether `--lock-gpu-clocks` was used."""
    now, most = gpu.ask("GetClockInfo", SM_CLOCK), gpu.ask("GetMaxClockInfo", SM_CLOCK)
    found = f"{now} MHz now, at most {most} MHz"
    if gpu.ask("GetCurrentClocksThrottleReasons") & _SETTING_BIT:
        return Answer("good", f"{found}; held by a setting")
    command = f"sudo nvidia-smi -i {gpu.number}"
    steady = _steady_mhz(gpu, most)
    return Answer(
        "fact",
        f"{found}; not held by an applications setting, and NVML does not tell whether they are locked",
        f"Lock them for a run: `{command} --lock-gpu-clocks={steady},{steady}`, "
        f"and free them after it: `{command} --reset-gpu-clocks`.",
    )


def _steady_mhz(gpu: Gpu, most: int) -> int:
    """Return the default application clock; the highest clock if that is unknown."""
    try:
        return int(gpu.ask("GetDefaultApplicationsClock", SM_CLOCK))
    except Unread:
        return most


def slowdown(gpu: Gpu) -> Answer:
    """Check whether the clocks are held down now."""
    reasons = slowdowns(gpu)
    if not reasons:
        return Answer("good", "nothing holds the clocks down now")
    see = f"see which with `nvidia-smi -i {gpu.number} -q -d PERFORMANCE,TEMPERATURE,POWER`."
    return Answer("unfit", ", ".join(reasons), f"Let it cool down or end what uses it; {see}")


def slowdowns(gpu: Gpu) -> list[str]:
    """Return why the clocks are held down now.

    Raises:
        Unread: this GPU, driver or NVML does not report it.
    """
    bits = gpu.ask("GetCurrentClocksThrottleReasons")
    return [name for bit, name in _SLOWDOWNS.items() if bits & bit]


def persistence(gpu: Gpu) -> Answer:
    """Check whether the driver stays loaded between processes."""
    if gpu.ask("GetPersistenceMode"):
        return Answer("good", "on")
    return Answer("warning", "off", f"Turn it on: `sudo nvidia-smi -i {gpu.number} --persistence-mode=1`.")


def users(gpu: Gpu) -> Answer:
    """Check for other processes that compute on this GPU, and how busy it is."""
    others = [each for each in gpu.ask("GetComputeRunningProcesses") if each.pid != os.getpid()]
    busy = _busy_percent(gpu)
    said = "how busy it is cannot be read" if busy is None else f"{busy} % busy"
    is_busy = busy is not None and busy >= _BUSY_PERCENT
    if not others and not is_busy:
        return Answer("good", f"no other compute process; {said}")
    named = ", ".join(f"pid {each.pid}{_held(each.usedGpuMemory)}" for each in others) or "no process that NVML shows"
    return Answer(
        "unfit" if is_busy else "warning",
        f"{named}; {said}",
        f"Wait for them or choose another GPU with CUDA_VISIBLE_DEVICES; see them: `nvidia-smi -i {gpu.number}`.",
    )


def _busy_percent(gpu: Gpu) -> int | None:
    """Return the utilisation of the GPU; None if unknown, for example if it is split into instances."""
    try:
        return int(gpu.ask("GetUtilizationRates").gpu)
    except Unread:
        return None


def power(gpu: Gpu) -> Answer:
    """Compare the power cap with the default one."""
    cap_mw, default_mw = gpu.ask("GetPowerManagementLimit"), gpu.ask("GetPowerManagementDefaultLimit")
    if cap_mw == default_mw:
        return Answer("good", f"{cap_mw / 1000:.0f} W, the default")
    watts = f"{default_mw / 1000:.0f}"
    return Answer(
        "warning",
        f"{cap_mw / 1000:.0f} W; the default is {watts} W",
        f"Set the default: `sudo nvidia-smi -i {gpu.number} --power-limit={watts}`.",
    )


def ecc(gpu: Gpu) -> Answer:
    """Check whether memory errors are corrected."""
    now, pending = gpu.ask("GetEccMode")
    found = "on" if now else "off"
    return Answer("fact", found if now == pending else f"{found}, changes at the next restart")


def temperature(gpu: Gpu) -> Answer:
    """Compare the temperature with the threshold at which the GPU slows down."""
    now_c = gpu.ask("GetTemperature", _GPU_SENSOR)
    try:
        slow_c = gpu.ask("GetTemperatureThreshold", _SLOWDOWN_THRESHOLD)
    except Unread:
        return Answer("fact", f"{now_c} C")
    found = f"{now_c} C; it slows down at {slow_c} C"
    if now_c + _MARGIN_C < slow_c:
        return Answer("good", found)
    return Answer("warning", found, f"Let it cool down: `nvidia-smi -i {gpu.number} -q -d TEMPERATURE`.")


def energy(gpu: Gpu) -> Answer:
    """Check whether the GPU's energy can be read."""
    return Answer("good", f"NVML counts it: {gpu.energy_mj() / 1e6:.0f} kJ since the driver was loaded")


def text_of(value: str | bytes) -> str:
    """Decode a string; older NVML modules return bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _held(used_bytes: int | None) -> str:
    return "" if used_bytes is None else f" ({used_bytes / 2**20:.0f} MiB)"


CHECKS = (
    Check("driver", "Kernels, and so times, differ between drivers and GPU models.", driver),
    Check("clocks", "A clock that is free to boost falls as the GPU warms up.", clocks),
    Check("slowdown", "Held-down clocks stretch every time, and not by the same factor.", slowdown),
    Check("persistence", "Without it the driver is loaded anew for the first call of each process.", persistence),
    Check("users", "Another process takes turns on the same cores, cache and memory.", users),
    Check("power cap", "Under a lower cap long work runs at lower clocks.", power),
    Check("ECC", "Correction takes memory bandwidth on some GPUs: compare GPUs of the same setting.", ecc),
    Check("temperature", "Near its limit the GPU lowers its clocks in the middle of a run.", temperature),
    Check("energy", "Without a counter that can be read, energy_j stays empty.", energy),
)
