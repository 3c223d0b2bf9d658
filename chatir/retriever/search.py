"""A search: a retriever, the corpus that it searches in, and the index of it, made when it is first needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from chatir.console import note, shown_progress
from chatir.datasets.data_folder import default_corpus, default_images
from chatir.errors import InterruptedRunError
from chatir.plugins import Context, build, parse_options
from chatir.retriever.index.corpus import read_corpus_list
from chatir.retriever.index.corpus_folder import folder_images
from chatir.retriever.retriever import Identity, checked_retriever

if TYPE_CHECKING:
    from chatir.dialog import Dialog
    from chatir.retriever.index.corpus import Corpus
    from chatir.retriever.ranking.stop_on_hit import StopOnHit
    from chatir.retriever.retriever import Retriever
    from chatir.retriever.score import ScoredFile


def corpus_root(corpus: Path | None, images: Path | None) -> Path | None:
    """The folder of images that was named: as `--images`, else as `--corpus`; None for neither."""
    return corpus if images is None and corpus is not None and corpus.is_dir() else images


def corpus_list(corpus: Path | None, root: Path | None) -> Sequence[str]:
    """The images of a corpus: those in a folder, which is in `root`, or of a list, by default the released one.

    Raises InputError.
    """
    if corpus is not None and root is not None and corpus.is_dir():
        return folder_images(corpus, root, note)
    return read_corpus_list(corpus or default_corpus())


@dataclass(frozen=True)
class Search:
    """A retriever and the images that it searches in.

    root: their folder, if the user named one, as --images or as the corpus. typed: the options that name all this, as a
    command line has them.
    """

    retriever: Retriever
    images: Sequence[str]
    root: Path | None
    on_broken: str
    typed: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, options: Sequence[str], corpus: Path | None, images: Path | None, on_broken: str) -> Search:
        """Make it of what was typed; nothing is loaded or encoded yet. Raises InputError."""
        root = corpus_root(corpus, images)
        context = Context(root or default_images(), None, note)
        retriever = checked_retriever(build("retrievers", name, parse_options(options, "-r"), context))
        typed = ["--retriever", name, *(word for option in options for word in ("-r", option))]
        for option, path in (("--corpus", corpus), ("--images", images)):
            typed += [] if path is None else [option, str(path)]
        typed += [] if on_broken == "fail" else ["--on-broken", on_broken]
        return cls(retriever, corpus_list(corpus, root), root, on_broken, tuple(typed))

    @property
    def identity(self) -> Identity:
        """What of the retriever fixes its vectors."""
        return Identity.of(self.retriever)

    def close(self) -> None:
        """Let the retriever go."""
        try:
            getattr(self.retriever, "close", lambda: None)()
        except Exception as error:  # all is done that it was needed for
            note(f"the retriever did not close well: {type(error).__name__}: {error}")

    def check_list(self, dialogs: Sequence[Dialog], owner: str) -> None:
        """Raise InputError if some targets are not in the list of the corpus; `owner` is whose they are."""
        from chatir.retriever.ranking.ranked_dialogs import check_targets

        check_targets(dialogs, self.images, owner)

    def check_corpus(self, dialogs: Sequence[Dialog], owner: str) -> None:
        """Raise InputError if some targets have no vector, or the retriever cannot rank a caption.

        The index is made first, where need be.
        """
        from chatir.retriever.ranking.ranked_dialogs import check_targets, ranked

        self.check_list(dialogs, owner)
        check_targets(dialogs, self.corpus.images, owner, left_out=self.corpus.left_out)
        list(ranked([replace(dialogs[0], rounds=())], self.retriever, self.corpus))

    @cached_property
    def corpus(self) -> Corpus:
        """The images' vectors: from their index, which is made or completed where need be. Raises InputError."""
        from chatir.retriever.index.lookup import open_corpus

        with shown_progress(sys.stderr) as report:
            return open_corpus(
                self.retriever, self.images, self.root, on_broken=self.on_broken, report=report, note=note
            )

    def observer(self, k: int) -> StopOnHit:
        """What stops a dialog once its target is ranked k or better."""
        from chatir.retriever.ranking.stop_on_hit import StopOnHit

        return StopOnHit(self.retriever, self.corpus, k)

    def score(self, file: Path, run_file: Path | None) -> ScoredFile:
        """Rank the targets of a dialogue file, and keep the ranks. Raises InterruptedRunError at Ctrl-C."""
        from chatir.retriever.score import score

        try:
            corpus = self.corpus
            with shown_progress(sys.stderr) as report:
                return score(
                    file, self.retriever, corpus, run_file=run_file, typed=self.typed, report=report, note=note
                )
        except KeyboardInterrupt:
            raise InterruptedRunError("interrupted: what was ranked is kept; the same command goes on") from None
