"""Counting memory on torch's meta device, where tensors have shapes and no values."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

META = torch.device("meta")
ATEN = torch.ops.aten
VALUES = (ATEN._local_scalar_dense.default, ATEN.equal.default)
"""What looks at a tensor's values."""


@dataclass
class Peak:
    """The most that was held at once, in bytes, once the stretch is over."""

    bytes: int = 0


class LiveTensors(TorchDispatchMode):
    """Counts the storages of meta tensors that are made under it, for as long as each is held.

    Whatever asks a meta tensor for its values gets ones, and equal shapes are equal, so that code which looks at
    some of its results runs as it is.
    """

    def __init__(self, apart: Iterable[torch.Tensor] = ()) -> None:
        """`apart` are tensors that are not counted, nor are their views; somebody holds them all the while."""
        super().__init__()
        self.now = self._peak = 0
        self.asked: list[str] = []  # what made values leave the device or come to it, on which a real device would wait
        self._seen = {tensor.untyped_storage()._cdata for tensor in apart}

    @contextmanager
    def peak(self) -> Iterator[Peak]:
        """The most that is held within a stretch, with what was held before it."""
        found, self._peak = Peak(), self.now
        yield found
        found.bytes = self._peak

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        asked = first if first is not None and first.device == META else None
        to = (kwargs or {}).get("device")
        moved = first is not None and to is not None and (torch.device(to) == META) != (first.device == META)
        if moved or (asked is not None and func in VALUES):
            self.asked.append(str(func))
        if asked is not None and func == ATEN._local_scalar_dense.default:
            return torch.ones((), dtype=asked.dtype).item()
        if asked is not None and func == ATEN.equal.default:
            return True
        if asked is not None and func == ATEN._to_copy.default and moved:
            return torch.ones(asked.shape, dtype=(kwargs or {}).get("dtype") or asked.dtype)
        result = func(*args, **(kwargs or {}))
        for one in tree_iter(result):
            if isinstance(one, torch.Tensor) and one.device == META:
                self._hold(one.untyped_storage())
        return result

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self._peak = max(self._peak, self.now)
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


class FusedAttention(TorchFunctionMode):
    """Attention as a fused kernel computes it: nothing is stored but its result, in training too.

    On the meta device torch would lay out the probabilities, which no fused kernel does.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, key, value = (*args, *(kwargs or {}).values())[:3]
            return _Attended.apply(query, key, value)
        return func(*args, **(kwargs or {}))


class _Attended(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        attended = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, attended)
        return attended

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, ...]:
        query, key, value, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


@contextmanager
def live_tensors(apart: Iterable[torch.Tensor] = ()) -> Iterator[LiveTensors]:
    """Code within runs on meta tensors, with fused attention, and is counted beside the tensors `apart`."""
    with ExitStack() as modes:
        modes.enter_context(FusedAttention())
        yield modes.enter_context(LiveTensors(apart))
