"""What a chat model says instead of an answer, and what people say of an image, which is none of it."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.measures.refusals import is_soft_refusal

REFUSALS = [
    "I'm not able to view images",
    "I'm sorry, but I am not able to do that.",
    "As an AI language model, I can't see the picture",
    "I'm just an AI, I don't have eyes.",
    "I cannot assist with that",
    "Sorry, I can't assist with that request.",
    "I\u2019m sorry, but I can\u2019t help with that.",
    "Unfortunately, I can't answer that.",
    "I cannot answer this question.",
    "I won't be able to help with that.",
    "I must decline to answer.",
    "I apologize, but I cannot fulfill this request.",
    "I'm sorry, but I cannot see the image.",
    "I cannot see or interpret images.",
    "I'm unable to process images at this time.",
    "Unable to view the image.",
    "No image was provided; please upload one",
    "There is no image provided.",
    "It looks like you haven't uploaded an image.",
    "I don't see any image attached. Please upload the image.",
    "Could you please provide the image?",
    "The image failed to load.",
    "I'm sorry, but without seeing the image I can't say.",
    "I can't identify people in images",
    "I'm sorry, but I can't identify who is in the image.",
    "I am unable to help identify individuals.",
    "I'm not permitted to identify individuals.",
    "I don't have the ability to see",
    "I do not have access to the image.",
    "I am a text-based AI and do not have visual capabilities.",
    "I can only process text.",
    "That is beyond my current capabilities.",
    "I cannot provide a description of the image.",
    "It goes against my content guidelines.",
    "I don't see any image.",
    "I didn't receive an image.",
    "I have not been given an image.",
    "There's no image here.",
    "I refuse to answer.",
    "I'd rather not answer that.",
    "I don't feel comfortable answering.",
    "I do not currently have the ability to view images.",
    "I do not possess the ability to see",
    "As a text-only model, I cannot see.",
    "I'm text-only.",
    "I'm sorry, I can't tell you who that is.",
    "Can you provide the image?",
    "Without the image, I cannot answer.",
]

ANSWERS = [
    *("", "yes", "i can't tell", "no i can't see any", "cannot see his face", "i don't see one", "sorry, no"),
    *("it is too dark to tell", "unable to tell", "i am not able to see that", "i cannot answer for sure"),
    "no, i can't see any pictures on the wall",
    "i can't see any pictures",
    "i don't see any image on his shirt",
    "can't see picture that well",
    "i can't see the person in the picture",
    "i can't identify the eyes",
    "i cannot recognize the breed",
    "sorry i can't see",
    "there is no picture",
    "the image is black and white",
    "a man helping a woman",
    "he can't help it",
    "he can't do that",
    "she won't be able to do this",
    "he is an assistant",
    "as a model she poses",
    "they can't see the picture on the wall",
    "i can't see the file cabinet",
    "Can you provide more details about the man?",
    "What does the image show?",
    "I can't see the picture because it's dark",
    "I can't see the picture, it's facing away",
    "I can't see the photos, they're too small",
    "There's a frame, but I can't see the picture.",
    "I can't recognize the people in the background",
    "I can't identify the person, her back is turned",
    "I can't answer that, it's too blurry",
    "a sign that says I can't help",
    "I can only read text on the sign",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_known(text: str) -> None:
    for said in (text, text.upper(), f"Hm. {text}", text.replace("'", "\u2019"), text.replace(" ", "\n ")):
        assert is_soft_refusal(said)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not is_soft_refusal(text)
    assert not is_soft_refusal(text.capitalize() + ".")


@given(
    st.sampled_from(["", "I'm sorry, but ", "Unfortunately, ", "I apologize. ", "Sorry, "]),
    st.sampled_from(
        ["I can't", "I cannot", "I can\u2019t", "I'm not able to", "I am unable to", "I don't have the ability to"]
    ),
    st.sampled_from(["", "directly ", "currently "]),
    st.sampled_from(["view images", "see the image", "analyze this photo", "look at pictures", "access your files"]),
    st.sampled_from(["", ".", ", but I can help with text.", " directly.", " because I am a model"]),
)
def test_refusals_to_look_come_in_many_words(start: str, cannot: str, how: str, look: str, end: str) -> None:
    assert is_soft_refusal(f"{start}{cannot} {how}{look}{end}")


@pytest.mark.parametrize(
    ("name", "refusals"), [("VisDial_v1.0_queries_val", 0), ("ChatGPT_BLIP2", 7), ("FLAN_ALPACA_XXL_BLIP2", 0)]
)
def test_people_who_look_at_an_image_do_not_refuse(shared: Path, name: str, refusals: int) -> None:
    """ChatGPT says six times that it would need to see the image, and once that it cannot answer."""
    entries = json.loads((shared / "data" / "chatir" / "dialogues" / f"{name}.json").read_text())
    texts = [text.rpartition("?") for entry in entries for text in entry["dialog"][1:]]
    assert sum(is_soft_refusal(before) or is_soft_refusal(after) for before, _, after in texts) == refusals


def seconds(text: str) -> float:
    gc.collect()
    start = time.perf_counter()
    is_soft_refusal(text)
    return time.perf_counter() - start


@pytest.mark.parametrize(
    "unit", ["I can't ", "the image ", "sorry, ", "as an ai-", "no image was ", " ", "(1) ", "i can't see who "]
)
def test_the_time_grows_with_the_length_of_the_text(unit: str) -> None:
    short, long = (min(seconds(unit * (size // len(unit))) for _ in range(3)) for size in (20_000, 200_000))
    assert long < 30 * short + 0.05
