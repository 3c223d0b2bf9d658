"""Soft refusals: texts in which a model says, instead of an answer, that it cannot look, help or answer."""

from __future__ import annotations

import re

_SPEAKER = "".join(f"|(?<=\\b{word} )" for word in ("i", "i'm", "im", "i am", "we", "but", "and", "sorry", "model"))
_SPEAKER = rf"(?:^|(?<=[.,;:!] )|(?<=[a-z]ly ){_SPEAKER})"
"""What stands before the verb where the speaker is meant: "he can't do that" is an answer."""
_CANNOT = (
    rf"{_SPEAKER}(?:can(?:no|')?t|can not|could ?n[o']t|(?:not able|unable) to|incapable of"
    r"|not (?:allowed|permitted) to|won't|will not"
    r"|(?:do(?:n't| not)(?: currently| actually)? (?:have|possess)|have no|lack)(?: the| any)?"
    r" (?:ability|capability|capacity|means|way)(?: to| of))"
    r"(?: be able to)?(?: (?:really|currently|directly|actually|physically|visually|just|yet|personally)){0,2}"
)
_A = r"(?: (?:an?|the|any|this|that|your|these|those|such|uploaded|attached|actual|provided|external|specific)){0,3}"
_IMAGE = r"(?:images?|pictures?|photos?|photographs?|visuals?|visual \w+|attachments?|files?|links?|urls?)"
_LOOK = r"(?:see|view|look at|access|open|display|process|analy[sz]e|interpret|examine|inspect|load|perceive)"
_LOOKING = r"(?:seeing|viewing|looking at|accessing|processing|analy[sz]ing|interpreting)"
_REQUEST = r"(?:requests?|tasks?|questions?|quer(?:y|ies)|prompts?|instructions?|topics?)"
_STOP = r"(?= ?(?:[.,;:!?)]|$))(?!, (?:it|its|they|he|she|his|her|their|the|there|too)\b)"
"""Where a sentence ends, and no reason follows that is in the image: ", it's too dark"."""
_NO_PLACE = (
    rf"(?:{_STOP}|(?= (?:and|or|but|as|so|since"
    r"|because(?! (?:it|its|they|he|she|his|her|their|the|there|of)\b)|you|that you|directly"
    r"|at this|at the moment|right now|here"
    r"|to (?:answer|tell|determine)|in (?:this|our) (?:chat|conversation)|from|without|due)\b))"
)
"""After "I cannot see the image": a person goes on otherwise, "... image on the wall", "... picture well"."""

