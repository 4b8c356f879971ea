"""PyTorch's switches are recorded as they stand, and change no machine's fingerprint."""

import json

import pytest

from measure.machine import describe_machine
from measure.switches import describe_switches

torch = pytest.importorskip("torch")


def test_each_switch_is_seen(monkeypatch):
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    before, machine = describe_switches(), describe_machine(threads=1)["fingerprint"]
    json.dumps(before, allow_nan=False)
    assert before["deterministic"] is False
    assert before["torch_alloc_conf"] == {}
    assert {"flash", "mem_efficient", "math"} <= set(before["sdpa_allowed"])
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        after = describe_switches()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cuda.enable_flash_sdp(True)
    assert after["deterministic"] is True
    assert set(before["sdpa_allowed"]) - set(after["sdpa_allowed"]) == {"flash"}
    assert after["torch_alloc_conf"] == {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    assert describe_machine(threads=1)["fingerprint"] == machine
