"""The page in a real Chromium: silent, alone, sortable; in light, in dark, on paper, at 360 px."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
OUTLINE = Path(__file__).parent / "data" / "outline.json"
# One entry a visible block: what it is, its place in steps of the grid, whether it has content. A
# table that scrolls in its frame is as wide as the frame: its own width is the font's.
OUTLINE_SCRIPT = """
() => [...document.querySelectorAll(
    'header, section, h1, h2, .lead, .fields label, #answer .verdict, #answer table, '
    + '.chart, .plot svg, .scroll.tall, .card, footer')].map((element) => {
  const box = element.getBoundingClientRect();
  const frame = element.parentElement.getBoundingClientRect();
  const width = element.matches('table') ? Math.min(box.width, frame.width) : box.width;
  const name = element.id || element.getAttribute('name') || element.classList[0] || '';
  return {
    element: element.tagName.toLowerCase() + (name ? '.' + name : ''),
    left: Math.round(box.left / 40), width: Math.round(width / 40),
    shown: box.width > 0 && box.height > 0,
  };
})
"""


@pytest.fixture
def seen(open_page, suite_page, made):
    return open_page(suite_page(made))


def test_nothing_is_said_on_the_console_and_nothing_asked_of_anyone(seen):
    seen.answer(history=100)
    seen.page.locator("#cells-table button.open").first.click()
    seen.page.locator("#theme").click()
    assert seen.console == []
    assert [url for url in seen.requests if not url.startswith(("file://", "data:"))] == []
    assert len([url for url in seen.requests if url.startswith("file://")]) == 1


def test_the_policy_forbids_eval_and_scripts_that_are_put_in(seen):
    policy = seen.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    seen.page.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          document.body.append(script);
          const button = document.createElement('button');
          button.setAttribute('onclick', 'window.ran = true');
          document.body.append(button);
          button.click();
        }"""
    )
    assert seen.page.evaluate("() => window.ran") is None
    # Later, since what a driver evaluates at once is exempt from the policy.
    later = """() => new Promise((done) => setTimeout(() => {
      try { done(eval('1')); } catch { done('refused'); }
    }))"""
    assert seen.page.evaluate(later) == "refused"


def test_the_cells_sort_both_ways_and_what_is_missing_comes_last(seen):
    def column(place: int) -> list[str]:
        rows = seen.page.locator("#cells-table tbody tr")
        return [row.locator("td, th").nth(place).inner_text() for row in rows.all()]

    head = seen.page.locator("#cells-table thead th[data-key=L]")
    head.locator("button").click()
    lengths = [int(text) for text in column(3)]
    assert lengths == sorted(lengths)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    lengths = [int(text) for text in column(3)]
    assert lengths == sorted(lengths, reverse=True)
    for _ in range(2):
        seen.page.locator("#cells-table thead th[data-key=score] button").click()
        while seen.page.locator("#more").is_visible():
            seen.page.locator("#more").click()
        scores = column(11)
        known = [float(text) for text in scores if text]
        assert scores[len(known) :] == [""] * (len(scores) - len(known))
        assert known in (sorted(known), sorted(known, reverse=True))


def test_a_cell_opens_its_record_with_method_and_command(seen):
    seen.page.locator("#find").fill("sasrec train_epoch L=100")
    seen.page.locator("#cells-table button.open").first.click()
    record = seen.page.locator("tr.record").inner_text()
    assert "median of perf_counter_ns" in record
    assert "pytest bench/ -k sasrec-train_epoch-L100-s0" in record
    assert seen.page.locator("#cells-table button.open").first.get_attribute("aria-expanded") == (
        "true"
    )


def test_the_table_is_searched_and_narrowed_to_a_status(seen):
    seen.page.locator("#status").select_option("oom")
    assert seen.page.locator("#count").inner_text() == "1 of 1 cells"
    assert "BERT4Rec" in seen.page.locator("#cells-table tbody").inner_text()


def test_each_chart_is_drawn_and_a_model_can_be_switched_off_in_all(seen):
    charts = seen.page.locator("figure.chart:has([data-chart])")
    assert charts.count() == 7
    for chart in charts.all():
        assert chart.locator(".plot svg").count() >= 1
        assert chart.locator("details table").count() >= 1
    button = seen.page.locator("#legend button", has_text="GRU4Rec")
    green = "[stroke='#009E73']"
    before = seen.page.locator(f"#chart-epoch_time svg {green}").count()
    button.click()
    seen.page.wait_for_function(
        f'() => document.querySelectorAll("#chart-epoch_time svg {green}").length < {before}'
    )
    assert button.get_attribute("aria-pressed") == "false"


