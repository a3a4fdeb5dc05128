"""What libraries show on a terminal is kept from it, where what matters of it is said in our words."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_READING = threading.RLock()  # so that what one reader finds is never what another has put out

# Warning filters are the process's: two threads that put back each other's would leave warnings off for good.
_FILTERS = threading.Lock()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Python's warnings are off within, for one thread at a time: Pillow's of photos, matplotlib's of letters."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def quiet_reading() -> Iterator[None]:
    """The libraries' own bars and notices are off within, for one reader at a time, and as they were found afterwards.

    What matters of them is raised or said in our words. Bars of downloads are the hub's, and stay.
    """
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    with _READING:
        libraries: tuple[Any, ...] = (of_diffusers, of_transformers)
        found = [(library._tqdm_active, library.get_verbosity()) for library in libraries]
        for library in libraries:
            library._tqdm_active = False  # disable_progress_bar() of transformers would put out the hub's bars too
            library.set_verbosity_error()
        try:
            yield
        finally:
            for library, (bars, verbosity) in zip(libraries, found, strict=True):
                library._tqdm_active = bars
                library.set_verbosity(verbosity)
