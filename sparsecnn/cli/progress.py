"""One progress bar on stderr for a whole command."""

from __future__ import annotations

import contextlib
import sys


class Progress:
    """One bar on stderr; silent where stderr is no terminal."""

    def __init__(self, quiet=False):
        self._quiet = quiet or not sys.stderr.isatty()
        self._stack = contextlib.ExitStack()
        self._bar = self._task = None

    def __enter__(self):
        if not self._quiet:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            self._bar = self._stack.enter_context(bar)
            self._task = self._bar.add_task("starting", total=1)
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def stage(self, text, done, total):
        """Show what is being done, and how much of it is behind."""
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=done, total=total)

    def callback(self):
        """A scikit-learn callback that shows the estimator's own progress on this bar."""
        return _FitProgress(self)


class _FitProgress:
    """scikit-learn's fit-callback protocol, shown on a ``Progress``."""

    def __init__(self, progress):
        self._progress = progress
        self._level = 0
        self._epochs = 0

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to release."""

    def on_fit_task_begin(self, estimator, context):
        """Count levels as they begin."""
        if context.task_name.startswith("level"):
            self._level, self._epochs = self._level + 1, 0

    def on_fit_task_end(self, estimator, context):
        """Advance by one epoch."""
        if context.task_name.startswith("epoch"):
            self._epochs += 1
            self._progress.stage(
                f"learning level {self._level}", self._epochs, context.parent.max_subtasks
            )