def test_keys_alone_reach_the_chooser_the_table_and_the_theme(seen):
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.name || document.activeElement.id"))
    assert {"theme", "history", "items", "memory", "latency", "weight", "find"} <= reached
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


def test_dark_follows_the_system_and_the_button_overrules_it(open_page, suite_page, made):
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = open_page(suite_page(made), color_scheme="dark").page
    light = open_page(suite_page(made), color_scheme="light").page
    assert dark.evaluate(background) != light.evaluate(background)
    paper, before = dark.evaluate(background), light.evaluate(background)
    dark.locator("#theme").click()
    assert dark.evaluate(background) == before
    light.emulate_media(color_scheme="dark")
    assert light.evaluate(background) == paper


def test_it_prints_in_ink_on_white_even_from_the_dark(open_page, suite_page, made):
    page = open_page(suite_page(made), color_scheme="dark").page
    assert len(page.pdf()) > 50_000
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    ink = page.evaluate("() => getComputedStyle(document.querySelector('.plot text')).fill")
    assert max(int(part) for part in ink[4:-1].split(",")) < 128
    assert not page.locator("#wishes").is_visible()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_makes_the_page_scroll_sideways(open_page, suite_page, made, width):
    page = open_page(suite_page(made), width=width).page
    for summary in page.locator("summary").all():
        summary.click()
    page.locator("#cells-table button.open").first.click()
    widths = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


def test_on_a_phone_the_answers_are_cards_and_what_is_cut_fades(open_page, suite_page, made):
    page = open_page(suite_page(made), width=390).page
    frame = page.locator("#answer .scroll")
    assert frame.evaluate("(element) => element.scrollWidth <= element.clientWidth")
    cell = page.locator("#answer tbody tr").first.locator("td").nth(2)
    assert cell.evaluate("(element) => getComputedStyle(element, '::before').content") == '"p50"'
    cut = page.locator(".scroll.more").first.element_handle()
    assert cut.evaluate("(element) => getComputedStyle(element).maskImage").startswith("linear")
    cut.evaluate("(element) => { element.scrollLeft = element.scrollWidth; }")
    page.wait_for_function("(element) => !element.matches('.more')", arg=cut)


def test_a_dash_is_a_percentile_and_never_a_model(seen):
    assert seen.page.locator("#legend [stroke-dasharray]").count() == 0
    assert seen.page.locator("#chart-epoch_time svg [stroke-dasharray]").count() == 0
    assert seen.page.locator("#chart-latency svg [stroke-dasharray]").count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_serious(open_page, suite_page, made, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="tox -e page has it")
    seen = open_page(suite_page(made), width=width, color_scheme=scheme)
    for summary in seen.page.locator("summary").all():
        summary.click()
    seen.page.locator("#cells-table button.open").first.click()
    found = [
        (one["id"], one["impact"], one["nodes"][0]["html"][:200])
        for one in axe.Axe().run(seen.page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert found == []


@pytest.mark.parametrize("width", [360, 1280])
def test_the_layout_is_the_one_that_was_looked_at(open_page, suite_page, made, width):
    """Run with SEQREC_OUTLINE=write after a change that was looked at."""
    page = open_page(suite_page(made), width=width).page
    outline = page.evaluate(OUTLINE_SCRIPT)
    known = json.loads(OUTLINE.read_text()) if OUTLINE.exists() else {}
    if os.environ.get("SEQREC_OUTLINE") == "write":
        OUTLINE.parent.mkdir(exist_ok=True)
        known[str(width)] = outline
        lines = [
            f'"{at}": [\n' + ",\n".join(json.dumps(entry) for entry in entries) + "\n]"
            for at, entries in sorted(known.items())
        ]
        OUTLINE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert outline == known[str(width)]


def test_without_javascript_there_are_pictures_and_tables(chromium, suite_page, made, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(suite_page(made), encoding="utf-8")
    page = chromium.new_page()
    chromium.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", {"value": True})
    page.goto(path.as_uri())
    assert page.locator("noscript img").count() == 7
    assert page.locator("noscript img").first.is_visible()
    assert page.locator("table", has_text="All cells").locator("tbody tr").count() == 120
    assert page.locator("#finding .lead").is_visible()
    assert not page.locator("#wishes").is_visible()
    page.close()
