"""The built-in models: genuine checkpoints that plain transformers loads, and that answer, rank and ask."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

import pytest

from chatir.cli import run
from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.language import QUESTIONS, understood, wordings
from chatir.datasets.scenes.people import people_dialog
from chatir.datasets.scenes.world import scenes
from chatir.dialog import Dialog, Round
from chatir.models.builtin import checkpoints
from chatir.prompts import load_prompt

MODELS = ("blip2", "clip", "t5")
SCENES = list(islice(scenes("tests"), 200))
DIALOGS = [people_dialog(scene, str(n), random.Random(n)) for n, scene in enumerate(SCENES)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def test_the_command_prints_the_three_folders_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scenes", "--checkpoints"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {name: str(folder) for name, folder in checkpoints().items()}
    assert tuple(printed) == MODELS
    assert all((Path(folder) / "model.safetensors").is_file() for folder in printed.values())


def test_together_they_are_small_and_hold_nothing_that_runs_code() -> None:
    files = [path for folder in checkpoints().values() for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 10e6
    assert {path.suffix for path in files} == {".json", ".md", ".safetensors"}


@pytest.mark.parametrize("name", MODELS)
def test_weights_load_as_fp32_without_being_told(name: str) -> None:
    import torch
    from transformers import AutoConfig, Blip2ForConditionalGeneration, CLIPModel, T5ForConditionalGeneration

    classes = {"blip2": Blip2ForConditionalGeneration, "clip": CLIPModel, "t5": T5ForConditionalGeneration}
    model, told = classes[name].from_pretrained(checkpoints()[name], output_loading_info=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(told[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert AutoConfig.from_pretrained(checkpoints()[name]).architectures == [classes[name].__name__]


def test_the_blip2_answers_what_the_picture_shows() -> None:
    import torch
    from transformers import AutoProcessor, Blip2ForConditionalGeneration

    folder = checkpoints()["blip2"]
    model, processor = Blip2ForConditionalGeneration.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    right = []
    for scene in SCENES[:8]:
        texts = [f"Question: {wordings(question)[0]} Short answer:" for question in QUESTIONS]
        inputs = processor(images=[draw(scene)] * len(texts), text=texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            output = model.generate(**inputs, num_beams=5, length_penalty=-1.0, max_new_tokens=10)
        answers = processor.batch_decode(output, skip_special_tokens=True)
        right += [answer.strip() == question.answer(scene) for answer, question in zip(answers, QUESTIONS, strict=True)]
    assert sum(right) / len(right) >= 0.97


def test_the_clip_ranks_the_target_higher_the_more_it_is_told() -> None:
    import torch
    from transformers import AutoProcessor, CLIPModel

    folder = checkpoints()["clip"]
    model, processor = CLIPModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    inputs = processor(images=[draw(scene) for scene in SCENES], return_tensors="pt")
    with torch.inference_mode():
        pictures = model.get_image_features(**inputs).pooler_output
        recall = []
        for rounds in (0, 3, 10):
            texts = [", ".join([dialog.caption, *map(str, dialog.rounds[:rounds])]) for dialog in DIALOGS]
            inputs = processor(text=texts, padding=True, return_tensors="pt")
            scores = torch.cosine_similarity(
                model.get_text_features(**inputs).pooler_output[:, None], pictures[None], dim=-1
            )
            ranks = 1 + (scores > scores.diagonal()[:, None]).sum(1)
            recall.append(float((ranks <= 10).float().mean()))
    assert recall[0] < recall[1] < recall[2]
    assert recall[2] >= 0.95


def test_a_batch_of_dialogs_is_read_as_each_one_alone() -> None:
    import torch
    from transformers import AutoProcessor, CLIPModel

    folder = checkpoints()["clip"]
    model, processor = CLIPModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    texts = [", ".join([dialog.caption, *map(str, dialog.rounds[:n])]) for n, dialog in enumerate(DIALOGS[:6])]
    with torch.inference_mode():
        batch, *alone = (
            model.get_text_features(**processor(text=some, padding=True, return_tensors="pt")).pooler_output
            for some in (texts, *([text] for text in texts))
        )
    assert torch.allclose(batch, torch.cat(alone), atol=1e-4)


def test_the_t5_asks_in_the_language_of_the_scenes() -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder, prompt = checkpoints()["t5"], load_prompt("scenes")
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    cut = [Dialog(dialog.image, dialog.caption, dialog.rounds[: n % 10]) for n, dialog in enumerate(DIALOGS[:100])]
    inputs = tokenizer([prompt.render(dialog) for dialog in cut], padding=True, return_tensors="pt")
    with torch.inference_mode():
        questions = tokenizer.batch_decode(model.generate(**inputs, max_new_tokens=20), skip_special_tokens=True)
    assert sum(understood(question) is not None for question in questions) >= 99


def test_the_t5_asks_what_a_shape_is_like_if_it_was_told_that_it_is_there() -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder, prompt = checkpoints()["t5"], load_prompt("scenes")
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def chance(shape: str, answer: str) -> float:
        """That the question that begins "what color is the" is about the shape."""
        rounds = (Round("what color is the star?", "red"), Round(f"is there a {shape}?", answer))
        dialog = Dialog(
            "", "a star and something else on a dark background", (*rounds, Round("is there a cross?", "no"))
        )
        begun = tokenizer("what color is the", add_special_tokens=False).input_ids
        with torch.inference_mode():
            given = tokenizer(prompt.render(dialog), return_tensors="pt")
            logits = model(**given, decoder_input_ids=torch.tensor([[0, *begun]])).logits[0, -1]
        return logits.softmax(0)[tokenizer.convert_tokens_to_ids(shape)].item()

    for shape in ("circle", "heart", "square", "triangle"):
        assert chance(shape, "yes") > 0.1
        assert chance(shape, "no") < 0.02


@pytest.mark.parametrize("name", MODELS)
def test_the_card_s_example_runs_and_says_what_is_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["scenes", str(tmp_path / "scenes"), "--count", "5", "--seed", "0"])
    monkeypatch.chdir(tmp_path)
    card = (checkpoints()[name] / "README.md").read_text(encoding="utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    exec(compile(code, f"{name}/README.md", "exec"), {"folder": checkpoints()[name]})
    printed = capsys.readouterr().out.splitlines()[-1]
    assert {"blip2": printed == "four", "clip": printed == "tensor(2)", "t5": understood(printed)}[name]


@pytest.mark.parametrize("name", MODELS)
def test_the_card_tells_how_many_parameters_there_are(name: str) -> None:
    from safetensors import safe_open

    with safe_open(checkpoints()[name] / "model.safetensors", "np") as weights:
        parameters = sum(weights.get_tensor(key).size for key in weights.keys())  # noqa: SIM118 - it is no dict
    assert f"{parameters / 1e6:.1f} million parameters" in (checkpoints()[name] / "README.md").read_text()
