"""Agreement of two answerers on the questions that they share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from chatir import Dialog, Round
from chatir.compare.comparison import Agreement
from chatir.compare.counted.agreement import agreement, cohens_kappa, normalised_answer
from chatir.datasets.dialogue_json import read_dialogs
from chatir.measures.questions import normalised_question

RELEASED = ("ChatGPT_BLIP2", "FLAN_ALPACA_XXL_BLIP2", "VisDial_v1.0_queries_val")


def told(*texts: str, image: str = "a.jpg") -> Dialog:
    return Dialog(image, "a room", tuple(Round.parse(text) for text in texts))


def run(*dialogs: Sequence[str]) -> list[Dialog]:
    return [told(*texts, image=f"{number}.jpg") for number, texts in enumerate(dialogs)]


def agreed(a: Sequence[Dialog], b: Sequence[Dialog], seed: int = 0, resamples: int = 500) -> Agreement:
    found = agreement("a", a, "b", b, np.random.default_rng(seed), resamples)
    assert found is not None
    return found


def one_image(a: Sequence[str], b: Sequence[str]) -> Agreement:
    return agreed(run(a), run(b))


def test_questions_are_shared_by_their_normalised_form_about_the_same_image() -> None:
    a = run(["Is it RED? no", "who is he? a man"], ["is it new? no"])
    b = run(["is it new? no", "is it  red? yes"], ["is it new? no"])
    found = agreed(a, b)
    assert (found.a, found.b, found.questions, found.exact) == ("a", "b", 2, 50)


def test_where_no_question_is_shared_there_is_no_agreement() -> None:
    a, b = run(["is it red? no"], ["is it new? no"]), run(["is it new? no"], ["is it red? no"])
    assert agreement("a", a, "b", b, np.random.default_rng(0)) is None
    assert agreement("a", [], "b", [], np.random.default_rng(0)) is None


def test_a_question_asked_again_is_held_against_its_own_repetition() -> None:
    found = one_image(["is it? no", "is it? yes", "is it? blue"], ["who? me", "is it? no", "is it? red"])
    assert (found.questions, found.exact) == (2, 50)


def test_questions_without_words_do_not_count() -> None:
    assert one_image(["? no", "is it? no"], ["? no", "is it? no"]).questions == 1


def test_answers_that_are_missing_or_mixed_with_a_leaked_label_do_not_count() -> None:
    a = ["is it? ", "what color? Answer: blue blue", "who? ...", "where? here"]
    b = ["is it? no", "what color? blue", "who? me", "where? there"]
    for found in (one_image(a, b), one_image(b, a)):
        assert (found.questions, found.exact) == (1, 0)


@pytest.mark.parametrize(
    ("one", "other"), [("It's  White.", "its white"), ("\uff57hite", "white"), ("STRASSE", "straße"), ("12:30", "1230")]
)
def test_answers_that_are_the_same(one: str, other: str) -> None:
    assert normalised_answer(one) == normalised_answer(other)
    assert one_image([f"what is it? {one}"], [f"what is it? {other}"]).exact == 100


def test_yes_and_no_are_told_by_the_first_word() -> None:
    yes = ("yes", "Yes, two", "yeah", "yea", "yep", "yup")
    no = ("no", "No!", "no, one", "nope", "nah")
    neither = ("not really", "two", "maybe yes", "nothing", "yesterday", "I see no", "none")
    texts = [*yes, *no, *neither]
    for answer, other in itertools.product(texts, texts):
        found = one_image([f"is it? {answer}"], [f"is it? {other}"])
        both = answer not in neither and other not in neither
        assert found.yes_no_questions == both
        assert found.yes_no == (None if not both else 100 * ((answer in yes) == (other in yes)))


def test_kappa_is_cohens() -> None:
    # The example of 50 grants: 20 times both yes, 15 times both no, 5 times yes and no, 10 times no and yes.
    pairs = [(True, True)] * 20 + [(False, False)] * 15 + [(True, False)] * 5 + [(False, True)] * 10
    assert cohens_kappa(pairs) == pytest.approx(0.4)
    assert cohens_kappa([(True, False), (False, True)]) == -1


def test_kappa_is_none_where_chance_would_always_agree() -> None:
    assert cohens_kappa([]) is None
    assert cohens_kappa([(False, False)] * 3) is None
    found = one_image(["is it? no", "is it new? no"], ["is it? no", "is it new? nope"])
    assert (found.yes_no, found.kappa) == (100, None)


def test_words_are_those_of_answers_to_shared_questions() -> None:
    a = ["is it? no, it is not", "what? a red car", "who is the man with the hat? nobody that i know of"]
    found = one_image(a, ["is it? no", "what? car"])
    assert (found.words_a, found.words_b) == (3.5, 1)


def test_the_interval_takes_all_questions_about_an_image_together() -> None:
    """With ten questions an image that agree or not as one, it is as wide as with a single one."""
    rng = np.random.default_rng(3)
    agrees = rng.random(200) < 0.6
    asked = [[f"is it {n}? no" for n in range(10)] for _ in agrees]
    answered = [[f"is it {n}? {'no' if one else 'yes'}" for n in range(10)] for one in agrees]
    found = agreed(run(*asked), run(*answered), resamples=2000)
    error = 100 * np.sqrt(agrees.mean() * (1 - agrees.mean()) / len(agrees))
    assert found.exact == pytest.approx(100 * agrees.mean())
    assert found.exact_low == pytest.approx(found.exact - 1.96 * error, abs=1)
    assert found.exact_high == pytest.approx(found.exact + 1.96 * error, abs=1)


def test_an_image_counts_by_its_questions() -> None:
    """A ratio of sums: nine questions about one image weigh nine times one about another."""
    many = [f"is it {n}? no" for n in range(9)]
    found = agreed(run(*[many] * 15, *[["is it? no"]] * 15), run(*[many] * 15, *[["is it? yes"]] * 15))
    assert found.exact == 90
    assert 75 < found.exact_low < 90 < found.exact_high < 100


def test_one_image_says_nothing_of_others() -> None:
    found = one_image(["is it? no"], ["is it? no"])
    assert (found.exact, found.exact_low, found.exact_high) == (100, 0, 100)


def test_the_same_seed_gives_the_same_interval() -> None:
    words = ("no", "yes", "no", "no")
    a = run(*([f"is it? {word}"] for word in words * 5))
    b = run(*(["is it? no"] for _ in words * 5))
    found = [agreed(a, b, seed=seed, resamples=7) for seed in (1, 1, 2, 3, 4)]
    assert found[0] == found[1]
    assert len(set(found)) > 1


def test_dialogs_about_other_images_are_a_mistake() -> None:
    a, b = run(["is it? no"], ["is it? no"]), run(["is it? no"], ["is it? no"])
    for other in (b[::-1], b[:1]):
        with pytest.raises(ValueError, match="not about the same images in the same order"):
            agreed(a, other)


@pytest.mark.parametrize("names", list(itertools.combinations(RELEASED, 2)))
def test_the_released_files_agree_as_a_search_through_all_pairs_of_rounds_finds(
    shared: Path, names: tuple[str, str]
) -> None:
    folder = shared / "data" / "chatir" / "dialogues"
    a, b = (read_dialogs(folder / f"{name}.json") for name in names)
    questions = same = both = alike = yes_a = yes_b = words_a = words_b = 0
    for one, other in zip(a, b, strict=True):
        asked, theirs = ([normalised_question(it.question) for it in dialog.rounds] for dialog in (one, other))
        for i, j in itertools.product(range(len(asked)), range(len(theirs))):
            if not asked[i] or asked[i] != theirs[j] or asked[:i].count(asked[i]) != theirs[:j].count(asked[i]):
                continue
            x, y = one.rounds[i].answer, other.rounds[j].answer
            if "answer:" in (x + y).lower() or not x.strip(" .") or not y.strip(" ."):
                continue
            questions += 1
            same += normalised_answer(x) == normalised_answer(y)
            words_a += len(x.split())
            words_b += len(y.split())
            first = [answer.lower().replace(",", " ").replace(".", " ").split()[0] for answer in (x, y)]
            says = [1 if word in ("yes", "yeah", "yep") else 0 if word in ("no", "nope") else None for word in first]
            if None not in says:
                both += 1
                alike += says[0] == says[1]
                yes_a += says[0] or 0
                yes_b += says[1] or 0
    found = agreed(a, b)
    assert (found.questions, found.yes_no_questions) == (questions, both)
    assert found.exact == pytest.approx(100 * same / questions)
    assert found.exact_low < found.exact < found.exact_high
    assert (found.words_a, found.words_b) == (words_a / questions, words_b / questions)
    if both:
        assert found.yes_no == pytest.approx(100 * alike / both)
        chance = (yes_a * yes_b + (both - yes_a) * (both - yes_b)) / both**2
        assert found.kappa == (None if chance == 1 else pytest.approx((alike / both - chance) / (1 - chance)))


def test_people_agree_with_themselves(shared: Path) -> None:
    people = read_dialogs(shared / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json")
    found = agreed(people, people, resamples=100)
    assert found.questions == sum(bool(one.answer.strip(" .,?!")) for dialog in people for one in dialog.rounds)
    assert (found.exact, found.exact_low, found.exact_high, found.yes_no) == (100, 100, 100, 100)
    assert found.kappa == pytest.approx(1)
    assert found.yes_no_questions > 10_000
