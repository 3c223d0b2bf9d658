"""`echo`: asks the same question in every round."""

from pydantic import BaseModel, Field

from chatir import Reply
from chatir.plugins import Context


class Options(BaseModel):
    word: str = "echo"
    times: int = Field(default=1, ge=1)
    loud: bool = False


class Echo:
    def __init__(self, options: Options, context: Context) -> None:
        self.config = options.model_dump()
        self.text = " ".join([options.word] * options.times) + "?"
        context.progress(f"echo says {self.text}")

    def ask(self, dialogs):
        return [Reply(self.text) for dialog in dialogs]


class Plain:
    def ask(self, dialogs):
        return [Reply("is it?") for dialog in dialogs]


def parrot(context: Context):
    class Parrot:
        name = "Parrot"

        async def answer(self, dialogs, questions):
            return [Reply(f"{question.removesuffix('?')} indeed") for question in questions]

    return Parrot()


class Swapped:
    """Its factory names its parameters in another order."""

    name = "Echo"

    def __init__(self, context: Context, options: Options) -> None:
        self.config = options.model_dump()
        self.text = f"{options.word}?"
        context.progress("swapped")

    ask = Echo.ask


def failing():
    raise ValueError("no weights there")


def leaving():
    raise SystemExit(3)
