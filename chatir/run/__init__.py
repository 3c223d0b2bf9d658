"""The run file, the truth of a run: `X.run`, a SQLite database beside the dialogue file `X.json`.

It holds everything that fixes the run's result, every dialog and every reply as it came, on what it was played, and the
ranks of its targets. `simulate` writes it as it goes, and `score` adds ranks to it, or makes one for a dialogue file
from elsewhere; `compare` and `export` read it.
"""
