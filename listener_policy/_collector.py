"""Loading with the garbage collector at rest.

The collector starts anew whenever some hundreds of objects have been made, and now and then looks
at all that there are. Loading makes millions of objects that stay, and hardly a cycle: what the
collector does meanwhile is in vain, and it is most of the time that parsing a large document takes
(of 100,000 entries, `tomli.loads` alone needs 2.7 times as long with it).
"""

from __future__ import annotations

import gc
from threading import Lock
from typing import Final, final

__all__ = ["COLLECTOR_PAUSED"]

_NEVER: Final = 2**31 - 1
"""More objects than any process makes between two collections, and a number that nobody chooses."""


@final
class _Pause:
    """A context in which the collector does not start by itself; `gc.collect` still works.

    What is set for it is its first threshold, so that `gc.enable` and `gc.disable`, which others
    may call meanwhile, do what they always do, and stay done. Thresholds that others set meanwhile
    end the pause, and stay too. Otherwise the last context to be left, be it in another thread,
    restores the thresholds that the first has found. (A process that is forked while another
    thread loads begins with the pause, and nobody ends it there.)
    """

    __slots__ = ("_entered", "_found", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._entered = 0
        self._found = gc.get_threshold()

    def __enter__(self) -> None:
        with self._lock:
            if not self._entered:
                self._found = gc.get_threshold()
                gc.set_threshold(_NEVER, *self._found[1:])
            self._entered += 1

    def __exit__(self, *_raised: object) -> None:
        with self._lock:
            self._entered -= 1
            if not self._entered and gc.get_threshold()[0] == _NEVER:
                gc.set_threshold(*self._found)


COLLECTOR_PAUSED: Final = _Pause()
"""`with COLLECTOR_PAUSED:` around a call that loads; contexts within one another are fine."""
