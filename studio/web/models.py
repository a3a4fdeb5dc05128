"""The models that a page offers; each is loaded when it is first asked for, and shared by all visitors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from backbones.backbone import Backbone
from backbones.errors import EditRealError
from backbones.loading import load_backbone
from editing.editor import Editor
from studio.limits import say_limits


class Models:
    """Editors by the name of their model, the first of which is the default.

    Args:
        names: `bundled`, folders or hub ids.
        load: Makes a backbone of a name.
    """

    def __init__(self, names: Sequence[str], load: Callable[[str], Backbone] = load_backbone) -> None:
        self.names, self._load = tuple(dict.fromkeys(names)), load
        self._editors: dict[str, Editor] = {}
        self._locks = {name: threading.Lock() for name in self.names}  # while one loads, the others go on

    def editor(self, name: str) -> Editor:
        """The editor of a model.

        Raises:
            EditRealError: A name that was not given at the start, or a model that cannot be loaded.
        """
        if name not in self.names:
            raise EditRealError(f"expected a model among {', '.join(self.names)}, got {name!r}")
        with self._locks[name]:
            if name not in self._editors:
                self._editors[name] = Editor(self._load(name))
            return self._editors[name]

    def limits(self, name: str) -> str:
        """What the model can and cannot do, in a sentence or two."""
        return say_limits(self.editor(name).backbone)

    @staticmethod
    def title(name: str) -> str:
        """What a visitor reads instead of a path on the server."""
        return "bundled" if name == "bundled" else Path(name).name or name
