from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch

from devices import DEVICES
from guided_dml.blocks import ComputeParameters
from guided_dml.errors import InputError
from guided_dml.training.checkpoints import fingerprint
from guided_dml.training.policy import Policy, precision_of


def policy(device: str = "cpu", precision: str = "auto", **settings: Any) -> Policy:
    chosen = {"device": device, "precision": precision, "deterministic": False} | settings
    return Policy.of(ComputeParameters.model_validate(chosen))


@pytest.mark.parametrize(
    ("asked", "capability", "instructions", "autocast", "words", "slower"),
    [
        ("auto", (7, 0), (), None, "capability 7.0 only emulates", False),  # (V100)
        ("auto", (7, 5), ("avx512_bf16",), None, "capability 7.5 only emulates", False),  # (T4)
        ("auto", (8, 0), (), torch.bfloat16, "capability 8.0 computes in it", False),  # (A100)
        ("auto", (10, 0), (), torch.bfloat16, "capability 10.0 computes in it", False),
        ("auto", None, (), None, "the processor only emulates", False),
        ("auto", None, ("avx512_f", "avx2"), None, "the processor only emulates", False),
        ("auto", None, ("avx512_bf16",), torch.bfloat16, "computes in it (avx512_bf16)", False),
        ("auto", None, ("amx_bf16",), torch.bfloat16, "computes in it (amx_bf16)", False),
        ("float32", (9, 0), (), None, "as asked for", False),
        ("float32", None, ("avx512_bf16",), None, "as asked for", False),
        ("bfloat16", (9, 0), (), torch.bfloat16, "as asked for; a card of", False),
        ("bfloat16", (7, 5), (), torch.bfloat16, "slower than float32", True),
        ("bfloat16", None, (), torch.bfloat16, "slower than float32", True),
        ("bfloat16", None, ("amx_bf16",), torch.bfloat16, "asked for; the processor comp", False),
    ],
)
def test_bfloat16_is_chosen_where_the_hardware_is_faster_in_it(
    asked: Any,
    capability: tuple[int, int] | None,
    instructions: tuple[str, ...],
    autocast: torch.dtype | None,
    words: str,
    slower: bool,
) -> None:
    chosen = precision_of(asked, capability, instructions)
    assert chosen.autocast is autocast
    assert words in chosen.reason
    assert chosen.slower is slower


@pytest.mark.parametrize(
    ("asked", "capability", "backbone", "autocast"),
    [
        ("auto", None, "timm/convnext_atto", None),
        ("bfloat16", None, "timm/convnext_atto", torch.bfloat16),
        ("auto", (9, 0), "timm/convnext_atto", torch.bfloat16),
        ("auto", None, "airbench", torch.bfloat16),
    ],
)
def test_networks_of_timm_compute_in_float32_on_a_cpu(
    asked: Any, capability: tuple[int, int] | None, backbone: str, autocast: torch.dtype | None
) -> None:
    chosen = precision_of(asked, capability, ("amx_bf16",), "", backbone)
    assert chosen.autocast is autocast


@pytest.mark.parametrize(
    ("instructions", "processor", "faster"),
    [
        (("avx512_bf16",), "Intel Xeon", False),  # (two thirds of float32's rate, measured)
        (("avx512_bf16", "amx_bf16"), "Intel Xeon", True),
        (("avx512_bf16",), "AMD EPYC", True),
    ],
)
def test_bfloat16_of_an_intel_needs_its_matrix_units(
    instructions: tuple[str, ...], processor: str, faster: bool
) -> None:
    chosen = precision_of("auto", None, instructions, processor)
    assert (chosen.autocast is torch.bfloat16) is faster
    asked = precision_of("bfloat16", None, instructions, processor)
    assert asked.autocast is torch.bfloat16
    assert asked.slower is not faster
    assert ("slower than float32" in asked.reason) is not faster


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(InputError, match=r"compute\.device: no CUDA GPU"):
        policy("cuda")
    assert policy("auto").device.type == "cpu"


@pytest.mark.parametrize("deterministic", [True, False])
def test_switches_are_put_back(deterministic: bool) -> None:
    backends: Any = torch.backends
    cudnn, matmul = backends.cudnn, backends.cuda.matmul
    switches = [(cudnn, "deterministic"), (cudnn, "benchmark")]
    switches += [(cudnn.conv, "fp32_precision"), (matmul, "fp32_precision")]
    before = [getattr(*switch) for switch in switches]
    with policy(deterministic=deterministic).active():
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        found = [getattr(*switch) for switch in switches]
        assert found == [deterministic, not deterministic, "ieee", "ieee"]
    assert not torch.are_deterministic_algorithms_enabled()
    assert [getattr(*switch) for switch in switches] == before


def test_what_cannot_be_deterministic_is_told() -> None:
    values = torch.zeros(3)
    with (
        pytest.raises(
            InputError,
            match=r"deterministic: true given, but put_ does not have .* implementation; give f",
        ),
        policy(deterministic=True).active(),
    ):
        values.put_(torch.tensor([0, 1]), torch.ones(2))
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="shape"), policy().active():
        values.view(2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_the_precision_reaches_the_forward_pass(device: str, precision: str) -> None:
    ones = torch.ones(2, 2, device=device)
    with policy(device, precision).forward_precision():
        assert (ones @ ones).dtype is getattr(torch, precision)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set_and_put_back(threads: int) -> None:
    before = torch.get_num_threads()
    with policy(threads=threads).active():
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == before
    assert policy().threads == before


def test_a_policy_tells_threads_and_hardware_apart() -> None:
    one, two = policy(threads=1), policy(threads=2)
    assert one.hardware.endswith(", 1 thread")
    assert fingerprint(one) != fingerprint(two)
    assert fingerprint(one) != fingerprint(replace(one, hardware="another processor, 1 threads"))
    assert fingerprint(one) == fingerprint(policy(threads=1))


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        InputError, match=r"compute\.compiled: no C\+\+ compiler 'no-such-compiler'"
    ):
        policy(compiled=True)
    assert not policy().compiled


@pytest.mark.skipif(not shutil.which(os.environ.get("CXX") or "g++"), reason="no compiler")
@pytest.mark.parametrize("device", DEVICES)
def test_a_compiled_network_trains_its_own_weights_alike(device: str) -> None:
    values = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).to(device)
    trained = []
    for compiled in (False, True):
        torch.manual_seed(0)
        first = torch.nn.Linear(3, 4)
        network = torch.nn.Sequential(first, torch.nn.GELU()).to(device)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        embedded = policy(device, "float32", compiled=compiled).quickened(network)
        assert (embedded is network) is not compiled
        for some in (values, values[:5]):  # (an epoch's last batch is of another shape)
            optimiser.zero_grad()
            embedded(some).square().sum().backward()
            optimiser.step()
        trained.append(first.weight.detach())
    torch.testing.assert_close(*trained)
