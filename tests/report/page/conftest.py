"""Pages of made-up runs, and a real Chromium that opens them and keeps what it saw.

The browser is Debian's or the one that SEQREC_CHROMIUM names; nothing is downloaded for it. Tests
that need it are marked `browser` and skip, with the reason, where it or playwright is missing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from measure.record import Metric, Record
from report.load import load_runs
from report.page.build import build_page

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LENGTHS = (50, 100, 200, 400, 800, 1600, 3200)
# The known best of `choices`: SASRec is cheapest up to L = 400 or so and dies at 3,200, GRU4Rec
# is cheapest beyond, Mamba4Rec is the most accurate at every length.
ACCURACY = {"mamba4rec": 0.150, "sasrec": 0.130, "gru4rec": 0.120}


def cost(model: str, seq_len: int) -> float:
    """Seconds of a request: a + b L + c L^2, so that a fit finds it exactly."""
    a, b, c = {
        "mamba4rec": (2e-3, 4e-6, 0.0),
        "sasrec": (2e-4, 1e-6, 4e-9),
        "gru4rec": (6e-4, 2e-6, 0.0),
    }[model]
    return a + b * seq_len + c * seq_len**2


@dataclass
class Seen:
    """What a page did: its console, its errors, and every address that it asked for."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    busy: float = 0.0  # seconds of processor until it was loaded, of its main thread

    def answer(self, **wishes: Any) -> dict[str, str]:
        """Fill in the chooser's form, and what it then says: kind, best, title and text."""
        for name, value in wishes.items():
            chosen = self.page.locator(f"#wishes [name={name}]")
            if name in ("device", "setting", "request"):
                chosen.select_option(value)
            else:
                chosen.fill(str(value))
        host = self.page.locator("#answer")
        return {
            "kind": host.get_attribute("data-kind"),
            "best": host.get_attribute("data-best"),
            "title": host.locator(".verdict").inner_text(),
            "text": host.inner_text(),
        }


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A fresh profile of a real Chromium."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: tox -e page installs it"
    )
    found = os.environ.get("SEQREC_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("needs Chromium: apt-get install chromium, or SEQREC_CHROMIUM=its path")
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=found,
            headless=True,
            args=["--headless=new", *SWITCHES],
            viewport={"width": 1280, "height": 900},
        )
        yield context
        context.close()


@pytest.fixture
def open_page(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Writes HTML to a file, opens it from there and waits until all is drawn."""
    opened = []

    def open_(
        html: str, *, width: int = 1280, wait: bool = True, busy: bool = False, **media: Any
    ) -> Seen:
        path = tmp_path / f"page{len(opened)}.html"
        path.write_text(html, encoding="utf-8")
        page = chromium.new_page()
        seen = Seen(page)
        page.on("console", lambda said: seen.console.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: seen.console.append(f"error: {error}"))
        page.on("request", lambda request: seen.requests.append(request.url))
        opened.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        if media:
            page.emulate_media(**media)
        if busy:
            session = chromium.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(path.as_uri())
        if busy:
            metrics = session.send("Performance.getMetrics")["metrics"]
            seen.busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
        if wait:
            page.wait_for_selector("html[data-charts=drawn]", timeout=120_000)
        return seen

    yield open_
    for page in opened:
        page.evaluate("() => localStorage.clear()")  # files share it: the next test starts anew
        page.close()


@pytest.fixture(scope="session")
def make_page(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The page of records, or of several runs' records, through files as a user has them."""

    def make(made: Any, *runs: list[Record], **changes: Any) -> str:
        folder = tmp_path_factory.mktemp("runs")
        paths = [
            made.write_json(folder / f"{name}.json", records, run_id=f"{name}-1", **changes)
            for name, records in zip(("base", "head", "third"), runs, strict=False)
        ]
        return build_page(load_runs(paths))

    return make


def choices(made: Any) -> list[Record]:
    """Records with a known best, over seven lengths and with three seeds."""
    records = []
    for model in ACCURACY:
        for seq_len in LENGTHS:
            if model == "sasrec" and seq_len == 3200:
                gone = {"status": "oom", "reason": "the worker was killed at 7.6 GiB"}
                records += [made.train(model, seq_len, metrics={}, **gone)]
                records += [made.serve(model, "recommend", seq_len, metrics={}, **gone)]
                continue
            epoch = 1000 * cost(model, seq_len)
            memory = made.fact(1e6 * seq_len, "B", "memory_physical")
            metrics = {"epoch_time": made.time(epoch), "memory_peak": memory}
            records.append(made.train(model, seq_len, metrics=metrics))
            p50, p95 = cost(model, seq_len), 1.5 * cost(model, seq_len)
            latency = {
                "latency_p50": Metric(
                    p50, "s", "lower", "time", "clock", 500, 0.99 * p50, 1.01 * p50
                ),
                "latency_p95": Metric(
                    p95, "s", "lower", "tail", "clock", 500, 0.98 * p95, 1.02 * p95
                ),
            }
            records.append(made.serve(model, "recommend", seq_len, metrics=latency))
        for seq_len in (50, 200, 800, 1600):
            for seed in range(3):
                # Differences that are all alike would be chance.
                place = list(ACCURACY).index(model) + 1
                own = 0.0002 * (place * (seed + 1) ** 2 % 5 - 2)
                ndcg = ACCURACY[model] + 0.001 * (seed - 1) + own
                scores = {"ndcg@10": Metric(ndcg, "1", "higher", "accuracy", "ranking", n=943)}
                records.append(made.fit(model, seq_len, seed, metrics=scores, samples={}))
    return records


@pytest.fixture(scope="session")
def choices_page(make_page: Callable[..., str]) -> Callable[[Any], str]:
    """The page of `choices`, made once."""
    kept: dict[str, str] = {}

    def make(made: Any) -> str:
        if "page" not in kept:
            kept["page"] = make_page(made, choices(made))
        return kept["page"]

    return make


@pytest.fixture(scope="session")
def suite_page(make_page: Callable[..., str]) -> Callable[[Any], str]:
    """The page of one run of everything, with cells that failed, made once."""
    kept: dict[str, str] = {}

    def make(made: Any) -> str:
        if "page" not in kept:
            kept["page"] = make_page(made, made.suite((50, 100, 200, 400, 800)))
        return kept["page"]

    return make
