"""The figures of a comparison: real files, that show what was measured and are the same every time."""

from __future__ import annotations

import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compare.comparisons import ROUNDS, asked, banded, compared, difference, retrieval, side_by_side
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from chatir import Dialog, Round
from chatir.compare.comparison import ComparedRun, Comparison, SeedGroup
from chatir.compare.figures import FIGURES, Drawing, save_figures, svg_figures
from chatir.compare.figures.bars import repeats_figures, unique_tokens_figures
from chatir.compare.figures.curves import (
    MOST_BANDS,
    atr_figures,
    first_screen_figures,
    hits_figures,
    onset_figures,
    repeated_by_round,
    truncation_figures,
)
from chatir.compare.figures.intervals import MOST_PAIRS, difference_figures
from chatir.compare.figures.look import PAPER, THEMES, Drawn, Look, ThemeName, drawing, look_of
from chatir.compare.figures.palette import run_styles
from chatir.errors import InputError

Embedded = dict[ThemeName, dict[str, bytes]]

NAMES = ["hits_clip", "atr_clip", "differences", "repeats", "onset", "unique_tokens"]
CLOUDS = ["word_clouds_questions", "word_clouds_answers"]
HOSTILE = (
    "$x^2_{",
    r"\frac{1}",
    "<b>&amp;",
    "_hidden",
    "'\"`",
    "a" * 200,
    "🐱 cat",
    "שלום",
    "日本語",
    "%s{0}\t",
    "- -->",
)


@pytest.fixture(scope="module")
def two() -> Comparison:
    return side_by_side(compared("human", questioner="Human"), compared("storm", questioner="Storm", seed=1))


@pytest.fixture(scope="module")
def written(two: Comparison, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The figures in a folder that did not exist."""
    return save_figures(two, tmp_path_factory.mktemp("drawn") / "deep" / "figures")


@pytest.fixture(scope="module")
def embedded(two: Comparison) -> Embedded:
    return {theme: svg_figures(two, theme) for theme in THEMES}


@pytest.fixture
def settings() -> Iterator[None]:
    """Under the settings of a figure in a paper."""
    with drawing(PAPER):
        yield


def drawn(figures: Iterator[Drawn]) -> Figure:
    (one,) = figures
    return one.figure


def look(comparison: Comparison) -> Look:
    return look_of(comparison, PAPER)


def words(figure: Figure) -> list[str]:
    """Every text of a figure, those of its legends too."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def band_of(axes: Axes, place: int) -> tuple[list[float], list[float]]:
    """Lower and upper edge of the band that was drawn at this place, round by round."""
    (path,) = [each for each in axes.collections if isinstance(each, PolyCollection)][place].get_paths()
    edges: dict[float, list[float]] = {}
    for x, y in path.vertices:
        edges.setdefault(float(x), []).append(float(y))
    return [min(edges[x]) for x in sorted(edges)], [max(edges[x]) for x in sorted(edges)]


def test_every_figure_is_written_in_every_format_in_order(written: list[Path]) -> None:
    expected = [f"{name}.{kind}" for name in [*NAMES, *CLOUDS] for kind in ("pdf", "svg", "png")]
    assert [path.name for path in written] == expected
    assert sorted(path.name for path in written[0].parent.iterdir()) == sorted(expected)


def test_the_files_are_what_their_names_say(written: list[Path]) -> None:
    for path in written:
        content = path.read_bytes()
        if path.suffix == ".pdf":
            assert content.startswith(b"%PDF-")
            assert content.rstrip().endswith(b"%%EOF")
        elif path.suffix == ".svg":
            assert ET.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
        else:
            with Image.open(path) as image:
                image.load()
                assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_figures_are_as_wide_as_a_column_or_a_page(written: list[Path]) -> None:
    widths = {path.stem: Image.open(path).width / 300 for path in written if path.suffix == ".png"}
    assert widths.pop("word_clouds_questions") == widths.pop("word_clouds_answers")  # a third of a page for each run
    assert {round(width, 1) for width in widths.values()} == {3.4, 7.0}


def test_the_same_comparison_gives_the_same_bytes(two: Comparison, written: list[Path], tmp_path: Path) -> None:
    for one, other in zip(written, save_figures(two, tmp_path), strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_the_bytes_do_not_depend_on_the_process(written: list[Path], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from compare.comparisons import compared, side_by_side\n"
        "from chatir.compare.figures import save_figures\n"
        "human, storm = compared('human', questioner='Human'), compared('storm', questioner='Storm', seed=1)\n"
        "save_figures(side_by_side(human, storm), Path(sys.argv[1]), ['svg'])\n"
    )
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}", "PYTHONHASHSEED": "5", "SOURCE_DATE_EPOCH": "1"}
    subprocess.run([sys.executable, "-c", code, tmp_path], env=environment, check=True)
    here = {path.name: path.read_bytes() for path in written if path.suffix == ".svg"}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == here


def test_settings_of_the_user_change_nothing(two: Comparison, embedded: Embedded) -> None:
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcParams.update({"font.size": 30, "axes.grid": False, "lines.linewidth": 9, "text.usetex": True})
        assert svg_figures(two, "light") == embedded["light"]


def test_drawing_leaves_no_figure_and_no_setting_behind(two: Comparison, tmp_path: Path) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    settings = dict(mpl.rcParams)
    save_figures(two, tmp_path, ["png"])
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings


def test_threads_may_draw_at_the_same_time(two: Comparison, embedded: Embedded) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(THEMES, pool.map(lambda theme: svg_figures(two, theme), THEMES), strict=True))
    assert found == embedded


