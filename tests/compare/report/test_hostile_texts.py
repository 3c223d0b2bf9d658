"""Whatever models, files and names say, the page shows it and does nothing else."""

from __future__ import annotations

from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from compare.comparisons import CLIP, compared, side_by_side
from compare.report.reports import ranked, written

from chatir import Dialog, Round
from chatir.compare.comparison import Verdict
from chatir.run.rows import FailedDialog
from chatir.run.runs import Ranked, Record, RecordedPlayer, Sitting

pytestmark = pytest.mark.slow

HOSTILE = (
    "</script><script>window.hacked = 1; alert(1)</script>",
    "<img src=x onerror='window.hacked = 1; alert(1)'>",
    "\"><svg onload=alert(1)><a href='javascript:alert(1)'>x</a>",
    "' onmouseover='alert(1)' style='background:url(http://example.com/x)",
    "javascript:alert(1)",
    "]]><!--<script>alert(1)//-->",
    "${alert(1)} {{ 7 * 7 }} {% raw %} `${alert(1)}`",
    "</style><style>* { display: none }</style>",
    "<base href='http://example.com/'><link rel=stylesheet href='http://example.com/x.css'>",
    "<meta http-equiv=refresh content='0;url=http://example.com'>",
    "\u202egnorw si siht\u2066\u200f",
    "\u2028line\u2029end",
    "x" * 2000,
    "bell\x07 escape\x1b[31m",
    "__proto__",
    "constructor",
    "&lt;b&gt; &amp; &#0;",
)


def hostile_comparison():
    dialogs = tuple(
        Dialog(f"{number}{text}.jpg", text, tuple(Round(f"{text}{n}?", text) for n in range(4)))
        for number, text in enumerate(HOSTILE)
    )
    runs = []
    for seed, name in enumerate((HOSTILE[0], HOSTILE[1] + HOSTILE[12], "__proto__")):
        run = ranked(compared(name, dialogs=dialogs), seed, label=HOSTILE[seed + 1])
        config = {text: [text, {text: text}, seed] for text in HOSTILE}
        failed = tuple(FailedDialog(text, 1, "answer", text, text, 2) for text in HOSTILE)
        sitting = Sitting(HOSTILE[0], 1.0, {"git": HOSTILE[1]})
        targets = dict.fromkeys(HOSTILE, "")
        record = Record(config, (sitting,), {}, targets, targets, failed, frozenset(), (Ranked(CLIP, {}, {}),))
        player = RecordedPlayer(HOSTILE[seed], {HOSTILE[0]: HOSTILE[1]})
        told = replace(
            run.run,
            file=Path(f"{HOSTILE[seed].replace('/', '|')}.json"),
            record=record,
            questioner=player,
            answerer=player,
        )
        runs.append(replace(run, run=told))
    verdicts = tuple(Verdict(text, text, "runs", HOSTILE, text) for text in HOSTILE)
    made = side_by_side(*runs)
    return replace(made, baseline=HOSTILE[0], verdicts=verdicts, notes=HOSTILE, method=HOSTILE[0])


HOSTILE_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="90pt" height="9pt" onload="alert(1)"><metadata><dc:title '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/"></metadata><script>alert(1)</script>'
    b'<image href="http://example.com/x.png" width="5" height="5"/></svg>'
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    figures = {HOSTILE[1]: (HOSTILE_SVG, HOSTILE_SVG)}
    return written(hostile_comparison(), tmp_path_factory.mktemp("hostile") / "report.html", figures=figures)


VISIT = """async () => {
  const links = [...document.querySelectorAll("#list a")].map((link) => link.getAttribute("href"));
  const answers = [];
  for (const link of links) {
    const changed = new Promise((done) => addEventListener("hashchange", done, { once: true }));
    location.hash = link;
    await changed;
    answers.push(document.querySelector("#dialog .answer").textContent);
  }
  return answers;
}"""


@pytest.fixture
def page(open_page, report):
    """The page, after every dialog was opened, every fold unfolded and a hostile text searched for."""
    page = open_page(report)
    page.evaluate(VISIT)
    page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.fill("#text", HOSTILE[0])
    page.select_option("#scope", "1")
    page.wait_for_timeout(100)
    return page


