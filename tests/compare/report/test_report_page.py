"""The browser of dialogs, in a real browser, opened from disk."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from compare.comparisons import asked, compared, side_by_side
from compare.report.reports import pictures, ranked, two_runs, written

from chatir import Round
from chatir.measures.questions import repeats

pytestmark = pytest.mark.slow

CURVE = b'<svg xmlns="http://www.w3.org/2000/svg" width="310pt" height="220pt" viewBox="0 0 310 220"></svg>'


@pytest.fixture(scope="module")
def comparison():
    return two_runs(60)


@pytest.fixture(scope="module")
def report(comparison, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    root = pictures(folder / "images", comparison)
    figures = {"first_clip": (CURVE, CURVE)}
    return written(comparison, folder / "report.html", images=root, thumbnails=10, figures=figures)


@pytest.fixture
def page(open_page, report):
    return open_page(report)


def listed(page):
    """The ids of all that match, in order, page after page of the list."""
    ids = []
    while True:
        ids += [unquote(link.get_attribute("href").removeprefix("#target=")) for link in page.locator("#list a").all()]
        if page.locator("#page-on").is_disabled():
            break
        page.locator("#page-on").click()
    many = int(page.locator("#count").inner_text().split()[0].replace(",", ""))
    assert many == len(ids)
    return ids


def ids_where(comparison, condition, runs=None):
    """Ids of the targets for which the condition holds in one of the runs: of a run's dialog and its ranks."""
    runs = comparison.runs if runs is None else runs
    return [
        dialog.id
        for place, dialog in enumerate(comparison.runs[0].dialogs)
        if any(condition(run.dialogs[place], run.retrieval["CLIP"].ranks[:, place]) for run in runs)
    ]


def asked_often(dialog, least):
    return repeats(one.question for one in dialog.rounds) >= least


def test_without_a_filter_all_targets_are_listed_in_the_order_of_the_file(page, comparison):
    assert listed(page) == [dialog.id for dialog in comparison.runs[0].dialogs]


@pytest.mark.parametrize(
    ("where", "text", "many"),
    [
        ("all", "A STREET", True),
        ("captions", "A PICTURE", True),
        ("captions", "street", False),
        ("questions", "There a Street?", True),
        ("questions", "yes", False),
        ("answers", "YES, a street", True),
        ("answers", "is there", False),
        ("all", "is there a street? yes", False),
    ],
)
def test_text_is_found_whatever_its_case(page, comparison, where, text, many):
    def says(dialog, ranks):
        parts = {
            "captions": [dialog.caption],
            "questions": [one.question for one in dialog.rounds],
            "answers": [one.answer for one in dialog.rounds],
        }
        texts = [each for part in parts if where in ("all", part) for each in parts[part]]
        return any(text.lower() in each.lower() for each in texts)

    page.select_option("#where", where)
    page.fill("#text", text)
    found = listed(page)
    assert found == ids_where(comparison, says)
    assert bool(found) == many


@pytest.mark.parametrize("least", [1, 2, 3])
def test_repeats_are_counted_as_they_are_everywhere(page, comparison, least):
    page.fill("#repeats", str(least))
    expected = ids_where(comparison, lambda dialog, ranks: asked_often(dialog, least))
    assert listed(page) == expected
    assert len(expected) < 60


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ("improved", lambda dialog, ranks: ranks[-1] < ranks[0]),
        ("worsened", lambda dialog, ranks: ranks[-1] > ranks[0]),
        ("unchanged", lambda dialog, ranks: ranks[-1] == ranks[0]),
        ("found", lambda dialog, ranks: min(ranks) <= 10),
        ("never", lambda dialog, ranks: min(ranks) > 10),
    ],
)
def test_a_change_of_rank_is_from_the_caption_to_the_last_round(page, comparison, change, holds):
    page.select_option("#change", change)
    expected = ids_where(comparison, holds)
    assert listed(page) == expected
    assert 0 < len(expected) < 60


def test_targets_that_only_some_runs_found(page, comparison):
    found = [run.retrieval["CLIP"].ranks.min(axis=0) <= 10 for run in comparison.runs]
    page.select_option("#change", "some")
    places = np.flatnonzero(found[0] != found[1])
    assert listed(page) == [comparison.runs[0].dialogs[place].id for place in places]
    assert len(places)


