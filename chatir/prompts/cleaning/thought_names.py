"""What the name of a mark says: whether `<seed:think>` or `[/THINK]` begins a thought, ends one, or neither."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal

Kind = Literal["", "thought", "answer", "question"]

_THOUGHTS = """
think thinks thinking thought thoughts reason reasons reasoning reasonings analysis analyses analyze analyse analyzing
analysing reflect reflection reflections reflecting scratchpad cot rationale rationales monolog monologue ponder
pondering deliberate deliberation brainstorm brainstorming contemplate contemplation introspection planning
pensamiento pensamientos pensar pensando pensamento pensamentos pensee pensees pensiero pensieri
razonamiento raciocinio raisonnement ragionamento reflexion reflexions reflexao riflessione analisis analise analisi
analiza gedanke gedanken denken denkprozess nachdenken uberlegung uberlegungen begrundung redenering gedachte gedachten
mysl mysli myslenie rozumowanie dusunce dusunme pemikiran berpikir мысль мысли мышление размышление размышления
рассуждение рассуждения анализ думаю думки роздуми تفكير
"""
"""Words for a thought, in lower case and without accents."""
_ANSWERS = """
answer answers response responses reply final solution output result conclusion
respuesta resposta reponse antwort risposta odpowiedz cevap jawaban ответ
"""
_QUESTIONS = """
question questions query pregunta pergunta frage domanda pytanie вопрос
"""
_CLOSING = """
end ends ended ending stop stops close closes closed closing finish finished done over complete completed exit
fin fim fine ende koniec конец
"""
_FILLERS = """
begin begins start starts open of the my your our a in internal inner hidden private deep process block step steps mode
out loud short next new for and section phase chain part full model assistant ai text time
"""
"""Words that may stand beside the others where spaces are between them: `[BEGIN FINAL RESPONSE]`."""
_OTHERS = """
user human tool function api system code search previous original
"""
"""Whose question or response is meant, if not the speaker's: `<tool_response>`."""

_BORDERS = "begin|start|end|stop|close|open"


def _named(words: str, inside: str) -> re.Pattern[str]:
    """What matches a word of a list, also grown together with others (`endthinking`), or one with an inside in it.

    inside: the same words in scripts that put no space between words.
    """
    return re.compile(
        rf"(?P<before>{_BORDERS})?(?:inner|deep|my|self|chainof)?(?:{'|'.join(words.split())})"
        rf"(?:process|blocks?|tags?|content|mode|steps?|text|trace)?(?P<after>{_BORDERS})?|.*(?:{inside}).*"
    )


_NAMED: dict[Kind, re.Pattern[str]] = {
    "thought": _named(
        _THOUGHTS, "思考|思维|思維|思索|推理|推論|推论|分析|反思|考え|考察|内心|想法|独白|생각|추론|사고|분석"
    ),
    "question": _named(_QUESTIONS, "问题|問題|提问|质问|質問|질문"),
    "answer": _named(_ANSWERS, "答案|答え|回答|解答|回复|回應|最终|最終|답변|대답|정답"),
}
_CLOSES = re.compile(rf"{'|'.join(_CLOSING.split())}|.*(?:结束|結束|终了|終了|終わり|完|끝|종료).*")

_BODY = re.compile(r"\s*(?P<slash>[/\\]?)\s*(?P<name>[^\W\d][\w:.\u2581-]*+)(?P<rest>.*?)(?P<last>[/\\]?)\s*")
_FILLER, _OTHER = frozenset(_FILLERS.split()), frozenset(_OTHERS.split())
_ATTRIBUTE = re.compile(r"""([\w:-]{1,40})\s?=\s?(?:"([^"]*)"|'([^']*)'|([^\s"'=]+))""")
_TELLING = ("type", "class", "name", "kind", "role", "id", "category", "label", "channel")
"""Attributes whose value says what an element holds: `<details type="reasoning">`."""


@lru_cache(maxsize=1024)
def read_mark(body: str) -> tuple[Kind, str, str]:
    """What stands between the brackets of a mark: what it is about, its slash, and its name where attributes say it.

    The slash is `/` for a mark that closes by a slash before its name or by a word, `.` for one that ends in a slash,
    else empty. The name is empty unless an attribute, not the name, speaks of thoughts.
    """
    found = _BODY.fullmatch(body)
    if not found:
        return "", "", ""
    words, rest = _words(found["name"]), found["rest"].strip()
    told = [*_ATTRIBUTE.finditer(rest)]
    if rest and not told:
        words += _words(rest)
        if not all(word in _FILLER or _CLOSES.fullmatch(word) or _kind([word]) for word in words):
            return "", "", ""
    closes = bool(found["slash"]) or any(map(_ends, words))
    slash = "/" if closes else "." if found["last"] else ""
    if kind := _kind(words):
        return kind, slash, ""
    for one in told:
        value = _words(one[2] or one[3] or one[4] or "")
        if one[1].lower() in _TELLING and len(value) <= 3 and _kind(value) == "thought":
            return "thought", slash, found["name"].lower()
    return "", slash, found["name"].lower()


def speaks_of_thoughts(text: str) -> bool:
    """Whether a short text holds a word for a thought: `Thought for 5 seconds`."""
    return _kind(_words(text)) == "thought"


def _words(name: str) -> list[str]:
    """The words of an identifier, case-folded and without accents."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", apart.casefold()) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", plain))


def _kind(words: list[str]) -> Kind:
    if any(map(_NAMED["thought"].fullmatch, words)):
        return "thought"
    if _OTHER.intersection(words):
        return ""
    if any(map(_NAMED["question"].fullmatch, words)):
        return "question"
    boxed = "box" in words and "of" in words  # a box alone is a place in the image
    return "answer" if boxed or any(map(_NAMED["answer"].fullmatch, words)) else ""


def _ends(word: str) -> bool:
    if _CLOSES.fullmatch(word):
        return True
    found = next(filter(None, (named.fullmatch(word) for named in _NAMED.values())), None)
    return found is not None and not {found["before"], found["after"]}.isdisjoint(("end", "stop", "close"))