def test_importing_the_figures_imports_no_plotting_library() -> None:
    code = "import sys, chatir.compare.figures; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "seaborn", "pandas", "scipy", "wordcloud"} & set(loaded)


def test_a_file_in_the_place_of_the_folder_is_refused(two: Comparison, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(InputError, match=r"figures: is a file, but figures need a folder"):
        save_figures(two, tmp_path / "figures")
    with pytest.raises(InputError, match="not a directory"):
        save_figures(two, tmp_path / "figures" / "below")
    assert (tmp_path / "figures").read_text() == "mine"


def test_a_file_that_cannot_be_written_is_named_and_no_half_of_it_is_left(two: Comparison, tmp_path: Path) -> None:
    (tmp_path / "hits_clip.svg").mkdir()
    with pytest.raises(InputError, match=r"hits_clip\.svg"):
        save_figures(two, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hits_clip.pdf", "hits_clip.svg"]


def test_an_unknown_format_is_refused_before_anything_is_made(two: Comparison, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no format 'jpeg'; there are pdf, svg, png"):
        save_figures(two, tmp_path / "figures", ["png", "jpeg"])
    assert not (tmp_path / "figures").exists()


def test_svg_for_a_report_needs_nothing_else_and_runs_nothing(embedded: Embedded) -> None:
    for name, content in embedded["light"].items():
        assert b"<!DOCTYPE" not in content
        assert b"<!ENTITY" not in content
        for element in ET.fromstring(content).iter():
            assert element.tag.rpartition("}")[2] not in {"script", "foreignObject", "image", "a", "text"}, name
            for attribute, value in element.attrib.items():
                assert not attribute.lower().startswith("on")
                if attribute.endswith("href"):
                    assert value.startswith("#"), (name, value)
                assert "url(" not in value.replace("url(#", ""), (name, value)


def test_svg_tells_its_title(embedded: Embedded) -> None:
    figures = embedded["dark"]
    titles = [ET.fromstring(content).findtext("{http://www.w3.org/2000/svg}title") for content in figures.values()]
    assert titles[0] == "Hits@10 by round with simultaneous 95% bands, retrieval by CLIP"
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_svg_stands_on_what_is_behind_it_and_files_stand_on_white(embedded: Embedded, written: list[Path]) -> None:
    def background(svg: bytes) -> str:
        first = next(element for element in ET.fromstring(svg).iter() if element.tag.endswith("path"))
        return first.attrib["style"]

    for figures in embedded.values():
        assert all("fill: none" in background(svg) for svg in figures.values())
    for path in written:
        if path.suffix == ".svg":
            assert "fill: #ffffff" in background(path.read_bytes())


def test_text_is_dark_on_light_and_light_on_dark(embedded: Embedded) -> None:
    light, dark = (embedded[theme]["onset"] for theme in THEMES)
    assert b"#222222" in light
    assert b"#e4e6ea" not in light
    assert b"#e4e6ea" in dark
    assert b"#222222" not in dark


@pytest.mark.usefixtures("settings")
def test_bands_are_drawn_from_low_to_high() -> None:
    runs = [compared("human"), compared("storm", seed=1)]
    comparison = side_by_side(*runs)
    for figures, measure in ((hits_figures, "hits@10"), (atr_figures, "atr")):
        axes = drawn(figures(comparison, look(comparison))).axes[0]
        for place, run in enumerate(runs):
            curve = run.retrieval["CLIP"].curves[measure]
            low, high = band_of(axes, place)
            assert low == pytest.approx(curve.low.tolist())
            assert high == pytest.approx(curve.high.tolist())


def with_chance(name: str, *chance: float) -> ComparedRun:
    """A run for which chance gives these Hits@K, whatever K is."""
    run = compared(name)
    found = run.retrieval["CLIP"]
    return replace(run, retrieval={"CLIP": replace(found, chance=dict.fromkeys(found.chance, np.array(chance)))})


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("figures", [hits_figures, first_screen_figures])
def test_chance_is_a_grey_band_from_the_least_to_the_most_of_the_runs(figures: Drawing) -> None:
    comparison = side_by_side(with_chance("stuck", 1, 1, 1, 1, 1), with_chance("varied", 1, 2, 3, 4, 5))
    figure = drawn(figures(comparison, look(comparison)))
    for axes in figure.axes:
        assert band_of(axes, 2) == ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])
        assert axes.get_ylim()[0] <= 0
    grey = [list(line.get_ydata()) for line in figure.axes[0].lines if line.get_color() == PAPER.chance]
    assert grey == [[1, 1, 1, 1, 1], [1, 2, 3, 4, 5]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()].count("chance") == 1


@pytest.mark.usefixtures("settings")
def test_where_chance_is_not_known_nothing_is_drawn_of_it() -> None:
    lost = [np.nan] * 5
    known, unknown = side_by_side(with_chance("a", *lost), compared("b")), side_by_side(with_chance("a", *lost))
    assert "chance" in words(drawn(hits_figures(known, look(known))))
    figure = drawn(hits_figures(unknown, look(unknown)))
    assert "chance" not in words(figure)
    assert not [line for line in figure.axes[0].lines if line.get_color() == PAPER.chance]


def test_a_report_has_no_figure_that_repeats_its_tables(embedded: Embedded) -> None:
    assert list(embedded["light"]) == ["first_clip", "differences", "onset", "hits_clip", "atr_clip"]


@pytest.mark.usefixtures("settings")
def test_lines_show_the_values_of_their_run(two: Comparison) -> None:
    (axes, *_) = drawn(atr_figures(two, look(two))).axes
    lines = {to_hex(line.get_color()): list(line.get_ydata()) for line in axes.lines if line.get_marker() != "None"}
    for run in two.runs:
        expected = run.retrieval["CLIP"].curves["atr"].values.tolist()
        assert lines[run_styles(two)[run.name].color.lower()] == pytest.approx(expected)


@pytest.mark.usefixtures("settings")
def test_k_10_has_the_largest_panel_and_every_k_has_one(two: Comparison) -> None:
    figure = drawn(hits_figures(two, look(two)))
    figure.draw_without_rendering()
    areas = {
        axes.get_ylabel().split()[0]: axes.get_position().width * axes.get_position().height for axes in figure.axes
    }
    assert set(areas) == {"Hits@1", "Hits@5", "Hits@10"}
    assert max(areas, key=lambda label: areas[label]) == "Hits@10"


@pytest.mark.usefixtures("settings")
def test_where_k_10_is_missing_the_greatest_k_has_the_largest_panel(two: Comparison) -> None:
    fewer = replace(two, ks=(1, 5))
    axes = drawn(hits_figures(fewer, look(fewer))).axes
    assert axes[0].get_ylabel() == "Hits@5 (% of dialogs)"


@pytest.mark.usefixtures("settings")
def test_the_rank_axis_is_logarithmic_with_plain_numbers(two: Comparison) -> None:
    figure = drawn(atr_figures(two, look(two)))
    (axes,) = figure.axes
    figure.draw_without_rendering()
    assert axes.get_yscale() == "log"
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert {"50", "100"} <= set(ticks)
    assert all(tick.replace(",", "").replace(".", "").isdigit() for tick in ticks)


@pytest.mark.usefixtures("settings")
def test_a_curve_ends_where_it_is_no_longer_told() -> None:
    run = compared("stopped")
    found = run.retrieval["CLIP"]
    values = np.array([50.0, 40.0, np.nan, np.nan, np.nan])
    stopped = replace(run, retrieval={"CLIP": replace(found, curves={"atr": banded(values, 0.1)})})
    comparison = side_by_side(stopped)
    (axes,) = drawn(atr_figures(comparison, look(comparison))).axes
    (line,) = [line for line in axes.lines if line.get_marker() != "None"]
    assert np.isfinite(line.get_ydata()).sum() == 2
    assert not list(hits_figures(comparison, look(comparison)))


@pytest.mark.usefixtures("settings")
def test_a_run_has_one_color_in_all_figures() -> None:
    answered = [compared(f"storm_{n}", questioner="Storm", seed=n) for n in range(2)]
    runs = [compared("human", questioner="Human"), *answered]
    comparison = side_by_side(*runs)
    styles = run_styles(comparison)
    known = {style.color.lower() for style in styles.values()}
    for figures in FIGURES:
        for one in figures(comparison, look(comparison)):
            colors = {
                to_hex(color)
                for artist in one.figure.findobj()
                for name in ("get_color", "get_facecolor")
                if hasattr(artist, name) and isinstance(color := getattr(artist, name)(), str | tuple)
            }
            shown = known if one.name != "differences" else known - {styles["human"].color.lower()}
            assert shown <= colors, one.name


@pytest.mark.usefixtures("settings")
def test_a_legend_names_every_run_with_its_style(two: Comparison) -> None:
    figure = drawn(onset_figures(two, look(two)))
    (legend,) = figure.legends
    for text, handle in zip(legend.get_texts(), legend.get_lines(), strict=True):
        style = run_styles(two)[text.get_text()]
        assert (handle.get_color(), handle.get_marker()) == (style.color, style.marker)


@pytest.mark.usefixtures("settings")
def test_a_legend_covers_no_panel(two: Comparison) -> None:
    for figures in (hits_figures, atr_figures, onset_figures, repeats_figures, difference_figures):
        figure = drawn(figures(two, look(two)))
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes if axes.get_visible())
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0


