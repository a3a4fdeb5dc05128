"""A Ray cluster: paths travel out, small outcomes come back, and whoever edits a row writes it."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from backbones.errors import EditRealError
from backbones.paths import expanded
from backbones.reading import reason_of
from studio.batch.outcome import Outcome, StoppedError
from studio.batch.store import folder_of
from studio.batch.work import Desk, Group, Setup, at_desk, edit_groups

GROUPS = 4  # in a batch; each is read while the model works on the one before
MOST_BLOCKS = 4096  # in which the rows travel
STORE = 128 << 20  # bytes of shared memory of a cluster of one machine; rows are small
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}


class RayEditor:
    """What runs on a cluster: a model that is loaded once, and edits batches of groups."""

    def __init__(self, setup: Setup) -> None:
        self._open = ExitStack()
        self._desk: Desk | None = None
        self._error: EditRealError | None = None
        try:
            self._desk = self._open.enter_context(at_desk(setup))
        except EditRealError as error:  # raised in here, Ray would start the actor again and again
            self._error = error

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """Pickled groups in, pickled outcomes or one error out."""
        try:
            if self._desk is None:
                raise self._error or EditRealError("expected a model, got none")
            groups = (pickle.loads(group) for group in batch["group"])
            told: list[Outcome | EditRealError] = list(edit_groups(self._desk, groups))
        except EditRealError as error:
            told = [error]
        return {"told": [pickle.dumps(one) for one in told]}


def edit_on_ray(
    groups: Sequence[Group], setup: Setup, workers: int | None = None, address: str | None = None
) -> Iterator[Outcome]:
    """The outcome of every row, from an actor for each graphics card, or for each `setup.threads` processors.

    Ray runs batches again whose actor or machine was lost; rows of theirs that are there already are left as they are.

    Args:
        groups: Of jobs, whose paths every machine must see.
        setup: Of the run; its folder must be seen by every machine too.
        workers: How many actors; None fills the cluster.
        address: Of a cluster; None starts one on this machine.

    Raises:
        StoppedError: No further row can be written, or Ray gives up.
        EditRealError: Ray, the cluster, the model or the results' folder cannot be used.
    """
    with _cluster(address) as ray:
        cards = int(ray.cluster_resources().get("GPU", 0)) if setup.device != "cpu" else 0
        share = {"num_gpus": 1} if cards else {"num_cpus": setup.threads}
        fitting = cards or int(ray.cluster_resources().get("CPU", 1)) // setup.threads
        size = max(1, min(workers or fitting, len(groups)))
        rows = ray.data.from_items(
            [{"group": pickle.dumps(group)} for group in groups],
            override_num_blocks=max(1, min(MOST_BLOCKS, -(-len(groups) // GROUPS))),
        )
        told = rows.map_batches(
            RayEditor,
            fn_constructor_args=(from_anywhere(setup),),
            batch_size=GROUPS,
            compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
            **share,
        )
        for row in told.iter_rows():
            one = pickle.loads(row["told"])
            if isinstance(one, EditRealError):
                raise one
            yield one


def from_anywhere(setup: Setup) -> Setup:
    """The same with absolute paths, since the processes of a cluster stand in other folders."""
    folder, model = folder_of(setup.out), expanded(setup.model)
    out = setup.out if folder is None else str(folder.absolute())
    here = setup.model != "bundled" and model.exists()
    return replace(setup, out=out, model=str(model.absolute()) if here else setup.model)


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected or started: without statistics, a dashboard, or words of its own."""
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        ray = _import_ray()
        own = {"include_dashboard": False, "object_store_memory": STORE} if address is None else {}
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="error", **own)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            place = address or "this machine"
            raise EditRealError(f"expected a Ray cluster at {place}, got none ({error}); check the address") from error
        try:
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            yield ray
        except ray.exceptions.RayError as error:
            raise StoppedError(f"the Ray cluster gave up ({reason_of(error)}); see to its machines") from error
        finally:
            ray.shutdown()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EditRealError(
            "expected Ray for --engine ray, got none; pip install 'edit-real[batch]', or leave the engine out"
        ) from error
    return ray
