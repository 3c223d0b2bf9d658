"""The signals that end a command early, with everything saved."""

from __future__ import annotations

import signal


def stopping_signals() -> list[signal.Signals]:
    """Ctrl-C, a request to end, and a closed terminal, unless `nohup` means that it does not end the command."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    return numbers if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*numbers, signal.SIGHUP]
