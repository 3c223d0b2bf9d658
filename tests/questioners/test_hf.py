"""`hf` and the questioners made of it, with the small T5 that comes with chatir, asking about scenes."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from models import tiny_models

from chatir import Dialog, Round
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.datasets.scenes.language import understood
from chatir.errors import InputError, StoppedRunError
from chatir.measures.questions import normalised_question, repeats
from chatir.models.builtin import checkpoints
from chatir.models.completion import Completion
from chatir.models.local.generation import Generator
from chatir.plugins import Context, build
from chatir.prompts import load_prompt
from chatir.prompts.cleaning import clean_question
from chatir.questioners import flan
from chatir.questioners.hf import HF, Options
from chatir.questioners.prompted import first_unasked, question_reply

T5 = str(checkpoints()["t5"])
DIALOGS = [dialog for _, dialog in scene_dialogs(12, seed=5)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def t5(**options: Any) -> HF:
    return HF(Options(**{"model": T5, "prompt": "scenes", "precision": "fp32", **options}), Context())


def asked_in_turn(questioner: HF, rounds: int, answer: str = "no") -> list[list[str]]:
    """What it asks in each dialog, if the answer is always the same."""
    dialogs = [replace(dialog, rounds=()) for dialog in DIALOGS]
    for _ in range(rounds):
        replies = questioner.ask(dialogs)
        questions = [reply.text or "" for reply in replies]
        assert all(questions)
        dialogs = [
            replace(dialog, rounds=(*dialog.rounds, Round(question, answer)))
            for dialog, question in zip(dialogs, questions, strict=True)
        ]
    return [[turn.question for turn in dialog.rounds] for dialog in dialogs]


def test_it_asks_greedily_unless_told_otherwise() -> None:
    questioner = t5()
    assert Options(model=T5).decode == "greedy"
    assert questioner.config["model"]["decode"] == "greedy"
    (reply,) = questioner.ask(DIALOGS[:1])
    assert reply.text is not None
    assert understood(reply.text)
    assert reply.raw is not None
    assert (reply.failure, reply.cost) == (None, None)
    assert (reply.tokens_in or 0) > 20
    assert 0 < (reply.tokens_out or 0) <= 40


def test_asked_greedily_it_repeats_itself_and_first_unasked_does_not() -> None:
    greedy, new = t5(), t5(decode="first-unasked", beams=8)
    repeated = [repeats(questions) for questions in asked_in_turn(greedy, 10)]
    assert sum(repeated) / len(repeated) > 5
    assert [repeats(questions) for questions in asked_in_turn(new, 10)] == [0] * len(DIALOGS)


def test_first_unasked_asks_the_best_of_the_beams_that_the_dialog_has_not_asked() -> None:
    questioner = t5(decode="first-unasked", beams=4)
    dialog = replace(DIALOGS[0], rounds=())
    (completion,) = questioner.model.complete([questioner.request(dialog)])
    assert completion.text is not None
    beams = [clean_question(text) or "" for text in (completion.text, *(text for text, _ in completion.others))]
    assert len({normalised_question(question) for question in beams}) == 4
    for count in range(4):
        asked = [question.upper().replace("?", " ??") for question in reversed(beams[:count])]
        chosen = first_unasked(asked, completion)
        assert clean_question(chosen.text or "") == beams[count]
        assert chosen.others == ()
    assert first_unasked(beams, completion).text == completion.text
    assert questioner.ask([dialog])[0].text == beams[0]


@pytest.mark.parametrize(
    ("folder", "name"), [("my-t5", "my-t5"), ("my t5 (new)", "my_t5__new_"), ("t5-v1.1_x", "t5-v1.1_x")]
)
def test_its_name_is_the_folder_s(tmp_path: Path, folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(T5, tmp_path / folder)
    monkeypatch.chdir(copy)
    for model in (str(copy), f"{copy}/", ".", f"../{folder}", f"{copy}/."):
        assert t5(model=model).name == name


def test_the_configuration_names_model_and_prompt() -> None:
    questioner = t5(shots=0)
    config = questioner.config
    assert config["model"] == questioner.model.identity
    assert config["model"]["id"] == "t5"
    assert len(config["model"]["sha256"]) == 64
    assert config["prompt"] == load_prompt("scenes").identity
    assert config["shots"] == 0


def test_it_is_built_by_name_from_typed_options() -> None:
    questioner = build("questioners", "hf", {"model": T5, "prompt": "scenes", "decode": "first-unasked", "beams": "3"})
    assert isinstance(questioner, HF)
    assert questioner.model.identity["beams"] == 3
    with pytest.raises(InputError, match="needs the option 'model'"):
        build("questioners", "hf", {})
    with pytest.raises(InputError, match="cannot be had, neither as a folder nor from the hub"):
        build("questioners", "hf", {"model": "nobody/nothing"})


def test_a_question_that_is_cut_off_is_a_failure() -> None:
    (reply,) = t5(max_tokens=2).ask(DIALOGS[:1])
    assert reply.failure is not None
    assert (reply.text, reply.failure.kind) == (None, "no_question")
    assert "max_tokens" in reply.failure.message


def test_what_fails_for_one_dialog_fails_for_that_dialog(tmp_path: Path) -> None:
    folder = tiny_models.causal(tmp_path / "small", room=400)
    questioner = t5(model=str(folder), batch_size=2)
    long = Dialog("x.png", "a star " * 200)
    replies = questioner.ask([DIALOGS[0], long, DIALOGS[1]])
    assert [reply.failure.kind if reply.failure else None for reply in replies][1] == "context_overflow"
    assert replies[0] == questioner.ask([DIALOGS[0]])[0]
    assert replies[2] == questioner.ask([DIALOGS[1]])[0]


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("mistral", {}, ["its cache does not hold the keys and values of all tokens"]),
        ("mistral", {"decode": "first-unasked"}, []),
        ("mistral", {"shots": 0, "prompt": "scenes"}, []),
        ("llama", {}, []),
        ("t5", {}, []),
    ],
)
def test_a_model_that_reads_the_shared_beginning_with_each_prompt_is_reported(
    tmp_path: Path, kind: str, options: dict[str, Any], told: list[str]
) -> None:
    folder = tmp_path / "tiny"
    model = tiny_models.t5(folder) if kind == "t5" else tiny_models.causal(folder, kind=kind, room=4096)
    lines: list[str] = []
    choices = {"model": str(model), "precision": "fp32", "prompt": "few-shot", "max_tokens": 2, **options}
    questioner = HF(Options(**choices), Context(progress=lines.append))
    for _ in range(2):
        questioner.ask(DIALOGS[:2])
    expected = [f"tiny: reads each prompt in full, not its shared beginning once: {why}" for why in told]
    assert lines == ["loading tiny (fp32)", *expected]


@pytest.mark.parametrize(
    ("said", "then"),
    [("CUDA out of memory. Tried 2 GiB", "asks"), ("CUDA error: an illegal memory access was encountered", "stops")],
)
def test_a_gpu_without_room_for_the_shared_beginning_reads_it_with_each_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, then: str
) -> None:
    def fails(*arguments: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("chatir.models.local.generation.PromptHead", fails)
    folder = tiny_models.causal(tmp_path / "tiny", room=4096)
    lines: list[str] = []
    questioner = HF(Options(model=str(folder), precision="fp32", max_tokens=2), Context(progress=lines.append))
    if then == "stops":
        with pytest.raises(StoppedRunError, match="tiny: the GPU failed"):
            questioner.ask(DIALOGS[:2])
        return
    assert [reply.raw is None for reply in questioner.ask(DIALOGS[:2])] == [False, False]
    assert lines[1].endswith("its shared beginning once: there is not enough memory for it")


def test_a_model_with_a_chat_template_is_asked_in_a_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    generate = Generator.generate

    def watched(self: Generator, texts: Any, *args: Any, **kwargs: Any) -> Any:
        seen.extend(texts)
        return generate(self, texts, *args, **kwargs)

    monkeypatch.setattr(Generator, "generate", watched)
    folder = tiny_models.causal(tmp_path / "small", chat_template=tiny_models.NO_SYSTEM, room=2048)
    prompt, dialog = load_prompt("few-shot"), Dialog("x.png", "a red bus")
    for chat in ("auto", "off"):
        t5(model=str(folder), prompt="few-shot", chat=chat).ask([dialog])
    system, *_, last = prompt.messages(dialog)
    assert seen[0].startswith(f"<s><|user|>\n{system.content}\n\n")
    assert seen[0].endswith(f"<|user|>\n{last.content}\n<|assistant|>\n")
    assert seen[1] == prompt.render(dialog)


@pytest.mark.parametrize(
    ("name", "played", "model"),
    [
        ("flan-t5-xl", "FLAN_T5_XL", "google/flan-t5-xl"),
        ("flan-t5-xxl", "FLAN_T5_XXL", "google/flan-t5-xxl"),
        ("flan-alpaca-xl", "FLAN_ALPACA_XL", "declare-lab/flan-alpaca-xl"),
        ("flan-alpaca-xxl", "FLAN_ALPACA_XXL", "declare-lab/flan-alpaca-xxl"),
    ],
)
def test_flan_is_hf_with_a_model_of_its_own(name: str, played: str, model: str) -> None:
    with pytest.raises(InputError, match=f"^model {model}: cannot be had"):  # without a network
        build("questioners", name, {})
    questioner = build("questioners", name, {"model": T5})
    assert isinstance(questioner, HF)
    assert questioner.name == played
    prompt, decoding = questioner.config["prompt"], questioner.config["model"]["decode"]
    assert (prompt["name"], decoding) == ("few-shot", "greedy"), "as in the paper"
    (reply,) = questioner.ask(random.Random(0).sample(DIALOGS, 1))
    assert reply.tokens_in is not None
    assert reply.tokens_in > 50


def test_flan_options_differ_from_those_of_hf_in_the_model_alone() -> None:
    hf = {name: field.default for name, field in Options.model_fields.items() if name != "model"}
    for options in (
        flan.FlanT5XLOptions, flan.FlanT5XXLOptions, flan.FlanAlpacaXLOptions, flan.FlanAlpacaXXLOptions
    ):  # fmt: skip
        assert {name: field.default for name, field in options.model_fields.items() if name != "model"} == hf


def test_the_chosen_beam_brings_along_whether_it_was_cut() -> None:
    others = (("is it red", True), ("is it blue", False), ("is it green", True))
    chosen = first_unasked(["is it red?"], Completion("is it red?", cut=True, others=others))
    assert (chosen.text, chosen.cut, chosen.others) == ("is it blue", False, ())
    assert question_reply(chosen).text == "is it blue?"
