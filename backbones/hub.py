"""Where a model's folder is: in this package, at a path, or on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from backbones.errors import EditRealError
from backbones.paths import expanded

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
UNREACHABLE = (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError)
_PLAIN = ("json", "txt", "model")  # endings of configurations and tokenizers


def find_folder(model: str, variant: str | None = None, check: Callable[[Path], object] | None = None) -> Path:
    """The folder that holds the model, downloading it from the hub where it is no folder here.

    Args:
        model: `bundled`, a folder or a hub id.
        variant: Of the weights to download.
        check: Called with a folder that holds `model_index.json`, before all the rest is fetched.

    Raises:
        EditRealError: There is none, it is no pipeline, or the hub cannot be reached.
    """
    folder = BUNDLED_FOLDER if model == "bundled" else expanded(model)
    if folder.is_dir():
        return check_index(folder)
    if model == "bundled":
        raise EditRealError(f"expected the bundled model at {folder}, got no such folder; reinstall edit-real")
    ends = [*_PLAIN, "safetensors" if variant is None else f"{variant}*safetensors"]
    other = [] if variant else ["*.fp16*.safetensors", "*.non_ema*.safetensors", "*.ema*.safetensors"]
    try:
        index = Path(snapshot_download(model, allow_patterns=["model_index.json"]))
        if check:
            check(check_index(index))
        return Path(
            snapshot_download(
                model,
                allow_patterns=["model_index.json", *(f"*/*.{end}" for end in ends)],
                ignore_patterns=[*other, "safety_checker/*", "feature_extractor/*"],
            )
        )
    except EditRealError:
        raise
    except UNREACHABLE as error:
        raise EditRealError(
            f"expected 'bundled', a folder, a .safetensors file or a reachable model on the Hugging Face hub, got "
            f"{model!r}, which is nothing here and could not be downloaded; check the name and the network"
        ) from error


def find_configs(model: str) -> Path | None:
    """A folder of a model's configurations and tokenizers without its weights, or None where there is none to be had.

    What was downloaded before is taken first, so that nothing is asked of the network again.
    """
    patterns = [f"{start}*.{end}" for end in _PLAIN for start in ("", "*/")]
    for only_here in (True, False):
        try:
            folder = Path(snapshot_download(model, allow_patterns=patterns, local_files_only=only_here))
        except UNREACHABLE:
            continue
        if (folder / "model_index.json").is_file():
            return folder
    return None


def check_index(folder: Path) -> Path:
    """The folder itself, if it is a pipeline's.

    Raises:
        EditRealError: It is none.
    """
    if not (folder / "model_index.json").is_file():
        raise EditRealError(f"expected a diffusers pipeline folder at {folder}, got one without model_index.json")
    return folder
