"""What the demo prints: steps with the seconds since the start, and checks."""

import sys
import time


class StepError(Exception):
    """A check of the demo failed; the message names the check and the observed value."""


class Output:
    """Prints the steps of the demo with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, text: str = "") -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def step(self, text: str) -> None:
        """Print the title of the next step."""
        self.say(f"\n[{time.monotonic() - self._began:5.1f} s] {text}")

    def check(self, text: str, *, holds: bool, seen: object = "") -> None:
        """Print a check that holds; raise StepError if it does not."""
        if not holds:
            raise StepError(f"check failed: {text}{f'; observed: {seen}' if seen != '' else ''}")
        self.say(f"          ok: {text}")