def test_nothing_runs_and_nothing_is_asked_for(page):
    # `open_page` holds the test to it: no dialog, no request, no error.
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("script").count() == 3
    assert page.locator("style").count() == 1
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("base, link, iframe, object, embed, svg[onload], img[onerror], [style*=url]").count() == 0
    links = page.evaluate("() => [...document.links].map((link) => link.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)


def test_the_script_adds_nothing_to_the_window(page, open_page, tmp_path):
    (tmp_path / "empty.html").write_text("<!doctype html><title>empty</title>")
    names = "() => Object.getOwnPropertyNames(window).filter((name) => !/^[0-9]+$/.test(name)).sort()"
    assert page.evaluate(names) == open_page(tmp_path / "empty.html").evaluate(names)
    assert page.evaluate("() => Object.keys(Object.prototype).length") == 0


def test_texts_are_shown_as_they_stand(open_page, report):
    page = open_page(report)
    expected = [text.replace("\x07", "␇").replace("\x1b", "␛") for text in HOSTILE]
    assert page.evaluate(VISIT) == expected
    sentences = page.locator(".sentence").evaluate_all("(all) => all.map((each) => each.textContent)")
    assert sentences == expected


def test_a_text_cannot_turn_what_stands_beside_it(page):
    loose = page.evaluate(
        """() => {
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          const loose = [];
          while (walker.nextNode()) {
            const node = walker.currentNode;
            if (!node.textContent.includes("\\u202e") || node.parentElement.closest("script, option")) continue;
            if (!node.parentElement.closest("bdi, [dir=auto]")) loose.push(node.parentElement.outerHTML.slice(0, 80));
          }
          return loose;
        }"""
    )
    assert loose == []


def test_long_words_do_not_widen_the_page(open_page, report):
    for width in (360, 1600):
        page = open_page(report, width=width)
        page.locator("#list a").nth(12).click()
        page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert page.evaluate("() => document.scrollingElement.scrollWidth <= innerWidth")


def test_an_address_that_is_no_id_opens_nothing(open_page, report):
    page = open_page(report, fragment="#target=<img src=x onerror=alert(1)>")
    assert page.locator("#dialog").is_hidden()
    assert page.locator("#count").inner_text().startswith("the address names no dialog")


ATTEMPTS = {
    "a script": "const s = document.createElement('script'); s.append('window.hacked = 1'); document.body.append(s)",
    "markup": "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 1\">')",
    "an attribute": "document.body.setAttribute('onclick', 'window.hacked = 1'); document.body.click()",
    # Not at once: what the test itself evaluates is free to evaluate more.
    "eval": "setTimeout(() => (0, eval)('window.hacked = 1'))",
    "a timer": "setTimeout('window.hacked = 1')",
    "an address": "const a = document.createElement('a'); a.href = 'javascript:window.hacked = 1'; "
    "document.body.append(a); a.click()",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_policy_stops_a_script_that_came_in(open_page, report, troubles, attempt):
    page = open_page(report)
    page.evaluate(f"() => {{ try {{ {ATTEMPTS[attempt]} }} catch {{}} }}")
    page.wait_for_timeout(50)
    assert page.evaluate("() => window.hacked") is None
    assert not [each for each in troubles.seen if not each.startswith(("console:", "error:"))]
    troubles.seen.clear()  # the browser tells of what it stopped


def test_the_policy_stops_requests(open_page, report, troubles, server):
    url, requests = server
    asked = """(url) => new Promise((done) => {
      const image = new Image();
      image.onload = () => done("loaded");
      image.onerror = () => fetch(url).then(() => done("fetched"), () => done("stopped"));
      image.src = `${url}x.png`;
    })"""
    assert open_page(report).evaluate(asked, url) == "stopped"
    assert requests == []
    assert any("Content Security Policy" in each for each in troubles.seen)
    troubles.seen.clear()


@pytest.fixture
def server():
    """The address of a server, and the paths that it was asked for."""
    requests = []

    class Told(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(204)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *about):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as made:
        Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}/", requests
        made.shutdown()
