"""What a device's own events say of requests is kept beside what the host waited."""

from __future__ import annotations

from typing import ClassVar

import pytest

from bench import latency


class Events:
    """A stream whose work takes as long as its number."""

    said: ClassVar[list[str]] = []

    def __init__(self, device: str) -> None:
        self.said.append(device)

    def begin(self) -> None:
        self.said.append("begin")

    def end(self) -> None:
        self.said.append("end")

    def seconds(self) -> float:
        return self.said.count("end") * 1e-3


def test_events_stand_around_each_launch_and_are_read_after_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = Events.said
    said.clear()
    monkeypatch.setattr(latency, "StreamEvents", Events)
    monkeypatch.setattr(latency, "synchronize", lambda device: said.append("wait"))
    on_device: list[float] = []
    host = latency.time_each(
        lambda index: said.append(f"request {index}"), 2, device="cuda:1", on_device=on_device
    )
    one = ["wait", "begin", "request {}", "end", "wait"]
    assert said == ["cuda:1", *(text.format(n) for n in (0, 1) for text in one)]
    assert (len(host), on_device) == (2, [1e-3, 2e-3])


def test_a_cpu_has_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "StreamEvents", None)
    assert len(latency.time_each(lambda index: None, 3, device="cpu")) == 3
