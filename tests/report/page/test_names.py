"""Names from result files are shown as text, whatever they hold."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser
HOSTILE = {
    "HTML": "<img src=x onerror='window.ran=true'><script>window.ran=true</script>",
    "the end of a script": "</script><script>window.ran = true</script><!--",
    "quotes": "\"'` onmouseover=window.ran=true x='",
    "a template": "{{ 7 * 7 }}${window.ran = true}",
    "200 characters": "model-" + "x" * 194,
    "right to left": "מודל המלצות סדרתי",
    "an override of direction": "model\u202egnp.exe",
}


@pytest.fixture
def name_page(make_page, made):
    def make(name: str) -> str:
        records = []
        for model in (name, "sasrec"):
            for seq_len in (50, 100):
                changes = {
                    "dataset": name,
                    "flags": [name[:60]],
                    "data": made.DATA | {"name": name},
                }
                changes["resolved"] = {"backend": name, "dataset": name, "dataset_reason": name}
                changes["machine"] = made.MACHINE | {"cpu_model": name}
                changes["cell_id"] = f"{name}-{seq_len}-{model == name}"
                records += [
                    made.train(model, seq_len, **changes),
                    made.serve(model, "recommend", seq_len, **changes),
                    made.fit(model, seq_len, 0, **changes),
                ]
        gone = {"status": "error", "reason": name, "details": name}
        records.append(made.train(name, 200, metrics={}, cell_id=f"{name}-gone", **gone))
        return make_page(made, records, dataset_line=name, suite=name, argv=["bench/", "-k", name])

    return make


@pytest.mark.parametrize("name", HOSTILE.values(), ids=list(HOSTILE))
def test_a_name_is_shown_as_text(open_page, name_page, name):
    seen = open_page(name_page(name), width=360)
    for summary in seen.page.locator("summary").all():
        summary.click()
    seen.page.locator("#cells-table button.open").first.click()
    assert seen.page.evaluate("() => window.ran") is None
    assert seen.console == []
    assert len(seen.requests) == 1
    plain = "".join(char if char.isprintable() else " " for char in name)
    shown = seen.page.locator("#cells-table tbody tr").first.inner_text()
    assert plain[:20] in shown
    assert plain[:24] in seen.page.locator("#answer").inner_text()
    assert plain[:24] in seen.page.locator("tr.record").inner_text()
    widths = seen.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


def test_a_right_to_left_name_does_not_turn_its_row_around(open_page, name_page):
    page = open_page(name_page(HOSTILE["right to left"])).page
    boxes = [
        cell.bounding_box()["x"]
        for cell in page.locator("#answer tbody tr").first.locator("th, td").all()
    ]
    assert boxes == sorted(boxes)
    text = page.locator("#finding .lead bdi").first
    assert text.evaluate("(element) => getComputedStyle(element).direction") == "ltr"