def test_one_and_the_same_run_meets_all_that_is_asked(page, comparison):
    page.fill("#repeats", "2")
    page.select_option("#change", "worsened")
    page.fill("#text", "street")

    def meets(dialog, ranks):
        says = any("street" in str(one) for one in dialog.rounds)
        return says and asked_often(dialog, 2) and ranks[-1] > ranks[0]

    expected = ids_where(comparison, meets)
    assert listed(page) == expected
    assert expected


def test_one_run_can_be_asked_alone(page, comparison):
    page.select_option("#scope", label="careful")
    page.fill("#repeats", "2")
    assert listed(page) == ids_where(comparison, lambda dialog, ranks: asked_often(dialog, 2), comparison.runs[1:])


def test_a_run_that_is_not_shown_is_not_searched(page, comparison):
    page.select_option("#scope", label="greedy")
    page.get_by_role("checkbox", name="greedy").uncheck()
    page.fill("#repeats", "2")
    assert page.locator("#scope").input_value() == "-1"
    assert page.locator("#list thead").inner_text().count("greedy") == 0
    assert listed(page) == ids_where(comparison, lambda dialog, ranks: asked_often(dialog, 2), comparison.runs[1:])
    page.get_by_role("checkbox", name="careful").uncheck()
    assert page.locator("#count").inner_text() == "no run is chosen"


def sorted_ids(comparison, weight):
    return [comparison.runs[0].dialogs[place].id for place in np.argsort(-np.asarray(weight), kind="stable")]


@pytest.mark.parametrize("by", ["repeats", "change", "apart"])
def test_targets_are_sorted_with_equal_ones_in_the_order_of_the_file(page, comparison, by):
    first, last = (np.log([run.retrieval["CLIP"].ranks[at] for run in comparison.runs]) for at in (0, -1))
    weights = {
        "repeats": np.max([run.counts.repeats for run in comparison.runs], axis=0),
        "change": np.abs(last - first).max(axis=0).round(9),
        "apart": np.ptp(last, axis=0).round(9),
    }
    page.select_option("#sort", by)
    assert listed(page) == sorted_ids(comparison, weights[by])


def test_only_targets_with_pictures(page, comparison):
    page.get_by_label("with pictures only").check()
    assert len(listed(page)) == 10


def test_reset_brings_everything_back(page):
    page.fill("#text", "nobody says this")
    assert page.locator("#count").inner_text() == "0 of 60 targets match"
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("() => document.getElementById('count').textContent.startsWith('60')")
    assert len(listed(page)) == 60


def test_a_dialog_has_its_rounds_its_ranks_and_its_repeats_side_by_side(page, comparison):
    dialogs = [run.dialogs[7] for run in comparison.runs]
    page.locator("#list a").nth(7).click()
    columns = page.locator("#dialog .run")
    assert columns.locator("h4").all_inner_texts() == ["greedy", "careful"]
    for column, run, dialog in zip(columns.all(), comparison.runs, dialogs, strict=True):
        assert column.locator(".question").all_inner_texts() == [one.question for one in dialog.rounds]
        assert column.locator(".answer").all_inner_texts() == [one.answer for one in dialog.rounds]
        ranks = [text.split()[1] for text in column.locator(".rank").all_inner_texts()]
        assert ranks == [str(rank) for rank in run.retrieval["CLIP"].ranks[:, 7]]
        assert column.locator(".mark.repeat").count() == repeats(one.question for one in dialog.rounds)
        assert column.get_by_role("img", name="Ranks after each round").count() == 1


def test_rounds_stand_side_by_side_however_long_their_texts_are(open_page, tmp_path):
    comparison = two_runs(3)
    first, second = comparison.runs
    rounds = tuple(Round("long words " * 30 + "?", "yes") for _ in first.dialogs[0].rounds)
    wordy = replace(first, dialogs=tuple(replace(dialog, rounds=rounds) for dialog in first.dialogs))
    page = open_page(
        written(replace(comparison, runs=(wordy, second)), tmp_path / "report.html"), fragment="#target=1.jpg"
    )
    tops = page.locator("#dialog .run").evaluate_all(
        "(runs) => runs.map((run) => [...run.children].map((row) => row.getBoundingClientRect().top))"
    )
    assert len(set(tops[0])) == 6
    assert tops[0] == tops[1]


