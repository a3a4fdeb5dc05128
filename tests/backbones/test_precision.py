import pytest
import torch

from backbones.precision import finest, on_device


def test_apples_gpus_have_no_float64() -> None:
    formats = [finest(torch.device(name)) for name in ("cpu", "cuda", "mps")]
    assert formats == [torch.float64, torch.float64, torch.float32]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_only_float64_is_given_up_and_only_where_it_has_to_be(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    tensor = torch.arange(4, dtype=dtype)
    assert on_device(tensor, torch.device("meta")).dtype == dtype
    monkeypatch.setattr("backbones.precision.WITHOUT_FLOAT64", ("meta",))
    moved = on_device(tensor, torch.device("meta"))
    assert moved.device.type == "meta" and moved.dtype == (torch.float32 if dtype == torch.float64 else dtype)
