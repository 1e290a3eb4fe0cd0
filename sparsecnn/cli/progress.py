"""What a whole command is doing: one progress bar on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import contextlib
import sys


class Progress:
    """A bar on stderr that shows how much of a stage is behind; off a terminal, the stage's name.

    Parameters
    ----------
    command : str
        Whose stages they are; begins the lines.
    first : str
        What happens until the first stage; only the bar says it.
    quiet : bool
        Say nothing.
    """

    def __init__(self, command, first, quiet=False):
        self._command, self._first, self._quiet = command, first, quiet
        self._stack = contextlib.ExitStack()
        self._bar = self._task = self._text = None

    def __enter__(self):
        if sys.stderr.isatty() and not self._quiet:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            self._bar = self._stack.enter_context(bar)
            self._task = self._bar.add_task(self._first, total=1)
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def stage(self, text, done=0, total=1):
        """Show what is being done, and how much of it (``done`` of ``total``) is behind."""
        begins, self._text = text != self._text, text
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=done, total=total)
        elif begins and not self._quiet:
            print(f"sparsecnn {self._command}: {text}", file=sys.stderr, flush=True)

    def callback(self):
        """A scikit-learn callback that shows the estimator's own progress here."""
        return _FitProgress(self)


class _FitProgress:
    """scikit-learn's fit-callback protocol, shown on a ``Progress``."""

    def __init__(self, progress):
        self._progress = progress
        self._level = self._epochs = 0

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to release."""

    def on_fit_task_begin(self, estimator, context):
        """Count levels as they begin."""
        if context.task_name.startswith("level"):
            self._level, self._epochs = self._level + 1, 0
            self._show(context)

    def on_fit_task_end(self, estimator, context):
        """Advance by one epoch."""
        if context.task_name.startswith("epoch"):
            self._epochs += 1
            self._show(context.parent)

    def _show(self, level):
        self._progress.stage(f"learning level {self._level}", self._epochs, level.max_subtasks)