def test_the_best_images_are_pictures_with_the_target_framed(page, comparison):
    page.get_by_label("with pictures only").check()
    for link in listed(page):
        page.evaluate("(hash) => { location.hash = hash; }", f"#target={link}")
        place = next(n for n, dialog in enumerate(comparison.runs[0].dialogs) if dialog.id == link)
        page.wait_for_function("(id) => document.querySelector('#dialog .names')?.textContent.includes(id)", arg=link)
        for column, run in zip(page.locator("#dialog .run").all(), comparison.runs, strict=True):
            ranks = run.retrieval["CLIP"].ranks[:, place]
            framed = column.locator(".best .target figcaption").all_inner_texts()
            assert framed == [f"★ {rank}" for rank in ranks if rank <= 5]
            assert column.locator(".best img").count() == 5 * len(ranks)
    widths = page.evaluate("() => [...document.querySelectorAll('.best img')].map((image) => image.naturalWidth)")
    assert min(widths) > 0


def test_a_target_without_pictures_names_the_best_images(page, comparison):
    place = next(
        place
        for place, dialog in enumerate(comparison.runs[0].dialogs)
        if dialog.image not in page.locator("#pictures-data").inner_text()
        and place not in page.evaluate("() => JSON.parse(document.getElementById('dialogs-data').textContent).pictured")
    )
    page.evaluate("(hash) => { location.hash = hash; }", f"#target={comparison.runs[0].dialogs[place].id}")
    column = page.locator("#dialog .run").first
    column.locator("summary").first.click()
    best = comparison.runs[0].retrieval["CLIP"].top[place][0]
    assert column.locator("ol").first.locator("li").all_inner_texts() == list(best[:5])
    assert page.locator("#dialog img").count() == 0


def test_an_address_opens_its_dialog(open_page, report):
    page = open_page(report, fragment="#target=41.jpg")
    assert "41.jpg" in page.locator("#dialog .names").inner_text()
    assert page.locator("#list tr[aria-current]").inner_text().startswith("42")
    assert open_page(report, fragment="#target=%E0%A4%A").locator("#count").inner_text().startswith("the address names")


def test_next_and_previous_go_through_what_matches_across_pages(page):
    page.fill("#repeats", "1")
    matching = listed(page)
    assert len(matching) > 26
    page.evaluate("(hash) => { location.hash = hash; }", f"#target={matching[24]}")
    page.get_by_role("button", name="Next", exact=True).click()
    page.wait_for_function("(hash) => location.hash === hash", arg=f"#target={matching[25]}")
    assert page.locator("#page").inner_text().startswith("page 2")
    assert page.locator("#list tr[aria-current] a").get_attribute("href") == f"#target={matching[25]}"
    page.go_back()
    page.wait_for_function("(hash) => location.hash === hash", arg=f"#target={matching[24]}")


