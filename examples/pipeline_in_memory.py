"""Edit with a pipeline of diffusers that is in memory already, and a LoRA on it.

    python examples/pipeline_in_memory.py --out out/examples --model FOLDER_OR_HUB_ID --lora FILE

Whatever is in the pipeline takes part: LoRAs, textual inversions, other schedulers. Without options the bundled model
is taken, which is a pipeline of diffusers like others.
"""

from pathlib import Path
from typing import Annotated

import typer
from diffusers import DiffusionPipeline
from sklearn.datasets import load_sample_image

from backbones import load_backbone
from backbones.hub import BUNDLED_FOLDER
from editing import Editor


def main(
    out: Path = Path("out/examples"),
    model: Annotated[str, typer.Option(help="a folder or a hub id")] = str(BUNDLED_FOLDER),
    lora: Annotated[Path | None, typer.Option(help="a file of LoRA weights in safetensors")] = None,
    steps: int = 20,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    pipeline = DiffusionPipeline.from_pretrained(model)
    if lora is not None:
        pipeline.load_lora_weights(lora.parent, weight_name=lora.name)
    editor = Editor(load_backbone(pipeline), progress=True)
    trajectory = editor.invert(load_sample_image("flower.jpg"), "a photo of an orange flower", steps=steps)
    editor.edit(trajectory, "a photo of a pink flower").sheet().save(out / "pipeline_in_memory.png")


if __name__ == "__main__":
    typer.run(main)