@pytest.mark.usefixtures("settings")
def test_no_text_is_smaller_than_seven_points(two: Comparison) -> None:
    from matplotlib.text import Text

    for figures in FIGURES:
        for one in figures(two, look(two)):
            sizes = [text.get_fontsize() for text in one.figure.findobj(Text) if text.get_text()]
            assert min(sizes) >= 7, one.name


@pytest.mark.usefixtures("settings")
def test_no_text_leaves_the_figure() -> None:
    long = [
        compared(f"{'long' * 12}_{number}", questioner=f"q{number}", seed=number, truncated=5) for number in range(4)
    ]
    comparison = side_by_side(*long)
    for figures in FIGURES:
        for one in figures(comparison, look(comparison)):
            one.figure.draw_without_rendering()
            page = one.figure.bbox
            for axes in one.figure.axes:
                if (box := axes.get_tightbbox()) is None:
                    continue
                assert box.x0 >= page.x0 - 1, one.name
                assert box.x1 <= page.x1 + 1, one.name
                assert box.y0 >= page.y0 - 1, one.name
                assert box.y1 <= page.y1 + 1, one.name


@pytest.mark.usefixtures("settings")
def test_bars_are_means_and_exact_repeats_stand_beneath(two: Comparison) -> None:
    (axes,) = drawn(repeats_figures(two, look(two))).axes
    widths = [bar.get_width() for bar in axes.patches]
    repeats = [run.counts.repeats.mean() for run in two.runs]
    exact = [run.counts.exact_repeats.mean() for run in two.runs]
    assert widths == pytest.approx([*repeats, *exact])
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [False, False, True, True]
    assert axes.patches[2].get_y() > axes.patches[0].get_y()


