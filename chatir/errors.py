"""The errors that a user is meant to read, with the exit code that each one means."""

GOES_ON = "the same command goes on"
"""How a run that ended early is continued."""


class ChatirError(Exception):
    """A condition told to the user in one line, never as a traceback.

    A player that raises one stops its run (everything committed is kept); to fail one dialog only, it
    returns `Reply.failed`.
    """

    exit_code = 1


class InputError(ChatirError):
    """Wrong use or bad input: the message names the file, the place, the value and the way out."""

    exit_code = 2


class PlayerError(InputError):
    """A method of a player raised an exception, which is the cause of this error."""


class StoppedRunError(ChatirError):
    """The run was stopped early (cost limit, exhausted quota, a GPU that failed); everything answered so far is saved.

    goes_on: what makes the run go on, for the user to read; empty if the message says so.
    """

    exit_code = 3

    def __init__(self, message: str, goes_on: str = GOES_ON) -> None:
        super().__init__(message)
        self.goes_on = goes_on


class InterruptedRunError(ChatirError):
    """The run was interrupted; everything answered so far is saved."""

    exit_code = 130
