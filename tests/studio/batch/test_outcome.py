from __future__ import annotations

import cv2
import pytest
import torch

from backbones.errors import EditRealError
from studio.batch.outcome import DeviceError, StoppedError, failed

SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("MPS backend out of memory"),
    MemoryError(),
    cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 800 bytes"),
]


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_a_row_that_memory_was_short_for_is_tried_again(error: Exception) -> None:
    outcome = failed(7, "key", error)
    assert outcome.key is None and "needs more memory than is free" in outcome.reason


@pytest.mark.parametrize(
    "error",
    [EditRealError("no words"), RuntimeError("sizes differ"), cv2.error("(-215:Assertion failed)"), KeyError("memory")],
    ids=str,
)
def test_what_is_the_rows_own_is_remembered(error: Exception) -> None:
    assert failed(7, "key", error).key == "key"


def test_a_card_that_fails_a_process_is_no_fault_of_a_row() -> None:
    with pytest.raises(DeviceError, match=r"failed at row 7 \(CUDA error: an illegal memory access"):
        failed(7, "key", RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors ..."))
    assert issubclass(DeviceError, StoppedError)
