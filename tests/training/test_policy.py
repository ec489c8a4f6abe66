from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guided_dml.blocks import ComputeParameters
from guided_dml.errors import InputError
from guided_dml.training.checkpoints import fingerprint
from guided_dml.training.policy import Policy


def policy(
    device: str = "cpu",
    precision: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
) -> Policy:
    values = {
        "device": device,
        "precision": precision,
        "deterministic": deterministic,
        "threads": threads,
    }
    return Policy.of(ComputeParameters.model_validate(values))


def test_cpu_computes_in_float32_unless_told_otherwise() -> None:
    assert policy().autocast is None
    assert policy(precision="bfloat16").autocast is torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(InputError, match=r"compute\.device: no CUDA GPU"):
        policy("cuda")
    assert policy("auto").device.type == "cpu"


def test_switches_are_put_back() -> None:
    before = torch.backends.cudnn.benchmark
    with policy(deterministic=True).active():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark == before


def test_bfloat16_reaches_the_forward_pass() -> None:
    with policy(precision="bfloat16").forward_precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16
    with policy().forward_precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set_and_put_back(threads: int) -> None:
    before = torch.get_num_threads()
    with policy(threads=threads).active():
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == before
    assert policy().threads == before


def test_a_policy_tells_threads_and_hardware_apart() -> None:
    one, two = policy(threads=1), policy(threads=2)
    assert one.hardware.endswith(", 1 threads")
    assert fingerprint(one) != fingerprint(two)
    assert fingerprint(one) != fingerprint(replace(one, hardware="another processor, 1 threads"))
    assert fingerprint(one) == fingerprint(policy(threads=1))