@pytest.mark.usefixtures("settings")
def test_intervals_of_bars_are_two_standard_errors_wide(two: Comparison) -> None:
    axes = drawn(unique_tokens_figures(two, look(two))).axes[0]
    for line, run in zip(axes.lines, two.runs, strict=True):
        tokens = run.counts.unique_question_tokens
        error = tokens.std(ddof=1) / len(tokens) ** 0.5
        expected = [tokens.mean() - 1.96 * error, tokens.mean() + 1.96 * error]
        assert list(line.get_xdata()) == pytest.approx(expected)


@pytest.mark.usefixtures("settings")
def test_bars_carry_their_values_and_names(two: Comparison) -> None:
    figure = drawn(repeats_figures(two, look(two)))
    assert {"human", "storm", f"{two.runs[0].counts.repeats.mean():.2f}"} <= set(words(figure))


def test_onset_counts_dialogs_that_never_repeat_among_all() -> None:
    rounds = tuple(Round(f"{word}?", "yes") for word in ("a", "b", "a", "b"))
    dialogs = [Dialog("1.jpg", "", rounds), Dialog("2.jpg", "", tuple(Round(f"{n}?", "no") for n in range(4)))]
    assert repeated_by_round(compared("run", dialogs=dialogs), ROUNDS).tolist() == [0, 0, 50, 50]


