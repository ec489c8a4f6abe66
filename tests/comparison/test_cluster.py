"""The cluster that a comparison starts on this machine."""

from __future__ import annotations

import os
import subprocess

import pytest
from distributed import Client

from guided_dml.comparison.cluster import cluster


def test_a_local_cluster_lets_nobody_else_in_and_limits_no_memory() -> None:
    with cluster(workers=None, scheduler=None, most=1, threads=1) as client:
        address = str(client.scheduler_info()["address"])
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["memory_limit"] == 0
        environment = client.submit(subprocess.getoutput, "env").result().splitlines()
        assert {"OMP_NUM_THREADS=1", "TQDM_DISABLE=1"} <= set(environment)
        assert "TQDM_DISABLE" not in os.environ  # (this process draws a bar)
        assert address.startswith("tls://127.0.0.1:")
        for stranger in (address, address.replace("tls", "tcp")):
            with pytest.raises((OSError, TypeError, ValueError)):
                Client(stranger, timeout=2)
