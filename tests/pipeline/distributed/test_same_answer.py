"""The same model from one process, two, three or six, over every kind of placement."""

import multiprocessing
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import start_processes

from pipeline.distributed.placement import plan
from tests.helpers.fits import assert_same, distance
from tests.helpers.models import model, square, start, train
from vae.fit import fit
from vae.modelfile import load_checkpoint, save_checkpoint
from vae.stack import TrainingState
from vae.step import Replica

COMPONENTS = ("red", "green", "blue")
PLACEMENTS = (1, 2, 3, 6)  # ranks: a stack of three, two and one, three alone, three times two replicas
MODEL = model(latent=8, hidden=(64, 48))
# 180 steps; replicas get 24 and 25 images of a batch.
TRAIN = train(epochs=15, batch_size=49)
# All that may be switched on, in fewer steps.
FULL_MODEL = model(
    latent=8, hidden=(64, 48), activation="gelu", likelihood="gaussian", centred=True, shortcut=True
)

pytestmark = pytest.mark.slow

FULL_TRAIN = train(epochs=4, batch_size=49, warmup=9, decay="cosine", kl_warmup=20, samples=2, shift=1)


def pictures() -> torch.Tensor:
    """Smooth grey images, (3, 600, 256) uint8, the same in every process."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 600, 4, 4, generator=draw)
    return (torch.nn.functional.interpolate(coarse, 16) * 255).to(torch.uint8).flatten(2)


def train_share(ranks: int, group: dist.ProcessGroup | None, full: bool) -> list[TrainingState]:
    """What this process trains of a placement."""
    share = plan(COMPONENTS, ranks).assignments[dist.get_rank()]
    stack = [COMPONENTS.index(c) for c in share.components]
    config, schedule = (FULL_MODEL, FULL_TRAIN) if full else (MODEL, TRAIN)
    states = [start(c, square(16), config, schedule.seed) for c in share.components]
    replica = Replica(share.replica, share.replicas, group)
    *_, end = fit(pictures()[stack], states, schedule, replica=replica)
    return end.states()


def every_placement(rank: int, world: int, port: int, folder: str) -> None:
    """Runs in each of six processes, of which a smaller placement uses the first."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    groups = [dist.new_group(ranks) for ranks in plan(COMPONENTS, 6).replica_ranks()]
    for ranks in PLACEMENTS:
        for name in ("first", "again", "full") if rank < ranks else ():
            group = groups[rank % 3] if ranks == 6 else None
            for state in train_share(ranks, group, full=name == "full"):
                save_checkpoint(Path(folder) / f"{ranks}-{name}-{rank}-{state.component}", state)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Forks of a process that has loaded torch, and nothing of this one.
    multiprocessing.set_forkserver_preload(["vae.fit", "vae.modelfile"])
    start_processes(every_placement, (6, port, str(folder)), 6, start_method="forkserver")
    return folder


def of(folder: Path, pattern: str) -> list[TrainingState]:
    return [load_checkpoint(path) for path in sorted(folder.glob(pattern))]


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("ranks", PLACEMENTS[1:])
def test_placement_never_changes_the_answer(trained: Path, ranks: int, component: str) -> None:
    [reference] = of(trained, f"1-first-*-{component}")
    assert reference.steps == 180
    models = of(trained, f"{ranks}-first-*-{component}")
    assert len(models) == (2 if ranks == 6 else 1)
    for one in models:
        assert distance(one, reference) <= 1e-4
        assert one.history[-1].cost == pytest.approx(reference.history[-1].cost, abs=1e-3)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("ranks", PLACEMENTS[1:])
def test_nor_with_every_option(trained: Path, ranks: int, component: str) -> None:
    [reference] = of(trained, f"1-full-*-{component}")
    for found in of(trained, f"{ranks}-full-*-{component}"):
        assert distance(found, reference) <= 1e-4


@pytest.mark.parametrize("ranks", PLACEMENTS)
def test_the_same_placement_twice_is_bit_identical(trained: Path, ranks: int) -> None:
    first, second = (of(trained, f"{ranks}-{name}-*") for name in ("first", "again"))
    assert len(first) == max(3, ranks)
    for a, b in zip(first, second, strict=True):
        assert_same(a, b)


def test_replicas_of_a_model_are_bit_identical(trained: Path) -> None:
    for component in COMPONENTS:
        assert_same(*of(trained, f"6-first-*-{component}"))


@pytest.mark.parametrize(
    ("before", "after"),
    [([["red"], ["green"], ["blue"]], [["red", "green", "blue"]]), ([["red", "green", "blue"]], [["green"]])],
)
def test_a_run_goes_on_with_another_number_of_ranks(
    trained: Path, before: list[list[str]], after: list[list[str]]
) -> None:
    """Half of the epochs as three stacks and half as one, or the other way round."""
    half = {s.component: s for stack in before for s in stepped([fresh(c) for c in stack], epochs=7)}
    for stack in after:
        for state in stepped([half[c] for c in stack], epochs=15):
            [reference] = of(trained, f"1-first-*-{state.component}")
            assert distance(state, reference) <= 1e-4
            assert state.history[-1].cost == pytest.approx(reference.history[-1].cost, abs=0.05)


def stepped(states: list[TrainingState], epochs: int) -> list[TrainingState]:
    stack = [COMPONENTS.index(state.component) for state in states]
    *_, end = fit(pictures()[stack], states, replace(TRAIN, epochs=epochs))
    return end.states()


def fresh(component: str) -> TrainingState:
    return start(component, square(16), MODEL, TRAIN.seed)
