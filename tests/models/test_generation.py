"""Batches of tiny models: neighbours change nothing, a text ends where it should, and chance is fair."""

from __future__ import annotations

import random
import threading
from collections import Counter
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from models import tiny_models

from chatir.datasets.scenes.folder import scene_dialogs
from chatir.models.builtin import checkpoints
from chatir.models.local.generation import Decode, Decoding, Ending, Generated, Generator
from chatir.models.local.loading import Loaded, load_model
from chatir.prompts import load_prompt

KINDS = ("llama", "gpt2", "t5", "built-in t5")
ENDINGS: tuple[Ending, ...] = ("line", "question", "text")
WORDS = ("a", "big", "red", "heart", "blue", "star", "center", "is", "there", "yes", "in", "the", "question", "?")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    folder = tmp_path_factory.mktemp("models")
    folders = {
        "llama": tiny_models.causal(folder / "llama"),
        "gpt2": tiny_models.causal(folder / "gpt2", kind="gpt2"),
        "t5": tiny_models.t5(folder / "t5"),
        "built-in t5": checkpoints()["t5"],
    }
    return {name: load_model(str(path), None, "fp32", "cpu") for name, path in folders.items()}


def prompts(count: int, seed: int = 0) -> list[str]:
    """Texts of one to forty words."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 40))) for _ in range(count)]


def tokens(loaded: Loaded, text: str) -> Any:
    return loaded.tokenizer(text, return_tensors="pt")


def alone(generator: Generator, texts: list[str], ending: Ending, max_tokens: int = 24) -> list[Generated]:
    return [generator.generate([text], [seed], max_tokens, ending)[0] for seed, text in enumerate(texts)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("decode", ["greedy", "sample", "first-unasked"])
def test_a_batch_changes_nothing(models: dict[str, Loaded], name: str, decode: Decode) -> None:
    generator = Generator(models[name], Decoding(decode, temperature=1.3, top_p=0.95, beams=4))
    texts, max_tokens = prompts(16), 16
    expected = alone(generator, texts, "line", max_tokens)
    assert len({result.texts for result in expected}) > (1 if name == "built-in t5" else 12)
    for size, order in ((3, list(range(16))), (16, list(range(16))), (16, random.Random(1).sample(range(16), 16))):
        for first in range(0, 16, size):
            places = order[first : first + size]
            results = generator.generate([texts[n] for n in places], places, max_tokens, "line")
            assert results == [expected[n] for n in places]


@pytest.mark.parametrize("name", KINDS)
def test_greedy_is_what_the_model_holds_for_likeliest(models: dict[str, Loaded], name: str) -> None:
    import torch

    loaded = models[name]
    (text,) = prompts(1)
    given = tokens(loaded, text)
    written: list[int] = []
    for _ in range(8):
        with torch.inference_mode():
            if loaded.model.config.is_encoder_decoder:
                logits = loaded.model(**given, decoder_input_ids=torch.tensor([[0, *written]])).logits
            else:
                logits = loaded.model(torch.cat([given["input_ids"], torch.tensor([written]).long()], dim=1)).logits
        written.append(int(logits[0, -1].argmax()))
        if written[-1] == 1:
            break
    (result,) = Generator(loaded, Decoding()).generate([text], [0], 8, "text")
    assert result.texts == (loaded.tokenizer.decode(written, skip_special_tokens=True),)
    assert (result.tokens_in, result.tokens_out) == (given["input_ids"].shape[1], len(written))
    assert result.cut == (written[-1] != 1)


def end_of(text: str, ending: Ending) -> int | None:
    """Where a text ends, read off its letters; None if it goes on."""
    start = len(text) - len(text.lstrip()) if ending == "line" else text.find("?")
    place = text.find("\n", start) if start >= 0 and text.strip() else -1
    return None if place < 0 or ending == "text" else place + 1


@pytest.mark.parametrize("name", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("decode", ["greedy", "sample", "first-unasked"])
def test_a_text_ends_with_its_line_its_question_or_its_end(
    models: dict[str, Loaded], name: str, ending: Ending, decode: Decode
) -> None:
    generator = Generator(models[name], Decoding(decode, beams=4))
    results = generator.generate(prompts(24), range(24), 24, ending)
    for result in results:
        assert len(result.texts) == (4 if decode == "first-unasked" else 1)
        assert all(end_of(text, ending) in (None, len(text)) for text in result.texts)
        assert result.tokens_out == 24 if result.cut else result.tokens_out <= 24
        assert not (result.cut and end_of(result.texts[0], ending))
        assert not any("<" + special in text for text in result.texts for special in ("pad>", "/s>", "s>"))
    texts = [text for result in results for text in result.texts]
    if ending == "text":
        assert any("\n" in text.strip() for text in texts), "it goes on after a line"
        assert any(result.cut for result in results)
    else:
        assert any(end_of(text, ending) for text in texts)
    if ending == "question":
        assert any("\n" in text.partition("?")[0].strip() for text in texts), "a line without one"
    assert any(not result.cut for result in results)


@pytest.mark.parametrize("name", ["llama", "t5"])
@pytest.mark.parametrize("decode", ["greedy", "first-unasked"])
def test_no_work_is_done_beyond_the_end(
    models: dict[str, Loaded], name: str, decode: Decode, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, written = models[name], list[Any]()
    generate = loaded.model.generate
    monkeypatch.setattr(loaded.model, "generate", lambda **options: written.append(generate(**options)) or written[-1])
    texts = ["a star is there", "is a red heart there"]
    results = Generator(loaded, Decoding(decode, beams=4)).generate(texts, [0, 1], 60, "line")
    (rows,) = written
    start = 1 if name == "t5" else max(result.tokens_in for result in results)
    said = loaded.tokenizer.batch_decode(rows[:, start:], skip_special_tokens=True)
    assert said == [text for result in results for text in result.texts]


@pytest.mark.parametrize("name", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("ending", ["line", "question"])
def test_up_to_its_end_a_greedy_text_is_the_one_without(models: dict[str, Loaded], name: str, ending: Ending) -> None:
    generator, texts = Generator(models[name], Decoding()), prompts(16)
    for whole, part in zip(alone(generator, texts, "text"), alone(generator, texts, ending), strict=True):
        assert part.texts[0] == whole.texts[0][: end_of(whole.texts[0], ending)]
        assert part.cut == (whole.cut and end_of(whole.texts[0], ending) is None)


def test_a_text_that_fills_its_length_to_the_last_token_and_ends_there_is_not_cut(models: dict[str, Loaded]) -> None:
    generator = Generator(models["llama"], Decoding())
    found = 0
    for ending in ENDINGS:
        for text in prompts(16):
            whole = generator.generate([text], [0], 24, ending)[0]
            if not whole.cut and whole.tokens_out > 1:
                found += 1
                assert generator.generate([text], [0], whole.tokens_out, ending) == [whole]
                assert generator.generate([text], [0], whole.tokens_out - 1, ending)[0].cut
    assert found > 5


@pytest.mark.parametrize("name", KINDS)
def test_tokens_are_counted_without_padding(models: dict[str, Loaded], name: str) -> None:
    generator, texts = Generator(models[name], Decoding()), prompts(8)
    lengths = [tokens(models[name], text)["input_ids"].shape[1] for text in texts]
    assert generator.lengths(texts) == lengths
    assert generator.lengths(texts, special=False) == [length - 1 for length in lengths]
    results = generator.generate(texts, range(8), 8, "text")
    assert [result.tokens_in for result in results] == lengths


def test_without_special_tokens_none_is_added(models: dict[str, Loaded]) -> None:
    generator = Generator(models["llama"], Decoding())
    plain, marked = (generator.generate([text], [0], 8, "text", special=False)[0] for text in ("a star", "<s>a star"))
    (added,) = generator.generate(["a star"], [0], 8, "text")
    assert added == marked
    assert plain.tokens_in == marked.tokens_in - 1


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_a_line_that_begins_and_ends_in_one_token_is_known_by_what_it_says(tmp_path: Path, name: str) -> None:
    """Some tokenizers have tokens like `?\\n` and `\\nAnswer`; special ones say nothing."""
    import torch

    folder = tiny_models.causal(tmp_path / "m") if name == "llama" else tiny_models.t5(tmp_path / "m")
    loaded = load_model(str(folder), None, "fp32", "cpu")
    vocabulary = loaded.tokenizer.get_vocab()
    newline, star, asks = (vocabulary[token] for token in ("\u010a", "\u0120star", "?"))
    loaded.tokenizer.add_tokens(["?\n", "\nAnswer"])
    kinds = Generator(loaded, Decoding())._kinds
    both, after = loaded.tokenizer.convert_tokens_to_ids(["?\n", "\nAnswer"])
    for row, line, question in (
        ([both], True, True),
        ([after], False, False),
        ([newline, after], False, False),
        ([loaded.tokenizer.unk_token_id, newline], False, False),
        ([star, after], True, False),
        ([star, newline], True, False),
        ([after, newline], True, False),
        ([asks, after], True, True),
        ([star, after, asks], False, False),
    ):
        for ending, ends in (("line", line), ("question", question), ("text", False)):
            assert kinds.ended(row, ending) == ends, (row, ending)  # type: ignore[arg-type]
            criterion = kinds.criterion(1, ending)  # type: ignore[arg-type]
            assert criterion(torch.tensor([[star, *row]]), None).tolist() == [ends]


@pytest.mark.parametrize("name", KINDS)
def test_the_model_s_own_sampling_settings_are_left_aside(models: dict[str, Loaded], name: str, tmp_path: Path) -> None:
    texts = prompts(6)
    expected = alone(Generator(models[name], Decoding()), texts, "line")
    models[name].model.save_pretrained(tmp_path)
    models[name].tokenizer.save_pretrained(tmp_path)
    from transformers import GenerationConfig

    own = {"repetition_penalty": 5.0, "do_sample": True, "num_beams": 4, "no_repeat_ngram_size": 2, "min_length": 9}
    more = {"temperature": 0.1, "bad_words_ids": [[5]], "max_length": 3, "suppress_tokens": [9], "length_penalty": 3.0}
    kept = {"eos_token_id": [1], "decoder_start_token_id": 0, "pad_token_id": 0}
    GenerationConfig(**own, **more, **kept).save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), None, "fp32", "cpu")
    assert loaded.model.generation_config.repetition_penalty == 5.0
    assert alone(Generator(loaded, Decoding()), texts, "line") == expected
    beams = Decoding("first-unasked", beams=3)
    assert alone(Generator(loaded, beams), texts, "line") == alone(Generator(models[name], beams), texts, "line")


def test_every_end_of_the_model_s_own_ends_a_text(models: dict[str, Loaded], tmp_path: Path) -> None:
    from transformers import GenerationConfig

    models["llama"].model.save_pretrained(tmp_path)
    models["llama"].tokenizer.save_pretrained(tmp_path)
    GenerationConfig(eos_token_id=[1, models["llama"].tokenizer.convert_tokens_to_ids("|")]).save_pretrained(tmp_path)
    generator = Generator(load_model(str(tmp_path), None, "fp32", "cpu"), Decoding("sample", temperature=3.0))
    results = generator.generate([""] * 64, range(64), 64, "text")
    assert any("|" in result.texts[0] for result in results)
    assert all(
        result.texts[0].partition("|")[2] == "" and not result.cut for result in results if "|" in result.texts[0]
    )


@pytest.mark.parametrize("lacks", ["pad", "pad and end"])
def test_a_tokenizer_without_padding_makes_the_same_batches(
    models: dict[str, Loaded], lacks: str, tmp_path: Path
) -> None:
    from transformers import GenerationConfig

    models["llama"].model.save_pretrained(tmp_path)
    tokenizer = tiny_models.tokenizer(bos=True)
    tokenizer.pad_token = None
    if lacks == "pad and end":
        tokenizer.eos_token = None
        GenerationConfig().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), None, "fp32", "cpu")
    loaded.model.config.eos_token_id = None
    loaded.model.generation_config.eos_token_id = None
    assert loaded.tokenizer.pad_token_id is None
    generator, texts = Generator(loaded, Decoding()), prompts(6)
    assert generator.generate(texts, range(6), 12, "line") == alone(generator, texts, "line", 12)


def distribution(loaded: Loaded, text: str) -> Any:
    import torch

    given = tokens(loaded, text)
    start = {"decoder_input_ids": torch.tensor([[0]])} if loaded.model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        return loaded.model(**given, **start).logits[0, -1].double()


def first_tokens(loaded: Loaded, text: str, decoding: Decoding, count: int) -> Counter[str]:
    """What comes first, over many seeds."""
    generator, drawn = Generator(loaded, decoding), Counter[str]()
    for first in range(0, count, 500):
        results = generator.generate([text] * 500, range(first, first + 500), 1, "text")
        drawn.update(result.texts[0] for result in results)
    return drawn


def by_text(loaded: Loaded, chances: Any) -> Counter[str]:
    """Chances of tokens, by what is seen of them: nothing, of special ones."""
    total = Counter[str]()
    for token, chance in enumerate(chances.tolist()):
        total[loaded.tokenizer.decode([token], skip_special_tokens=True)] += chance
    return total


DRAWN = {
    (6.0, 1.0): (
        "red star what orange color does small dark part color them the",
        "can is of center middle black shape small them pink left?",
        "square or you four triangle see, which short beige gray top",
        "shapes which against small just see? size where part a anything",
    ),
    (3.0, 0.98): (
        "red star what orange color does the dark part color of the",
        "can you count the shapes black? on can pink?",
        "square or you single in the, the short beige gray?",
        "shapes which against small just? white star circle big is right",
    ),
}
"""What the seeds 0 to 3 draw from the built-in T5, by temperature and top_p; trained anew, it draws other texts."""


@pytest.mark.parametrize(("temperature", "top_p"), DRAWN)
def test_a_seed_draws_the_text_that_it_always_drew(models: dict[str, Loaded], temperature: float, top_p: float) -> None:
    generator = Generator(models["built-in t5"], Decoding("sample", temperature=temperature, top_p=top_p))
    texts, wanted = ["a big red heart", "is there a star in the center?"] * 2, DRAWN[temperature, top_p]
    for order in ([0, 1, 2, 3], [2], [3, 0, 1]):
        results = generator.generate([texts[n] for n in order], order, 12, "text")
        assert [result.texts[0] for result in results] == [wanted[n] for n in order]


@pytest.mark.parametrize("default", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [1, 37, 50257])
def test_the_noise_of_a_row_is_its_seed_s_to_the_last_bit(
    models: dict[str, Loaded], size: int, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    empty = torch.empty  # torch's default is another while a model is being loaded in another thread
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **{"dtype": getattr(torch, default), **k}))

    def wanted(seed: int) -> list[torch.Tensor]:
        source = torch.Generator().manual_seed(seed)
        even = torch.stack([torch.rand(size, generator=source, dtype=torch.float64) for _ in range(4)])
        return list((-torch.log(-torch.log(even.clamp_min(torch.finfo(torch.float64).tiny)))).float())

    generator = Generator(models["llama"], Decoding("sample"))
    for seeds in ([5, 2**40, 7, 0, 3, 9], [7], [0, 7]):
        with torch.inference_mode(), generator._chance(seeds) as (noise,):
            rows = [noise(None, torch.zeros(len(seeds), size)) for _ in range(4)]
        assert rows[0].dtype == torch.float32
        for place, seed in enumerate(seeds):
            assert all(map(torch.equal, [row[place] for row in rows], wanted(seed)))


def test_noise_is_drawn_ahead_by_threads_that_end_with_the_batch(
    models: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    before = threading.active_count()
    generator = Generator(models["llama"], Decoding("sample"))
    with torch.inference_mode(), generator._chance(range(3)) as (noise,):
        noise(None, torch.zeros(3, 50))
        _, rows = noise._ahead
        assert [row.result(timeout=60) for row in rows] == [None] * 3, "nobody has asked for the second step yet"
    assert threading.active_count() == before
    forward, steps = generator.model.forward, list[int]()

    @wraps(forward)  # transformers looks at its parameters
    def fails(*arguments: Any, **named: Any) -> Any:
        steps.append(threading.active_count())
        if len(steps) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*arguments, **named)

    monkeypatch.setattr(generator.model, "forward", fails)
    with pytest.raises(torch.OutOfMemoryError):
        generator.generate(prompts(3), range(3), 9, "text")
    assert steps[0] == before < steps[-1]
    assert threading.active_count() == before


@pytest.mark.parametrize(("name", "temperature"), [("llama", 1.0), ("llama", 4.0), ("t5", 6.0)])
def test_tokens_are_drawn_as_often_as_the_model_says(models: dict[str, Loaded], name: str, temperature: float) -> None:
    from scipy.stats import chisquare

    loaded, text, count = models[name], "a big red heart", 4000
    chances = by_text(loaded, (distribution(loaded, text) / temperature).softmax(0))
    drawn = first_tokens(loaded, text, Decoding("sample", temperature=temperature), count)
    expected = {token: chance * count for token, chance in chances.items()}
    often = [token for token, times in expected.items() if times >= 5]
    assert len(often) >= 5
    pairs = [(drawn[token], expected[token]) for token in often]
    rest = (count - sum(pair[0] for pair in pairs), count - sum(pair[1] for pair in pairs))
    observed, wanted = zip(*([*pairs, rest] if rest[1] >= 1 else pairs), strict=True)
    scale = sum(observed) / sum(wanted)
    assert scale == pytest.approx(1, abs=0.01)
    assert chisquare(observed, [times * scale for times in wanted]).pvalue > 1e-3


def test_top_p_leaves_out_the_tail_and_keeps_the_rest_in_proportion(models: dict[str, Loaded]) -> None:
    loaded, text, count = models["llama"], "a big red heart", 4000
    chances = (distribution(loaded, text) / 4).softmax(0)
    ordered = chances.sort(descending=True)
    kept = int((ordered.values.cumsum(0) < 0.5).sum()) + 1
    wanted = by_text(loaded, chances.scatter(0, ordered.indices[kept:], 0.0) / ordered.values[:kept].sum())
    drawn = first_tokens(loaded, text, Decoding("sample", temperature=4.0, top_p=0.5), count)
    assert drawn.keys() == (+wanted).keys()
    assert len(drawn) >= 3
    for token, times in drawn.items():
        assert times / count == pytest.approx(wanted[token], abs=0.03)


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_close_to_no_temperature_is_greedy(models: dict[str, Loaded], name: str) -> None:
    texts = prompts(8)
    greedy = Generator(models[name], Decoding()).generate(texts, range(8), 16, "line")
    for settings in (Decoding("sample", temperature=1e-6), Decoding("sample", top_p=1e-6)):
        assert Generator(models[name], settings).generate(texts, range(8), 16, "line") == greedy


def test_other_seeds_give_other_texts_and_each_step_is_drawn_anew(models: dict[str, Loaded]) -> None:
    generator = Generator(models["llama"], Decoding("sample", temperature=3.0))
    results = generator.generate(["a big red heart"] * 64, range(64), 24, "text")
    assert len({result.texts for result in results}) > 56
    longest = max(results, key=lambda result: result.tokens_out)
    assert len(set(longest.texts[0])) > 8, "not one token again and again"
    for seed in (-(2**63), 2**63 - 1, 2**64 - 1):
        assert generator.generate(["a"], [seed], 4, "text") == generator.generate(["a"], [seed], 4, "text")


def test_beams_are_distinct_and_best_first(models: dict[str, Loaded]) -> None:
    """The best is at least as likely as the greedy text, and the others go down."""
    import torch

    loaded = models["built-in t5"]
    texts = [load_prompt("scenes").render(dialog) for _, dialog in scene_dialogs(4, 0)]
    results = Generator(loaded, Decoding("first-unasked", beams=8)).generate(texts, [0] * 4, 24, "line")

    def likelihood(text: str, written: str) -> float:
        labels = tokens(loaded, written)["input_ids"]
        with torch.inference_mode():
            return -float(loaded.model(**tokens(loaded, text), labels=labels).loss)

    for text, result in zip(texts, results, strict=True):
        assert len(set(result.texts)) == 8
        scores = [likelihood(text, written) for written in result.texts]
        assert all(better >= worse - 0.25 for better, worse in pairwise(scores))
        assert scores[0] > scores[-1]
