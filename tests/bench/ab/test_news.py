"""What is said while a comparison measures, on a terminal and in a log."""

from __future__ import annotations

import io

from bench.ab.news import News


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_the_first_line_then_one_a_minute() -> None:
    now, log = [0.0], io.StringIO()
    news = News(log, clock=lambda: now[0])
    for seconds in (0, 5, 59, 60, 61, 121):
        now[0] = float(seconds)
        news(f"at {seconds}")
    news.now("compiling")
    assert log.getvalue().split("\n") == ["at 0", "at 60", "at 121", "compiling", ""]


def test_a_terminal_has_one_line_that_is_written_over() -> None:
    screen = Terminal()
    news = News(screen)
    news("one")
    news("two")
    news.now("compiling")
    assert screen.getvalue() == "\r\033[Kone\r\033[Ktwo\r\033[Kcompiling\n"
