"""Each peer makes the engine's steps: the same costs and weights from the same numbers, up to rounding."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import field, processor, race, training
from bench.entrant import Job, Result
from vae import randomness
from vae.accept import textbook
from vae.config import PAPER_MODEL, PAPER_TRAIN, Sizes
from vae.fit import fit
from vae.model import initial_weights
from vae.stack import initial_state

MODEL = replace(PAPER_MODEL, hidden=(12, 9), latent=3)
TRAIN = replace(PAPER_TRAIN, epochs=1, batch_size=4)
SIZES = Sizes((1, 4, 4))


@dataclass
class Steps:
    """Ten of the engine's."""

    images: Tensor  # (40, 16) uint8
    task: training.Task  # the same, as a peer is told
    numbers: randomness.EpochDraw
    cost: float
    weights: Mapping[str, Tensor]

    def made_by(self, step: textbook.Step, layers: list[nn.Linear]) -> None:
        """Hold a peer's steps to them."""
        order, noise = self.numbers.order_SCB[:, 0], self.numbers.noise_SCBLK[:, 0, :, 0]
        costs = [
            step(self.images[chosen] / 255, drawn).item() for chosen, drawn in zip(order, noise, strict=True)
        ]
        found = {}
        for name, layer in zip(textbook.LAYERS, layers, strict=True):
            found[f"{name}.weight"] = layer.weight.detach().T
            if layer.bias is not None:
                found[f"{name}.bias"] = layer.bias.detach()
        self.are(float(np.mean(costs)), found)

    def are(self, cost: float, weights: Mapping[str, Tensor]) -> None:
        assert cost == pytest.approx(self.cost, rel=1e-5)
        assert weights.keys() == self.weights.keys()
        for name, weight in self.weights.items():
            torch.testing.assert_close(weights[name], weight, rtol=1e-4, atol=2e-6, msg=name)


@pytest.fixture
def steps() -> Steps:
    images = torch.randint(256, (40, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    weights = initial_weights("0", images, SIZES, MODEL, seed=0)
    [epoch] = fit(images[None], [initial_state("0", images, SIZES, MODEL, seed=0)], TRAIN)
    return Steps(
        images,
        training.Task(images, "0", weights, MODEL, 1, TRAIN.batch_size, "cpu"),
        randomness.draw_epoch(TRAIN, ("0",), 1, len(images), MODEL.latent),
        epoch.records[0].cost,
        epoch.states()[0].weights,
    )


def linear(*parts: nn.Module) -> list[nn.Linear]:
    return [module for part in parts for module in part.modules() if isinstance(module, nn.Linear)]


def test_the_fused_loop(steps: Steps) -> None:
    model = training.textbook_model(steps.task)
    steps.made_by(textbook.stepper(model), linear(model))


@pytest.mark.day  # torch compiles for as long as ten other tests take
@pytest.mark.skipif(field.absent("compiled") is not None, reason=str(field.absent("compiled")))
def test_the_compiled_loop(steps: Steps) -> None:
    model = training.textbook_model(steps.task)
    steps.made_by(textbook.compiled_stepper(model), linear(model))


def test_pythae(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pythae", reason="pythae is not installed: make .venv/bench")
    from bench import pythae_loop

    model = pythae_loop.model(steps.task)
    optimizer = torch.optim.Adam(model.parameters(), lr=PAPER_TRAIN.learning_rate)

    def step(x: Tensor, noise: Tensor | None = None) -> Tensor:
        monkeypatch.setattr(model, "_sample_gauss", lambda mu, std: (mu + noise * std, noise))
        optimizer.zero_grad()
        cost: Tensor = model({"data": x}).loss
        cost.backward()
        optimizer.step()
        return cost

    steps.made_by(step, linear(model.encoder, model.decoder))


def test_jax(steps: Steps) -> None:
    pytest.importorskip("jax", reason="jax is not installed: make .venv/bench")
    from bench import jax_loop

    weights = {name: weight.numpy() for name, weight in steps.task.weights.items()}
    found, trained = jax_loop.train(steps.images.numpy(), weights, [steps.numbers], TRAIN.learning_rate)
    assert len(trained.seconds) == 1
    assert trained.start > 0
    steps.are(trained.cost, {name: torch.from_numpy(np.array(weight)) for name, weight in found.items()})


@pytest.mark.parametrize("kind", ["textbook", "fused", "jax", "pythae"])
def test_a_loop_s_cost_is_the_engine_s(kind: str, steps: Steps) -> None:
    """Of its own order and noise, but for JAX: near, not equal."""
    if why := field.absent(kind):
        pytest.skip(why)
    trained = training.loop_of(kind)(steps.task)
    assert len(trained.seconds) == 1
    assert trained.cost == pytest.approx(steps.cost, rel=1e-5 if kind == "jax" else 0.05)


def test_an_entrant_that_is_none() -> None:
    with pytest.raises(ValueError, match="keras: no such entrant"):
        training.loop_of("keras")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    images = np.random.default_rng(0).integers(0, 256, (3, 300, 1024), np.uint8)
    np.save(tmp_path / "images.npy", images)
    return Job("engine", str(tmp_path / "images.npy"), 250, (0, 2), 100, 1, "cpu", threads=0)


@pytest.mark.parametrize("kind", ["engine", "fused"])
def test_what_a_process_measures(kind: str, job: Job) -> None:
    ready, result = training.run(replace(job, kind=kind))
    assert ready is None
    assert isinstance(result, Result)
    assert result.images == 400  # two channels of two whole batches
    assert result.seconds > 0
    assert result.memory > 2**20
    assert [700 < cost < 800 for cost in result.costs] == [True, True]


@pytest.mark.slow
def test_processes_side_by_side(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    core: Any = processor.cores()[-1:]
    jobs = [replace(job, components=(c,), threads=1, cores=core) for c in (0, 2)]
    measured = race.race([jobs[0], replace(jobs[1], kind="fused")])
    assert measured.costs.keys() == {0, 2}
    assert measured.speed > 0
    with pytest.raises(SystemExit, match="an entrant failed"):
        race.race([replace(job, images="nowhere.npy")])
