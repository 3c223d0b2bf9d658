"""`clip`, `siglip`, `blip` and `hf-text-image` give what transformers gives when it is used as the model cards show."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from retriever import tiny_encoders
from retriever.tiny_encoders import SIDE, TOKENS
from torch.nn.functional import normalize

from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.plugins import Context, build
from tools.scene_models.players import SmallClip

NAMES = {"clip": "clip", "openai": "clip", "siglip": "siglip", "siglip2": "siglip", "blip": "blip"}
TEXTS = [
    "a red heart",
    "a star, is it big? yes, what color? teal",
    "a",
    "a small blue star, is there a circle? yes, in the center, what color? red and teal, is it big? no, it is small",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: make(root / kind) for kind, make in tiny_encoders.MAKERS.items()}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of noise, of several shapes."""
    folder, noise = tmp_path_factory.mktemp("images"), random.Random(0)
    paths = []
    for number, (width, height) in enumerate([(40, 30), (30, 40), (SIDE, SIDE), (90, 33), (7, 5)]):
        picture = Image.frombytes("RGB", (width, height), noise.randbytes(3 * width * height))
        picture.save(folder / f"{number}.png")
        paths.append(folder / f"{number}.png")
    return paths


def plainly(kind: str, folder: Path, texts: list[str], images: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors of texts and images, as the model's card makes them, one at a time."""
    from transformers import AutoModel, AutoProcessor, BlipForImageTextRetrieval

    processor = AutoProcessor.from_pretrained(folder)
    model: Any = (BlipForImageTextRetrieval if kind == "blip" else AutoModel).from_pretrained(folder).eval()
    pictures = [processor(images=Image.open(path), return_tensors="pt") for path in images]
    found = []
    with torch.inference_mode():
        for text in texts:
            if kind == "blip":
                inputs = processor(text=text, truncation=True, max_length=TOKENS, return_tensors="pt")
                seen = model(**inputs, **pictures[0], use_itm_head=False).question_embeds
                found.append(model.text_proj(seen[:, 0]))
                continue
            padding: Any = "max_length" if kind.startswith("siglip") else True
            inputs = processor(text=text, padding=padding, truncation=True, max_length=TOKENS, return_tensors="pt")
            if kind.startswith("siglip"):
                inputs = {"input_ids": inputs["input_ids"]}
            found.append(model.get_text_features(**inputs).pooler_output)
        if kind == "blip":
            seen = [model.vision_proj(model.vision_model(**picture).last_hidden_state[:, 0]) for picture in pictures]
        else:
            seen = [model.get_image_features(**picture).pooler_output for picture in pictures]
    return normalize(torch.cat(found), dim=-1), normalize(torch.cat(seen), dim=-1)


@pytest.mark.parametrize("kind", NAMES)
def test_vectors_are_those_of_the_model_s_card(kind: str, folders: dict[str, Path], images: list[Path]) -> None:
    retriever = build("retrievers", NAMES[kind], {"model": str(folders[kind])})
    texts, pictures = plainly(kind, folders[kind], TEXTS, images)
    torch.testing.assert_close(retriever.encode_dialogs(TEXTS), texts, atol=1e-5, rtol=0)
    torch.testing.assert_close(retriever.encode_images(images), pictures, atol=1e-5, rtol=0)
    assert (texts @ texts.T < 0.9995).sum() == len(TEXTS) * (len(TEXTS) - 1)  # the texts are told apart
    assert retriever.truncated(TEXTS)[2:] == [False, True]
    assert retriever.config["max_tokens"] == TOKENS


def test_blip_s_scores_are_those_of_its_contrastive_head(folders: dict[str, Path], images: list[Path]) -> None:
    from transformers import AutoProcessor, BlipForImageTextRetrieval

    model, processor = (kind.from_pretrained(folders["blip"]) for kind in (BlipForImageTextRetrieval, AutoProcessor))
    inputs = processor(images=Image.open(images[0]), text=TEXTS[1], return_tensors="pt")
    with torch.inference_mode():
        score = model.eval()(**inputs, use_itm_head=False).itm_score
    retriever = build("retrievers", "blip", {"model": str(folders["blip"])})
    ours = retriever.encode_images(images[:1]) @ retriever.encode_dialogs(TEXTS[1:2]).T
    torch.testing.assert_close(ours, score, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_any_such_model_gives_the_same_by_the_general_name(
    kind: str, folders: dict[str, Path], images: list[Path]
) -> None:
    special = build("retrievers", NAMES[kind], {"model": str(folders[kind])})
    general = build("retrievers", "hf-text-image", {"model": str(folders[kind])})
    assert general.name == kind
    assert general.config == special.config
    assert torch.equal(general.encode_dialogs(TEXTS), special.encode_dialogs(TEXTS))
    assert torch.equal(general.encode_images(images), special.encode_images(images))


def test_the_built_in_clip_is_as_its_training_measured_it() -> None:
    scenes, dialogs = zip(*scene_dialogs(6, seed=3), strict=True)
    folder = checkpoints()["clip"]
    small = SmallClip(folder)
    retriever = build("retrievers", "clip", {"model": str(folder)})
    prepared = [retriever.prepare(draw(scene)) for scene in scenes]
    torch.testing.assert_close(retriever.encode_prepared(prepared), small.images(scenes), atol=1e-5, rtol=0)
    rounds = len(dialogs[0].rounds)
    torch.testing.assert_close(retriever.encode_dialogs(dialogs), small.dialogs(dialogs, rounds), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_siglip_reads_small_letters_as_it_was_trained(kind: str, folders: dict[str, Path]) -> None:
    retriever = build("retrievers", "siglip", {"model": str(folders[kind])})
    loud, quiet = retriever.encode_dialogs(["A Red HEART", "a red heart"])
    assert torch.equal(loud, quiet)
    clip = build("retrievers", "clip", {"model": str(folders["clip"])})
    loud, quiet = clip.encode_dialogs(["A Red HEART", "a red heart"])
    assert not torch.allclose(loud, quiet, atol=1e-2)


def test_siglip_s_own_tokenizer_is_read(folders: dict[str, Path], tmp_path: Path) -> None:
    from sentencepiece import SentencePieceTrainer
    from transformers import SiglipConfig, SiglipModel, SiglipTokenizer

    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(tmp_path / "spiece"), vocab_size=32, minloglevel=2,
        pad_id=-1, bos_id=-1, eos_id=1, unk_id=2,
    )  # fmt: skip
    words = SiglipTokenizer(str(tmp_path / "spiece.model"))
    sizes = {**tiny_encoders.SIZES, "vocab_size": len(words), "max_position_embeddings": TOKENS}
    sizes |= {"pad_token_id": 1, "eos_token_id": 1, "bos_token_id": 1}
    shutil.copytree(folders["siglip"], folder := tmp_path / "siglip")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    config = SiglipConfig(text_config=sizes, vision_config=tiny_encoders.VISION)
    SiglipModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    retriever = build("retrievers", "siglip", {"model": str(folder)})
    assert retriever.truncated(["a red star", "a red star " * 9]) == [False, True]
    assert retriever.encode_dialogs(["a red star", "a red star " * 9]).isfinite().all()


def test_what_fixes_the_vectors_is_in_the_configuration(folders: dict[str, Path]) -> None:
    def configs(**options: Any) -> tuple[Any, Any]:
        retriever = build("retrievers", "clip", {"model": str(folders["clip"]), **options})
        return retriever.config, retriever.image_config

    config, image_config = configs()
    assert json.loads(json.dumps(config)) == config
    assert str(folders["clip"].parent) not in json.dumps(config)
    assert config["preprocessing"]["crop_size"] == {"height": SIDE, "width": SIDE}
    assert {key: config[key] for key in image_config} == image_config
    for option in ({"separator": " [SEP] "}, {"max_tokens": 12}):
        other, other_image = configs(**option)
        assert (other != config, other_image == image_config) == (True, True)
    for precision in ("bf16", "fp16"):
        assert configs(precision=precision)[1] != image_config
    assert configs(batch_size=3, batch_tokens=7, device="cpu") == (config, image_config)


def other_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"] *= 1.01
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def other_crop(folder: Path) -> None:
    told = json.loads((folder / "processor_config.json").read_text())
    told["image_processor"]["crop_size"] = {"height": SIDE, "width": SIDE - 8}
    (folder / "processor_config.json").write_text(json.dumps(told))


@pytest.mark.parametrize("changes", [other_weights, other_crop])
def test_another_model_is_another_configuration(
    folders: dict[str, Path], tmp_path: Path, changes: Callable[[Path], None]
) -> None:
    shutil.copytree(folders["clip"], folder := tmp_path / "clip")
    before = build("retrievers", "clip", {"model": str(folder)}).image_config
    changes(folder)
    assert build("retrievers", "clip", {"model": str(folder)}).image_config != before


def told(name: str, folder: Path, **options: Any) -> str:
    """The one line that building a retriever ends with."""
    with pytest.raises(InputError) as error:
        build("retrievers", name, {"model": str(folder), **options}, Context())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_kind_of_model_is_told_at_once(folders: dict[str, Path]) -> None:
    assert told("clip", folders["siglip"]).endswith("siglip: is a siglip, and no CLIP: try hf-text-image")
    assert "is a clip, and no SigLIP" in told("siglip", folders["clip"])
    assert "is a clip, and no BLIP" in told("blip", folders["clip"])
    assert told("hf-text-image", checkpoints()["t5"]).endswith("is a t5, which has no text and image features")


def test_a_model_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    assert told("clip", tmp_path / "none") == f"{tmp_path / 'none'}: there is no such folder"


@pytest.mark.parametrize("lacks", ["tokenizer.json", "processor_config.json"])
def test_a_folder_that_lacks_a_part_is_told_at_once(folders: dict[str, Path], tmp_path: Path, lacks: str) -> None:
    shutil.copytree(folders["clip"], folder := tmp_path / "clip")
    (folder / lacks).unlink()
    assert told("clip", folder).startswith(f"model {folder}: its ")


def test_another_model_s_tokenizer_is_told_at_once(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["clip"], folder := tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] -= 1
    (folder / "config.json").write_text(json.dumps(config))
    assert "is it another model's?" in told("clip", folder)


def test_a_limit_may_be_lowered_and_not_raised(folders: dict[str, Path]) -> None:
    line = told("clip", folders["clip"], max_tokens=TOKENS + 1)
    assert line == f"max_tokens={TOKENS + 1}: the model reads {TOKENS} tokens at most"
    short = build("retrievers", "clip", {"model": str(folders["clip"]), "max_tokens": 8})
    assert short.truncated(["a", TEXTS[1]]) == [False, True]


@pytest.mark.parametrize(("limit", "positions", "most"), [(None, 20, 20), (16, 20, 16), (24, 20, 20)])
def test_the_stricter_of_two_limits_holds(tmp_path: Path, limit: int | None, positions: int, most: int) -> None:
    words = tiny_encoders.tokenizer(limit=limit)
    folder = tiny_encoders.clip(tmp_path / "clip", words=words, positions=positions)
    retriever = build("retrievers", "clip", {"model": str(folder)})
    texts = [" ".join(["a"] * count) for count in (most - 2, most - 1)]
    assert retriever.truncated(texts) == [False, True]
    assert torch.equal(*retriever.encode_dialogs(texts))