def test_everything_can_be_done_by_keyboard(page):
    page.locator("#list a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.id === 'dialog-title'")
    assert "2.jpg" in page.locator("#dialog .names").inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Next"
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#dialog .names').textContent.includes('3.jpg')")
    assert page.evaluate("() => document.activeElement.textContent") == "Next"
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_every_field_has_a_label(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select")].filter(
            (field) => !field.labels.length && !field.getAttribute("aria-label")).length"""
    )
    assert nameless == 0
    assert page.get_by_role("main").count() == 1
    assert page.evaluate("() => document.querySelectorAll('th:not([scope])').length") == 0


def test_the_first_screen_holds_the_table_the_curve_the_verdicts_and_the_way_to_the_dialogs(open_page, report):
    page = open_page(report, width=1400)
    for shown in (".figures-of-runs", "#summary figure img", ".verdicts", ".notes", "header .button"):
        box = page.locator(shown).first.bounding_box()
        assert box["y"] >= 0, shown
        assert box["y"] + box["height"] <= 900, shown
        assert box["x"] + box["width"] <= 1400, shown
    table, curve = (page.locator(shown).first.bounding_box() for shown in (".figures-of-runs", "#summary figure img"))
    assert curve["x"] >= table["x"] + table["width"]
    page.get_by_role("link", name="Browse the dialogs").click()
    page.wait_for_function("() => document.getElementById('dialogs').getBoundingClientRect().top < 60")


def test_five_runs_fit_side_by_side_on_1400_pixels(open_page, tmp_path):
    runs = [ranked(compared(f"questioner-{seed}", dialogs=asked(seed, 3)), seed) for seed in range(5)]
    page = open_page(written(side_by_side(*runs), tmp_path / "report.html"), width=1400, fragment="#target=1.jpg")
    boxes = [column.bounding_box() for column in page.locator("#dialog .run").all()]
    assert len({box["y"] for box in boxes}) == 1
    assert boxes[-1]["x"] + boxes[-1]["width"] <= 1400
    for fits in ("#list-scroll", "#summary .scroll"):
        assert page.locator(fits).evaluate("(box) => box.scrollWidth <= box.clientWidth"), fits


def opened(page, name):
    page.wait_for_function("(id) => document.querySelector('#dialog .names')?.textContent === id", arg=name)


def test_left_and_right_go_from_dialog_to_dialog_but_not_in_a_field(page):
    page.keyboard.press("ArrowRight")
    assert page.locator("#dialog").is_hidden()
    page.fill("#text", "a")
    page.locator("#list a").nth(3).click()
    opened(page, "3.jpg")
    page.keyboard.press("ArrowRight")
    opened(page, "4.jpg")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    opened(page, "2.jpg")
    for control in ("#text", "#sort", ".table .scroll"):  # the dialog stays on the screen
        page.evaluate("(name) => document.querySelector(name).focus({ preventScroll: true })", control)
        page.keyboard.press("ArrowLeft")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Control+ArrowLeft")
    page.wait_for_timeout(50)
    assert page.locator("#dialog .names").inner_text() == "2.jpg"
    assert page.get_by_text("or the keys ← →").is_visible()


def test_arrows_do_nothing_where_no_dialog_is_on_the_screen(page):
    page.locator("#list a").nth(3).click()
    opened(page, "3.jpg")
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(50)
    assert page.locator("#dialog .names").inner_text() == "3.jpg"


def test_a_narrow_screen_switches_runs_by_tabs_and_does_not_scroll_sideways(open_page, report):
    page = open_page(report, width=390, fragment="#target=7.jpg")
    assert page.evaluate("() => document.scrollingElement.scrollWidth <= innerWidth")
    assert page.get_by_role("tab").all_inner_texts() == ["greedy", "careful"]
    assert page.get_by_role("tab", selected=True).inner_text() == "greedy"
    assert page.get_by_role("tabpanel").count() == 1
    page.get_by_role("tab", name="careful").click()
    assert page.get_by_role("tabpanel", name="careful").locator(".question").count() == 4
    page.keyboard.press("ArrowRight")  # from the last to the first, and from run to run, not from dialog to dialog
    assert page.get_by_role("tab", selected=True).inner_text() == "greedy"
    assert page.evaluate("() => document.activeElement.textContent") == "greedy"
    page.wait_for_timeout(50)
    assert page.locator("#dialog .names").inner_text() == "7.jpg"
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Next", exact=True).click()
    opened(page, "8.jpg")
    assert page.get_by_role("tab", selected=True).inner_text() == "careful"


def test_tabs_become_columns_where_there_is_room(open_page, report):
    page = open_page(report, width=390, fragment="#target=7.jpg")
    page.set_viewport_size({"width": 1400, "height": 900})
    page.wait_for_function("() => !document.querySelector('[role=tablist]')")
    assert page.locator("#dialog .run:visible").count() == 2


CONTRAST = """(chosen) => {
  const channels = (text) => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
  const light = (text) => {
    const [red, green, blue] = channels(text).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = light(getComputedStyle(document.body).backgroundColor);
  const own = light(getComputedStyle(document.querySelector(chosen)).color);
  return (Math.max(behind, own) + 0.05) / (Math.min(behind, own) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_on_light_and_on_dark(open_page, report, scheme):
    page = open_page(report, fragment="#target=7.jpg", color_scheme=scheme)
    behind = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (behind == "rgb(255, 255, 255)") == (scheme == "light")
    for chosen in ("body", ".about", ".marks", "a[href='#tables']", "#dialog .rank", "#dialog .file"):
        assert page.evaluate(CONTRAST, chosen) >= 4.5, chosen


def test_without_scripts_all_is_there_but_the_browser_of_dialogs(open_page, report):
    page = open_page(report, java_script_enabled=False)
    assert page.locator("noscript p").is_visible()
    assert page.get_by_role("heading", name="Repetition").is_visible()
    assert page.locator("#filters").is_hidden()


def test_pictures_that_cannot_be_read_have_a_place_of_their_own(open_page, comparison, tmp_path):
    root = pictures(tmp_path / "images", comparison)
    for number in range(20):
        (root / f"other{number}.png").write_bytes(b"no image")
    path = written(comparison, tmp_path / "report.html", images=root, note=lambda line: None)
    page = open_page(path, fragment="#target=7.jpg")
    assert page.locator("#dialog .best .missing").count() > 10
    assert page.locator("#dialog > header img").count() == 1