_MACHINE = (
    r"(?:as|i am|i'm|being) (?:just |only |merely |simply )?an? (?:[\w-]+ ){0,3}?"
    r"(?:ai|a\.i\.|artificial intelligence|language model|llm|chat ?bot|(?:virtual|digital) assistant)\b",
    r"(?:beyond|outside|not within|not part of) (?:the scope of )?my (?:current )?(?:capabilit|abilit|programming)",
    r"i(?:'m| am) not (?:equipped|designed|programmed|trained|capable) (?:to|of|for)\b",
    r"i (?:can|am able to|could) only (?:process|work with|respond to|understand|handle|read|interact with) text\b"
    r"(?! (?:on|in|at|from)\b)",
    r"(?:as|i am|i'm|being) (?:just |only |merely )?(?:an? )?text[ -](?:only|based)\b"
    r"(?! (?:sign|poster|image|picture))",
)
_CANNOT_LOOK = (
    rf"{_CANNOT} {_LOOK}(?:(?: or|,|, or| and) {_LOOK})?(?! any \w+\W*$){_A} {_IMAGE}{_NO_PLACE}",
    rf"{_CANNOT} {_LOOKING}{_A} {_IMAGE}{_NO_PLACE}",
    rf"{_CANNOT} (?:see|seeing|view) (?:things|anything visual|the way)\b",
    r"i (?:do(?:n't| not)(?: currently| actually)? (?:have|possess)|have no|lack)(?: the| any)?"
    r" (?:ability|capability|capacity|means|way) (?:to|of)"
    r" (?:see|view|look)(?:ing)?\b",
    rf"i (?:do(?:n't| not) have|have no|lack|do(?:n't| not) possess)(?: any)?(?: direct)? (?:access to{_A} {_IMAGE}"
    r"|(?:vision|visual|image)[ -](?:capabilit|process|abilit|recogni|input|percep)|eyes\b)",
    rf"i (?:do(?:n't| not) (?:actually )?have|have no)(?: an?| the| any) {_IMAGE}{_NO_PLACE}",
    rf"without (?:being able to |actually )?(?:{_LOOK}|{_LOOKING}|access to|having){_A} {_IMAGE}\b",
    rf"without{_A} {_IMAGE},? i(?:'m| am)? (?:can(?:no|')?t|can not|unable|not able)\b",
    rf"(?:i|we)(?: would|'d| will) (?:have|need) to {_LOOK}{_A} {_IMAGE}{_NO_PLACE}",
)
_SHOWN_NONE = (
    rf"(?:no|not any) {_IMAGE} (?:(?:was|were|has been|have been|is|are|(?:seems?|appears?) to (?:be|have been)) )?"
    r"(?:actually )?(?:provided|attached|uploaded|shared|included|supplied|sent|submitted|received|given to me)\b",
    rf"(?:please|kindly|if you)(?: (?:can|could|would))?(?: please)?(?: try)?(?: to)? (?:re-?)?"
    rf"(?:upload|provide|share|attach|send|submit)(?:ing)?(?: me)?(?: with)?(?:{_A} {_IMAGE}| one| it again)\b",
    rf"(?:do(?:n't| not)|{_CANNOT}) see{_A} {_IMAGE} (?:attached|uploaded|provided|included|shared"
    r"|in (?:your|our|this) (?:message|conversation|chat|prompt|request))\b",
    rf"(?:can|could|would) you (?:re-?)?(?:upload|provide|share|attach|send|submit)(?: me)?{_A}"
    rf" (?:images?|pictures?|photos?){_STOP}",
    rf"i do(?:n't| not) see (?:an|any|the) (?:images?|attachments?){_STOP}",
    rf"i (?:did(?:n't| not)|have(?:n't| not)) (?:receive|get|(?:been )?(?:received|given|shown|sent|provided with)){_A}"
    rf" {_IMAGE}{_STOP}",
    rf"there(?:'s| is) no image (?:here|to (?:look at|see|view|describe|analy[sz]e)){_STOP}",
    r"you (?:have ?n[o']t|have not|did ?n[o']t|did not|forgot to) (?:actually )?"
    rf"(?:provide|attach|upload|share|sen[dt]|include|give)\w*{_A} {_IMAGE}\b",
    rf"{_IMAGE} (?:did ?n[o']t|did not|failed to|has not|hasn't|was not|wasn't|could not be|couldn't be) (?:been )?"
    r"(?:load|come through|upload|attach|provided)(?:ed)?\b",
)
_CANNOT_HELP = (
    rf"{_CANNOT} (?:assist|help|comply)(?: you| anyone)?(?:{_STOP}| (?:with|in|identify|further|to (?:do|identify))\b)",
    rf"{_CANNOT} (?:fulfil+|complete|process|carry out|(?:continue|engage|proceed) with|respond to){_A} {_REQUEST}",
    rf"{_CANNOT} (?:answer|discuss|address)(?:{_A} (?:\w+ )?{_REQUEST}\b| (?:that|this|it){_STOP})",
    rf"{_CANNOT} provide(?: you(?: with)?)?{_A} (?:\w+ )?(?:answer|information|description|response|detail|identif|help"
    r"|assist|analysis|caption)",
    rf"{_CANNOT} (?:do|perform) (?:that|this|so)(?: for you)?{_STOP}",
    rf"{_CANNOT} (?:identify|recogni[sz]e|name)(?:{_A}(?: real| private)? (?:people|persons?|individuals?|faces?)"
    rf"(?: (?:(?:(?:depicted |shown )?in|from){_A} {_IMAGE}|based on|by)\b|{_STOP})"
    rf"| (?:who|anyone)\b.{{0,40}}\b(?:in|from|based on){_A} {_IMAGE})",
    r"(?:against|violat\w+|breach\w*)(?: \w+){0,2} (?:guidelines?|polic(?:y|ies))\b",
    r"i (?:must|have to|need to|will have to|would have to) (?:respectfully |politely )?(?:decline|refuse)\b",
    r"i (?:refuse|decline) to (?:answer|identify|discuss|describe|help|assist)\b",
    r"i(?:'d| would) rather not (?:answer|discuss|identify|help)\b",
    rf"{_CANNOT} tell you who (?:that|this|these|those|he|she|they|the)\b",
    r"i(?:(?:'m| am) not| do(?:n't| not) feel) comfortable (?:with )?"
    r"(?:answer|identify|discuss|provid|help|describ)",
    r"(?:it is|it's) (?:not possible|impossible) for me to\b",
)
_REFUSAL = re.compile(rf"\b(?:{'|'.join((*_MACHINE, *_CANNOT_LOOK, *_SHOWN_NONE, *_CANNOT_HELP))})")
_SEEN = re.compile(
    r"^(?:there(?:'s| is| are)|i (?:can )?see|yes)\b[^.!?]{0,80}, but i can(?:no|')t see"
    r" (?:the|any) (?:picture|photo)s?\b"
    r"|\b(?:says?|saying|reads?|reading)[:,]? [\"'\u201c]?i\b[^.!?]*+"
)
"""What is seen in the image, or read there, and speaks like a refusal: `a sign that says I can't help`."""
_ABOUT = re.compile(
    r"image|picture|photo|visual|vision|attach|file|link|url|\bai\b|a\.i\.|artificial|language model|llm|chat ?bot"
    r"|assist|help|comply|request|task|question|quer|topic|answer|discuss|address|provide|\bdo |perform|identify"
    r"|recogni|name|guideline|polic|declin|refus|comfortable|for me to|capab|abilit|program|equipped|designed|trained"
    r"|text|upload|eyes|see |who "
)
"""What every refusal speaks of: most answers do not, and need no second look."""


def is_soft_refusal(text: str) -> bool:
    """Whether a text says that its speaker cannot look, help or answer, as chat models do.

    What people say of an image that they look at is none: "i can't tell", "cannot see his face", "sorry, no".
    """
    folded = " ".join(text.casefold().replace("\u2019", "'").replace("\u2018", "'").split())
    return _ABOUT.search(folded) is not None and _REFUSAL.search(_SEEN.sub(" ", folded)) is not None