@pytest.mark.usefixtures("settings")
def test_there_is_no_onset_where_nothing_is_repeated() -> None:
    dialog = Dialog("1.jpg", "", tuple(Round(f"{n}?", "no") for n in range(4)))
    comparison = side_by_side(compared("run", dialogs=[dialog]))
    assert not list(onset_figures(comparison, look(comparison)))


@pytest.mark.usefixtures("settings")
def test_truncation_is_shown_only_where_a_text_was_cut() -> None:
    whole, unknown, cut = (compared("run", truncated=share) for share in (0.0, None, 12.5))
    for run in (whole, unknown):
        assert not list(truncation_figures(side_by_side(run), look(side_by_side(run))))
    (axes,) = drawn(truncation_figures(side_by_side(cut), look(side_by_side(cut)))).axes
    assert list(axes.lines[0].get_ydata())[-1] == 12.5


@pytest.mark.usefixtures("settings")
def test_decided_differences_are_filled_and_others_open(two: Comparison) -> None:
    figure = drawn(difference_figures(two, look(two)))
    color = run_styles(two)["storm"].color
    points = [line for axes in figure.axes for line in axes.lines if line.get_marker() != "None"]
    assert [to_hex(point.get_markerfacecolor()) == color.lower() for point in points] == [True, False, False]


@pytest.mark.usefixtures("settings")
def test_differences_have_a_panel_for_each_metric_with_unit_and_direction(two: Comparison) -> None:
    axes = drawn(difference_figures(two, look(two))).axes
    assert [one.get_title(loc="left") for one in axes] == ["Hits@10, round 4", "BRI", "repeats"]
    assert [one.get_xlabel() for one in axes] == [
        "difference (percentage points)\nbetter →",
        "difference\n← better",
        "difference (per dialog)\n← better",
    ]


