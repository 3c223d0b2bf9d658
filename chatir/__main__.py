"""`python -m chatir` is the `chatir` command."""

from chatir.cli import main

main()
