"""Engine checks: which engines work on this machine, and whether package and driver versions are compatible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..engines.install_hint import install, installed_version, reinstall
from .finding import CheckResult, Finding, absent, findings, ok, problem
from .probe_client import ProbeResult, ProbeResults

TOPIC = "engines"
USABLE = ("ort CPU", "ort CUDA", "ort TensorRT", "openvino", "torch CPU", "torch CUDA", "tensorrt", "tensorrt-rtx")
_ORT_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
_ORT_AWAY = "pip uninstall -y onnxruntime onnxruntime-gpu"
_TENSORRT_10 = "libnvinfer", "libnvonnxparser"  # library names as they appear in loader errors
_TORCH_WHEELS = {12: "cu126", 13: "cu130"}  # PyTorch's package index for each major CUDA version
_DRIVER = "install or update NVIDIA's driver; nvidia-smi should list the GPU"
_NO_DRIVER = "no NVIDIA driver (libcuda.so.1) found"


def check(results: ProbeResults) -> list[Finding]:
    """Return one finding for each engine and provider."""
    checks: dict[str, Callable[[], CheckResult]] = {
        "ort CPU": partial(_simple, results["ort"], "cpu", _ort_again("cpu"), "package"),
        "ort CUDA": partial(_ort_cuda, results),
        "ort TensorRT": partial(_ort_tensorrt, results),
        "openvino": partial(_simple, results["openvino"], "openvino", reinstall("openvino"), "capabilities"),
        "torch CPU": partial(_simple, results["torch"], "export", reinstall("torch"), ""),
        "torch CUDA": partial(_torch_cuda, results),
        "tensorrt": partial(_on_gpu, results, "tensorrt"),
        "tensorrt-rtx": partial(_tensorrt_rtx, results),
        "pycuda": partial(_on_gpu, results, "pycuda"),
    }
    return findings(TOPIC, checks)


def check_versions(results: ProbeResults) -> list[Finding]:
    """Return findings on whether the package and driver versions are compatible."""
    checks: dict[str, Callable[[], CheckResult]] = {
        "onnxruntime packages": _ort_packages,
        "CUDA": partial(_cuda, results),
        "TF32 in torch": lambda: _tf32(results["torch"]),
    }
    return findings("versions", checks)


def any_engine_works(found: Sequence[Finding]) -> bool:
    """Return whether at least one engine works on this machine."""
    return any(one.topic == TOPIC and one.what in USABLE and one.state == "ok" for one in found)


def _ort_again(extra: str) -> str:
    return f"{_ORT_AWAY} && {install(extra)}"


def _simple(result: ProbeResult, extra: str, remedy: str, more: str) -> CheckResult:
    if not result.installed:
        return absent("not installed", install(extra))
    if result.error:
        return problem(result.error, remedy)
    return ok(", ".join(filter(None, (result.get("version"), result.get(more)))))


def _no_provider(ort: ProbeResult) -> CheckResult:
    if ort.error:
        return absent("onnxruntime does not work")
    return absent("not included in this onnxruntime" if ort.installed else "not installed", _ort_again("gpu"))


def _ort_cuda(results: ProbeResults) -> CheckResult:
    cuda = results["ort-cuda"]
    if not cuda.installed:
        return _no_provider(results["ort"])
    if not cuda.error:
        return ok(f"built for CUDA {results['ort'].get('cuda')}")
    if not results["driver"].works:
        return problem(f"falls back to the CPU: {_driver_error(results)}", _DRIVER)
    return problem(f"falls back to the CPU: {cuda.error}", "pip install 'onnxruntime-gpu[cuda,cudnn]'")


def _ort_tensorrt(results: ProbeResults) -> CheckResult:
    result, bindings = results["ort-tensorrt"], installed_version("tensorrt")
    wanted = f"pip install 'tensorrt-cu{_major(results['ort'].get('cuda') or '13')}>=10,<11'"
    if not result.installed:
        return _no_provider(results["ort"])
    if not result.error:
        return ok(f"tensorrt package {bindings}" if bindings else "")
    said = f"falls back: {result.error}"
    if not any(name in result.error for name in _TENSORRT_10):
        return problem(said, wanted if results["driver"].works else _DRIVER)
    if bindings is None:
        return absent(f"{said}; it needs TensorRT 10", wanted)
    detail = f"{said}; it needs the TensorRT 10 libraries, whatever the version of the tensorrt package ({bindings})"
    return problem(detail, "add TensorRT 10's lib folder to LD_LIBRARY_PATH, or use only the tensorrt package")


def _torch_cuda(results: ProbeResults) -> CheckResult:
    torch, cuda = results["torch"], results["torch-cuda"]
    if not cuda.installed:
        return absent("this build of torch is CPU-only" if torch.works else "torch does not work or is not installed")
    if cuda.error and not results["driver"].works:  # pip installs a CUDA build by default
        return absent(f"built for CUDA {torch.get('cuda')}; {_driver_error(results)}")
    if cuda.error:
        return problem(cuda.error, reinstall("torch"))
    return ok(f"built for CUDA {torch.get('cuda')}, {cuda.get('gpu')}")


def _on_gpu(results: ProbeResults, name: str) -> CheckResult:
    result = results[name]
    if result.error and not results["driver"].works:
        return problem(f"{installed_version(name) or 'installed'}, but {_driver_error(results)}", _DRIVER)
    return _simple(result, "trt", reinstall(name), "")


def _tensorrt_rtx(results: ProbeResults) -> CheckResult:
    result = results["tensorrt-rtx"]
    if result.works and not result.get("loaded"):
        why = "no GPU" if results["driver"].works else _driver_error(results)
        return absent(f"{result.get('version')} builds plans for other machines, but cannot run them here: {why}")
    return _simple(result, "trt-rtx", reinstall("tensorrt-rtx-cu13-libs"), "")


def _driver_error(results: ProbeResults) -> str:
    error = results["driver"].error
    return _NO_DRIVER if "libcuda.so.1" in error or "nvcuda" in error else error


def _ort_packages() -> CheckResult:
    names = [name for name in _ORT_PACKAGES if installed_version(name)]
    found = [f"{name} {installed_version(name)}" for name in names]
    if len(found) > 1:
        detail = f"{' and '.join(found)} are installed in the same folder"
        return problem(detail, f"pip uninstall -y {' '.join(names)} && pip install {names[-1]}")
    return ok(found[0]) if found else absent("none")


def _cuda(results: ProbeResults) -> CheckResult:
    driver = results["driver"]
    built = {name: results[key].get("cuda") for name, key in (("onnxruntime", "ort"), ("torch", "torch"))}
    built = {name: version for name, version in built.items() if version}
    said = ", ".join(f"{name} is built for {version}" for name, version in built.items())
    if not driver.works:
        return absent("; ".join(filter(None, (_driver_error(results), said))))
    newest = driver.get("cuda")
    said = f"the driver supports up to {newest}" + (f", {said}" if said else "")
    if any(_major(version) > _major(newest) for version in built.values()):
        return problem(said, "update NVIDIA's driver, or install packages built for a CUDA version that it supports")
    if len({_major(version) for version in built.values()}) > 1:
        index = _TORCH_WHEELS.get(_major(built["onnxruntime"]), "cu130")
        remedy = f"pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{index}"
        return problem(f"{said}: they cannot share libraries", remedy)
    return ok(said)


def _tf32(torch: ProbeResult) -> CheckResult:
    tf32 = torch.get("tf32")
    return ok(f"{tf32} (on a GPU)") if tf32 else absent("torch does not work or is not installed")


def _major(version: str) -> int:
    return int(version.split(".")[0])