@pytest.mark.usefixtures("settings")
def test_differences_have_their_plain_interval_and_a_thinner_one_at_the_adjusted_level(two: Comparison) -> None:
    figure = drawn(difference_figures(two, look(two)))
    told = words(figure)
    assert "+12.5 [8.5, 16.5]" in told
    assert "\u22120.125 [\u22120.375, 0.125]" in told
    assert {"difference from human, 95% interval", "interval adjusted by Holm (97.5%)"} <= set(told)
    plain, adjusted = figure.axes[0].lines[1:3]
    assert (list(plain.get_xdata()), list(adjusted.get_xdata())) == ([8.5, 16.5], [6.5, 18.5])
    assert plain.get_linewidth() > 2 * adjusted.get_linewidth()


@pytest.mark.usefixtures("settings")
def test_a_difference_without_an_adjusted_interval_has_one_line(two: Comparison) -> None:
    plain = [replace(one, adjusted_low=None, adjusted_high=None, adjusted_level=None) for one in two.differences]
    comparison = replace(two, differences=tuple(plain))
    figure = drawn(difference_figures(comparison, look(comparison)))
    assert [len(axes.lines) for axes in figure.axes] == [3, 3, 3]  # zero, interval, point
    assert not [text for text in words(figure) if "adjusted by" in text]


@pytest.mark.usefixtures("settings")
def test_only_primary_differences_are_shown(two: Comparison) -> None:
    secondary = [replace(one, primary=False) for one in two.differences]
    comparison = replace(two, differences=tuple(secondary))
    assert not list(difference_figures(comparison, look(comparison)))


@pytest.mark.usefixtures("settings")
def test_rows_name_both_runs_where_all_pairs_are_compared(two: Comparison) -> None:
    pairs = [difference("human", "storm", "bri", 1, 1), difference("storm", "calm", "bri", 1, 1)]
    comparison = side_by_side(*two.runs, compared("calm"), differences=pairs)
    (axes,) = drawn(difference_figures(comparison, look(comparison))).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["storm \u2212 human", "calm \u2212 storm"]


@pytest.mark.usefixtures("settings")
def test_pairs_that_are_left_out_are_told() -> None:
    runs = [compared(f"run_{n}") for n in range(MOST_PAIRS + 2)]
    pairs = [difference("run_0", run.name, "bri", 1, 1) for run in runs[1:]]
    comparison = side_by_side(*runs, differences=pairs)
    figure = drawn(difference_figures(comparison, look(comparison)))
    assert len(figure.axes[0].get_yticks()) == MOST_PAIRS
    assert any("the first 60 of 61 pairs" in text for text in words(figure))


@pytest.mark.usefixtures("settings")
def test_a_group_of_seeds_looks_like_its_first_run(two: Comparison) -> None:
    group = SeedGroup("storm (2 seeds)", ("storm", "storm_2"), (0, 1), ())
    runs = (*two.runs, compared("storm_2", questioner="Storm"))
    pair = [difference("human", group.name, "bri", 1, 1, decided=True)]
    comparison = replace(side_by_side(*runs, differences=pair), groups=(group,))
    figure = drawn(difference_figures(comparison, look(comparison)))
    assert group.name in words(figure)
    assert run_styles(comparison)["storm"].color in {line.get_color() for line in figure.axes[0].lines}


def test_runs_without_ranks_have_all_figures_that_need_none(tmp_path: Path) -> None:
    comparison = side_by_side(compared("human", labels=()), compared("storm", labels=(), seed=1))
    unranked = replace(comparison, differences=tuple(one for one in comparison.differences if one.retriever is None))
    names = [path.stem for path in save_figures(unranked, tmp_path, ["svg"])]
    assert names == ["differences", "repeats", "onset", "unique_tokens", *CLOUDS]


@pytest.mark.usefixtures("settings")
def test_a_run_without_ranks_is_left_out_of_curves_only() -> None:
    comparison = side_by_side(compared("ranked"), compared("unranked", labels=()))
    assert "unranked" not in words(drawn(hits_figures(comparison, look(comparison))))
    assert "unranked" in words(drawn(repeats_figures(comparison, look(comparison))))


