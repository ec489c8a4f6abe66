"""The one place that decides where and how precisely to compute."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from guided_dml.blocks import ComputeParameters
from guided_dml.errors import InputError
from guided_dml.provenance import device_name

# PyTorch reads it once, at the process's first matrix product on a GPU; without it a
# deterministic one raises.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

Model = TypeVar("Model", bound=nn.Module)


#: A processor has either where it computes in bfloat16.
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


class Precision(NamedTuple):
    """How precisely a forward pass computes.

    Attributes:
        autocast: The reduced precision, None for float32.
        reason: Why.
        slower: Whether it costs time instead of saving it.
    """

    autocast: torch.dtype | None
    reason: str
    slower: bool = False


def precision_of(
    asked: Literal["auto", "float32", "bfloat16"],
    capability: tuple[int, int] | None,
    instructions: Iterable[str] = (),
    processor: str = "",
    backbone: str = "",
) -> Precision:
    """Return the precision of the forward pass.

    Args:
        asked: ``compute.precision``.
        capability: The GPU's compute capability; None on a CPU.
        instructions: What the CPU can do, by PyTorch's names.
        processor: The CPU's name.
        backbone: ``student.backbone``, where it is the student that is trained.
    """
    if asked == "float32":
        return Precision(None, "as asked for")
    if capability is None:
        what = "the processor"
        found = next((name for name in BFLOAT16_INSTRUCTIONS if name in instructions), None)
    else:
        what = "a card of compute capability {}.{}".format(*capability)
        # (PyTorch calls bfloat16 supported below that as well: it converts)
        found = "its matrix units" if capability >= (8, 0) else None
    if found is None:
        drawback = "only emulates bfloat16"
    elif found == "avx512_bf16" and "Intel" in processor:
        # AMD's doubles the rate; Intel means amx_bf16 for that, which virtual machines may hide.
        drawback = "has Intel's avx512_bf16 without amx_bf16"
    else:
        reason = f"{what} computes in it ({found})"
        if asked == "bfloat16":
            return Precision(torch.bfloat16, f"as asked for; {reason}")
        if capability is None and backbone.startswith("timm/"):
            # (depthwise convolutions: MobileNet's step takes 2.6 times as long, ConvNeXt's as long)
            return Precision(None, "few of timm's networks are faster in bfloat16 on a CPU")
        return Precision(torch.bfloat16, reason)
    reason = f"{what} {drawback}, which is slower than float32"
    if asked == "bfloat16":
        return Precision(torch.bfloat16, f"as asked for, but {reason}", slower=True)
    return Precision(None, reason)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let PyTorch, and all that goes by it, compute on so many threads, then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Policy:
    """Device, precision and determinism of a piece of work.

    Attributes:
        device: Where the model and the images live.
        autocast: The reduced precision of the forward pass, or None for float32 throughout.
        deterministic: Whether only kernels that repeat their result exactly are allowed.
        compiled: Whether the student's network is compiled.
        threads: Of the CPU.
        hardware: The name of what computes: other hardware or threads give other weights.
        reason: Why this precision.
        slower: Whether the precision costs time instead of saving it.
    """

    device: torch.device
    autocast: torch.dtype | None = None
    deterministic: bool = False
    compiled: bool = False
    threads: int = field(default_factory=torch.get_num_threads)
    hardware: str = ""
    reason: str = field(default="", repr=False)
    slower: bool = field(default=False, repr=False)

    @classmethod
    def of(cls, parameters: ComputeParameters, backbone: str = "") -> Policy:
        """Return the policy that ``parameters`` ask for on this machine.

        ``auto`` takes the GPU where there is one, and bfloat16 where the hardware is faster in it,
        for the student's network if its ``backbone`` is given.

        Raises:
            InputError: ``cuda`` is asked for and not there, or to compile without a compiler.
        """
        if parameters.device == "cuda" and not torch.cuda.is_available():
            raise InputError("compute.device: no CUDA GPU is at hand; use 'auto' or 'cpu'")
        compiler = os.environ.get("CXX") or "g++"  # (as PyTorch looks for it)
        if parameters.compiled and not shutil.which(compiler):
            raise InputError(
                f"compute.compiled: no C++ compiler {compiler!r} is at hand; install one, name "
                "it in the environment variable CXX, or give compute.compiled=false"
            )
        on_gpu = parameters.device != "cpu" and torch.cuda.is_available()
        capability = torch.cuda.get_device_capability() if on_gpu else None
        cpu = torch.cpu.get_capabilities()
        can = [name for name, has in cpu.items() if has]
        threads = parameters.threads or torch.get_num_threads()
        asked, name = parameters.precision, cpu.get("cpu_name", "")
        precision = precision_of(asked, capability, can, name, backbone)
        return cls(
            device=torch.device("cuda" if on_gpu else "cpu"),
            deterministic=parameters.deterministic,
            compiled=parameters.compiled,
            threads=threads,
            hardware=device_name(parameters.device, threads),
            **precision._asdict(),
        )

    def __str__(self) -> str:
        """Return the choice and its reason, in one line."""
        precision = str(self.autocast or torch.float32).removeprefix("torch.")
        return f"{self.hardware}; {precision}: {self.reason}"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Set PyTorch's global switches for the work inside, then put them back.

        Raises:
            InputError: Determinism is asked for, and a layer has no kernel for that.
        """
        backends: Any = torch.backends
        wanted = {
            (backends.cudnn, "deterministic"): self.deterministic,
            # (tries what is fastest, which pays for batches of one shape)
            (backends.cudnn, "benchmark"): not self.deterministic,
            # Where float32 is asked for, TF32's ten bits would not do.
            (backends.cudnn.conv, "fp32_precision"): "ieee",
            (backends.cuda.matmul, "fp32_precision"): "ieee",
        }
        before = {switch: getattr(*switch) for switch in wanted}
        was_deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(self.deterministic)
        for (backend, name), value in wanted.items():
            setattr(backend, name, value)
        try:
            with on_threads(self.threads):
                yield
        except RuntimeError as error:
            if "deterministic implementation" not in str(error):
                raise
            what = str(error).partition(",")[0]
            raise InputError(
                f"compute.deterministic: true given, but {what}; give false"
            ) from error
        finally:
            torch.use_deterministic_algorithms(was_deterministic)
            for (backend, name), value in before.items():
                setattr(backend, name, value)

    def place(self, model: Model) -> Model:
        """Return the model on the device, its weights in channels-last order.

        So convolutions and pools are faster: on a CPU GEMINI's step by a quarter, on a GPU it is
        what its matrix units read.
        """
        return model.to(self.device).to(memory_format=torch.channels_last)

    def quickened(self, network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Return what trains the network's weights: itself, or its compiled form.

        For batches of one shape (and one more for the last), on a GPU as one captured graph.
        """
        if not self.compiled:
            return network
        mode = "reduce-overhead" if self.device.type == "cuda" else None
        return torch.compile(network, dynamic=False, mode=mode)

    def forward_precision(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(
            self.device.type, dtype=self.autocast, enabled=self.autocast is not None
        )
