"""Who does the work: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from studio.batch.outcome import Outcome
from studio.batch.ray_engine import edit_on_ray
from studio.batch.work import Group, Setup, at_desk, edit_groups
from studio.batch.workers import default_workers, edit_with_processes


@dataclass(frozen=True)
class Machines:
    """How many work, and where.

    Attributes:
        workers: Processes; None is as many as suit the machine, or the cluster.
        address: Of a cluster; None starts one here.
    """

    workers: int | None = None
    address: str | None = None


def on_this_machine(groups: Sequence[Group], setup: Setup, machines: Machines) -> Generator[Outcome, None, None]:
    """One process for each core or graphics card, without anything else to install."""
    workers = machines.workers or default_workers(setup.model, setup.device, setup.threads)
    if min(workers, len(groups)) > 1:
        yield from edit_with_processes(groups, setup, workers)
        return
    with at_desk(setup) as desk:
        yield from edit_groups(desk, groups)


def on_ray(groups: Sequence[Group], setup: Setup, machines: Machines) -> Generator[Outcome, None, None]:
    """Ray Data, on this machine or on a cluster at an address."""
    yield from edit_on_ray(groups, setup, machines.workers, machines.address)


Engine = Callable[[Sequence[Group], Setup, Machines], Generator[Outcome, None, None]]
"""`(groups, setup, machines)` to the outcome of every row, in any order, at least once.

Closed early, it has ended what it started.
"""

ENGINES: dict[str, Engine] = {"local": on_this_machine, "ray": on_ray}
"""By the name that `--engine` has for it."""