def test_each_retriever_has_files_of_its_own_and_is_named_in_them() -> None:
    labels = ("CLIP (model a)", "CLIP (model A)", "../../etc/passwd", "日本")
    comparison = side_by_side(compared("run", labels=labels))
    names = [name for name in svg_figures(comparison, "light") if name.startswith("hits")]
    assert names == ["hits_clip-model-a", "hits_clip-model-a-2", "hits_etc-passwd", "hits_unnamed"]
    with drawing(PAPER):
        figures = list(atr_figures(comparison, look(comparison)))
    assert [one.figure.axes[0].get_title(loc="left") for one in figures[:3]] == list(labels[:3])


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    runs = [compared(name, questioner=name, labels=HOSTILE[:1], seed=n, truncated=3) for n, name in enumerate(HOSTILE)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = save_figures(side_by_side(*runs), tmp_path, ["pdf", "svg"])
    assert all(path.parent == tmp_path and path.name.isascii() for path in written)
    assert len({path.name.lower() for path in written}) == len(written)
    for path in written:
        if path.suffix == ".svg":
            tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(path.read_bytes()).iter()}
            assert not tags & {"b", "script"}


@pytest.mark.usefixtures("settings")
def test_no_name_is_read_as_a_formula_or_hidden() -> None:
    names = ["$x^2$", "_hidden", r"$\frac{1}{2}$"]
    comparison = side_by_side(*(compared(name, questioner=name, seed=n) for n, name in enumerate(names)))
    figure = drawn(onset_figures(comparison, look(comparison)))
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(names)
    assert not any(text.get_parse_math() for text in legend.get_texts())


@pytest.mark.parametrize("count", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_any_number_of_runs_is_drawn(count: int, tmp_path: Path) -> None:
    runs = [compared(f"run_{n}", questioner=f"q{n % 9}", seed=n) for n in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = save_figures(side_by_side(*runs), tmp_path, ["svg"])
        assert "first_clip" in svg_figures(side_by_side(*runs), "light")
    assert {path.stem for path in written} >= {*NAMES, *CLOUDS} - ({"differences"} if count == 1 else set())


@pytest.mark.usefixtures("settings")
def test_bands_that_would_hide_one_another_are_left_out_and_it_is_said() -> None:
    few, many = (
        side_by_side(*(compared(f"run_{n}", seed=n) for n in range(count))) for count in (MOST_BANDS, MOST_BANDS + 1)
    )
    (axes,) = drawn(atr_figures(few, look(few))).axes
    assert (len(axes.collections), axes.get_xlabel()) == (MOST_BANDS, "round")
    (axes,) = drawn(atr_figures(many, look(many))).axes
    assert (len(axes.collections), axes.get_xlabel()) == (0, f"round (bands: only up to {MOST_BANDS} runs)")


def test_runs_without_rounds_or_dialogs_are_survived() -> None:
    silent = tuple(Dialog(f"{n}.jpg", "a picture") for n in range(3))
    for dialogs in (silent, silent[:1], ()):
        run = compared("run", dialogs=dialogs, labels=())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "hits_clip" not in svg_figures(replace(side_by_side(run), rounds=0, differences=()), "light")


def test_captions_alone_make_curves_of_one_point() -> None:
    found = retrieval(12)
    captions = replace(found, curves={name: banded(curve.values[:1], 0.1) for name, curve in found.curves.items()})
    run = replace(compared("run"), retrieval={"CLIP": captions})
    assert "hits_clip" in svg_figures(replace(side_by_side(run), rounds=0), "light")


def test_a_single_dialog_has_bars_without_an_interval(tmp_path: Path) -> None:
    comparison = side_by_side(compared("run", dialogs=asked(0, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "repeats" in {path.stem for path in save_figures(comparison, tmp_path, ["svg"])}


def test_released_dialogues_are_drawn(shared: Path, tmp_path: Path) -> None:
    from chatir.datasets.dialogue_json import read_dialogs

    folder = shared / "data" / "chatir" / "dialogues"
    runs = [compared(path.stem, dialogs=read_dialogs(path)[:100], labels=()) for path in sorted(folder.glob("*.json"))]
    written = save_figures(side_by_side(*runs), tmp_path, ["svg"])
    assert {"repeats", "onset", "unique_tokens", *CLOUDS} <= {path.stem for path in written}
