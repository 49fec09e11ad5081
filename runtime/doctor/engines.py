"""Which engines really compute on this machine, and whether what they are built for fits together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..engines.install_hint import install, install_again, installed_version
from .finding import Fact, Finding, absent, findings, ok, trouble
from .probe_client import Answer, Answers

TOPIC = "engines"
USABLE = ("ort CPU", "ort CUDA", "ort TensorRT", "openvino", "torch CPU", "torch CUDA", "tensorrt")
_ORT_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
_ORT_AWAY = "pip uninstall -y onnxruntime onnxruntime-gpu"
_TENSORRT_10 = "libnvinfer", "libnvonnxparser"  # names of its libraries, which a failing loader says
_TORCH_WHEELS = {12: "cu126", 13: "cu130"}  # an index of PyTorch's for each major release of CUDA
_DRIVER = "install NVIDIA's driver, or update it; nvidia-smi should list the GPU"
_NO_DRIVER = "no NVIDIA driver (libcuda.so.1) here"


def check(answers: Answers) -> list[Finding]:
    """Return one finding for each engine and provider."""
    checks: dict[str, Callable[[], Fact]] = {
        "ort CPU": partial(_simple, answers["ort"], "cpu", _ort_again("cpu"), "package"),
        "ort CUDA": partial(_ort_cuda, answers),
        "ort TensorRT": partial(_ort_tensorrt, answers),
        "openvino": partial(_simple, answers["openvino"], "openvino", install_again("openvino"), "capabilities"),
        "torch CPU": partial(_simple, answers["torch"], "export", install_again("torch"), ""),
        "torch CUDA": partial(_torch_cuda, answers),
        "tensorrt": partial(_on_gpu, answers, "tensorrt"),
        "pycuda": partial(_on_gpu, answers, "pycuda"),
    }
    return findings(TOPIC, checks)


def check_versions(answers: Answers) -> list[Finding]:
    """Return whether packages and driver fit together."""
    checks: dict[str, Callable[[], Fact]] = {
        "onnxruntime packages": _ort_packages,
        "CUDA": partial(_cuda, answers),
        "TF32 in torch": lambda: _tf32(answers["torch"]),
    }
    return findings("versions", checks)


def some_engine_works(found: Sequence[Finding]) -> bool:
    """Say whether anything can be run here at all."""
    return any(one.topic == TOPIC and one.what in USABLE and one.state == "ok" for one in found)


def _ort_again(extra: str) -> str:
    return f"{_ORT_AWAY} && {install(extra)}"


def _simple(answer: Answer, extra: str, mend: str, more: str) -> Fact:
    if not answer.installed:
        return absent("not installed", install(extra))
    if answer.error:
        return trouble(answer.error, mend)
    return ok(", ".join(filter(None, (answer.get("version"), answer.get(more)))))


def _no_provider(ort: Answer) -> Fact:
    if ort.error:
        return absent("onnxruntime does not work")
    return absent("not in this onnxruntime" if ort.installed else "not installed", _ort_again("gpu"))


def _ort_cuda(answers: Answers) -> Fact:
    cuda = answers["ort-cuda"]
    if not cuda.installed:
        return _no_provider(answers["ort"])
    if not cuda.error:
        return ok(f"built for CUDA {answers['ort'].get('cuda')}")
    if not answers["driver"].works:
        return trouble(f"falls back to the CPU: {_driver_error(answers)}", _DRIVER)
    return trouble(f"falls back to the CPU: {cuda.error}", "pip install 'onnxruntime-gpu[cuda,cudnn]'")


def _ort_tensorrt(answers: Answers) -> Fact:
    answer, bindings = answers["ort-tensorrt"], installed_version("tensorrt")
    wanted = f"pip install 'tensorrt-cu{_major(answers['ort'].get('cuda') or '13')}>=10,<11'"
    if not answer.installed:
        return _no_provider(answers["ort"])
    if not answer.error:
        return ok(f"tensorrt package {bindings}" if bindings else "")
    said = f"falls back: {answer.error}"
    if not any(name in answer.error for name in _TENSORRT_10):
        return trouble(said, wanted if answers["driver"].works else _DRIVER)
    if bindings is None:
        return absent(f"{said}; it needs TensorRT 10", wanted)
    what = f"{said}; it needs the libraries of TensorRT 10, whatever the tensorrt package is (here {bindings})"
    return trouble(what, "put TensorRT 10's folder lib on LD_LIBRARY_PATH beside it, or use the tensorrt package alone")


def _torch_cuda(answers: Answers) -> Fact:
    torch, cuda = answers["torch"], answers["torch-cuda"]
    if not cuda.installed:
        return absent("this torch is built for the CPU" if torch.works else "torch does not work or is not installed")
    if cuda.error and not answers["driver"].works:  # pip's usual torch is built for CUDA: nobody asked for it
        return absent(f"built for CUDA {torch.get('cuda')}; {_driver_error(answers)}")
    if cuda.error:
        return trouble(cuda.error, install_again("torch"))
    return ok(f"built for CUDA {torch.get('cuda')}, {cuda.get('gpu')}")


def _on_gpu(answers: Answers, name: str) -> Fact:
    answer = answers[name]
    if answer.error and not answers["driver"].works:
        return trouble(f"{installed_version(name) or 'installed'}, but {_driver_error(answers)}", _DRIVER)
    return _simple(answer, "trt", install_again(name), "")


def _driver_error(answers: Answers) -> str:
    error = answers["driver"].error
    return _NO_DRIVER if "libcuda.so.1" in error or "nvcuda" in error else error


def _ort_packages() -> Fact:
    names = [name for name in _ORT_PACKAGES if installed_version(name)]
    found = [f"{name} {installed_version(name)}" for name in names]
    if len(found) > 1:
        what = f"{' and '.join(found)} are installed, and write into the same folder"
        return trouble(what, f"pip uninstall -y {' '.join(names)} && pip install {names[-1]}")
    return ok(found[0]) if found else absent("none")


def _cuda(answers: Answers) -> Fact:
    driver = answers["driver"]
    built = {name: answers[key].get("cuda") for name, key in (("onnxruntime", "ort"), ("torch", "torch"))}
    built = {name: version for name, version in built.items() if version}
    said = ", ".join(f"{name} is built for {version}" for name, version in built.items())
    if not driver.works:
        return absent("; ".join(filter(None, (_driver_error(answers), said))))
    newest = driver.get("cuda")
    said = f"the driver runs up to {newest}" + (f", {said}" if said else "")
    if any(_major(version) > _major(newest) for version in built.values()):
        return trouble(said, "update NVIDIA's driver, or install packages for the CUDA that it runs")
    if len({_major(version) for version in built.values()}) > 1:
        index = _TORCH_WHEELS.get(_major(built["onnxruntime"]), "cu130")
        remedy = f"pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{index}"
        return trouble(f"{said}: they cannot share libraries", remedy)
    return ok(said)


def _tf32(torch: Answer) -> Fact:
    return ok(f"{torch.get('tf32')} (on a GPU)") if torch.get("tf32") else absent("no torch that works")


def _major(version: str) -> int:
    return int(version.split(".")[0])
