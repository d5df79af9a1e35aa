"""The mathematics against independent references: torch.distributions, float64 loops, a textbook model."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.helpers.models import model, row, square, start, train
from vae import objective, products, randomness
from vae.activation import ACTIVATIONS
from vae.baseline import entropy_floor
from vae.config import Activation
from vae.evaluate import evaluate, reconstruct
from vae.layers import StackedLinear
from vae.likelihood import Bernoulli
from vae.model import VAE
from vae.objective import Posterior
from vae.stack import Stack, TrainingState, assemble

SMALL = model(latent=3, hidden=(7, 5))
PIXELS = 12


def small_vae(models: int = 2) -> VAE:
    return assemble([start(f"c{i}", row(PIXELS), SMALL, seed=i) for i in range(models)], torch.device("cpu"))


def test_kl_is_torch_distributions() -> None:
    draw = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 2, 5, 3, generator=draw, dtype=torch.float64)
    q = torch.distributions.Normal(mu, torch.exp(0.5 * logvar))
    p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    expected = torch.distributions.kl_divergence(q, p).sum(-1)
    _, kl = Posterior.apply(mu, logvar, torch.zeros_like(mu).unsqueeze(2))
    torch.testing.assert_close(kl, expected)


def test_bernoulli_is_a_float64_loop() -> None:
    draw = np.random.default_rng(0)
    logits, x = draw.normal(0, 3, (1, 2, 6)), draw.uniform(0, 1, (1, 2, 6))
    x[0, 0, :2] = 0, 1  # black and white pixels
    expected = [
        sum(
            v * math.log(1 / (1 + math.exp(-s))) + (1 - v) * math.log(1 - 1 / (1 + math.exp(-s)))
            for s, v in zip(logits[0, b], x[0, b], strict=True)
        )
        for b in range(2)
    ]
    found = -Bernoulli(1).nll(torch.from_numpy(logits).float(), torch.from_numpy(x).float())
    assert found[0].tolist() == pytest.approx(expected, rel=1e-5)
    mean = Bernoulli(1).mean(torch.tensor([[[-math.log(3.0)]]]))
    assert mean.item() == pytest.approx(0.25)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_the_finite_difference(activation: Activation) -> None:
    config = model(latent=2, hidden=(4,), activation=activation)
    vae = assemble([start("red", row(6), config)], torch.device("cpu")).double()
    draw = torch.Generator().manual_seed(1)
    x, noise = torch.rand(1, 3, 6, generator=draw).double(), torch.randn(1, 3, 1, 2, generator=draw).double()
    names = [name for name, _ in vae.named_parameters()]

    def cost(*weights: torch.Tensor) -> torch.Tensor:
        def elbo(x: torch.Tensor) -> torch.Tensor:
            terms = objective.negative_elbo(vae, x, noise)
            return (terms.reconstruction + terms.kl).sum()

        # functional_call runs `forward`, which a VAE has no need of but here.
        vae.forward = elbo
        return torch.func.functional_call(vae, dict(zip(names, weights, strict=True)), (x,))

    # Away from zero: relu has no derivative there, and biases start at it.
    weights = [p.detach() + 0.1 * torch.randn(p.shape, generator=draw) for p in vae.parameters()]
    assert torch.autograd.gradcheck(cost, [w.requires_grad_() for w in weights])


class Textbook(nn.Module):
    """The paper's model as anyone would write it, one component alone."""

    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        sizes = {name.removesuffix(".weight"): w for name, w in state.weights.items() if "weight" in name}
        self.layers = nn.ModuleDict()
        for name, weight in sizes.items():
            inputs, outputs = weight.shape
            layer = nn.Linear(inputs, outputs, bias=f"{name}.bias" in state.weights)
            layer.weight.data = weight.T.clone()
            if layer.bias is not None:
                layer.bias.data = state.weights[f"{name}.bias"].clone()
            self.layers[name.replace(".", "_")] = layer

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        layer = self.layers
        h = F.softplus(layer["encoder_layers_1"](F.softplus(layer["encoder_layers_0"](x))))
        mu, logvar = layer["mu"](h), layer["logvar"](h)
        z = mu + torch.exp(0.5 * logvar) * noise
        h = F.softplus(layer["decoder_layers_1"](F.softplus(layer["decoder_layers_0"](z))))
        y = torch.sigmoid(layer["decoder_output"](h))
        reconstruction = F.binary_cross_entropy(y, x, reduction="none").sum(1)
        kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
        return (reconstruction + kl).mean()


def test_a_stack_trains_as_textbook_models_do() -> None:
    """Twenty steps of two stacked models against nn.Linear, torch.optim.Adam and a plain loop."""
    from vae.fit import fit

    images = torch.randint(
        0, 256, (2, 40, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    states = [start(name, row(PIXELS), SMALL, seed=3) for name in ("red", "green")]
    config = train(epochs=2, batch_size=4, learning_rate=0.01, seed=3)
    fitted = [epoch.states() for epoch in fit(images, states, config)][-1]
    for c, state in enumerate(states):
        textbook = Textbook(state)
        optimizer = torch.optim.Adam(textbook.parameters(), 0.01)
        for epoch in (1, 2):
            numbers = randomness.draw_epoch(config, (state.component,), epoch, 40, SMALL.latent)
            for order, noise in zip(numbers.order_SCB[:, 0], numbers.noise_SCBLK[:, 0, :, 0], strict=True):
                optimizer.zero_grad()
                textbook(images[c, order] / 255, noise).backward()
                optimizer.step()
        for name, weight in fitted[c].weights.items():
            layer, kind = name.rsplit(".", 1)
            expected = getattr(textbook.layers[layer.replace(".", "_")], kind).detach()
            torch.testing.assert_close(
                weight, expected.T if kind == "weight" else expected, rtol=1e-4, atol=1e-6
            )


def test_a_gradient_counts_by_its_numbers_not_by_how_they_lie() -> None:
    """A convolution's come with channels next to each other, and the fused kernel would not notice."""
    config = model(architecture="conv", hidden=(4, 5), latent=3)
    one, two = (Stack([start("red", square(8), config)], torch.device("cpu")) for _ in range(2))
    draw = torch.Generator().manual_seed(0)
    for step in (1.0, 2.0, 3.0):
        gradients = [torch.randn(p.shape, generator=draw) for p in one.parameters]
        moved = [g.movedim(1, -1).contiguous().movedim(-1, 1) if g.ndim > 2 else g for g in gradients]
        for stack, each in ((one, gradients), (two, moved)):
            stack.step(each, torch.tensor(step), torch.tensor(0.01))
    for a, b in zip(one.parameters, two.parameters, strict=True):
        assert torch.equal(a, b)


def test_convolutions_train_as_torch_s_own_do() -> None:
    """Twenty steps: gradients of this model, torch.optim.Adam over plain copies of its weights."""
    from vae.fit import fit

    sizes, config = square(8), model(architecture="conv", hidden=(4, 5), latent=3, activation="gelu")
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1, 40, 64), dtype=torch.uint8, generator=draw)
    state, schedule = start("red", sizes, config), train(epochs=2, batch_size=4, learning_rate=0.01)
    [fitted] = [epoch.states() for epoch in fit(images, [state], schedule)][-1]
    vae = assemble([state], torch.device("cpu"))
    optimizer = torch.optim.Adam(vae.parameters(), 0.01, fused=False, foreach=False)
    for epoch in (1, 2):
        numbers = randomness.draw_epoch(schedule, ("red",), epoch, 40, 3)
        for order, noise in zip(numbers.order_SCB, numbers.noise_SCBLK, strict=True):
            optimizer.zero_grad()
            terms = objective.negative_elbo(vae, images[:, order[0]] / 255, noise)
            ((terms.reconstruction + terms.kl).sum() / 4).backward()
            optimizer.step()
    for name, parameter in vae.by_name(vae.parameters()).items():
        torch.testing.assert_close(fitted.weights[name], parameter[0].detach(), rtol=1e-3, atol=1e-5)


def test_initial_weights_are_xavier_uniform_and_biases_zero() -> None:
    weights = start("red", square(32), model(hidden=(300, 200))).weights
    assert "logvar.bias" not in weights  # the paper deletes it
    for name, tensor in weights.items():
        if name.endswith("bias"):
            assert not tensor.any()
        else:
            bound = math.sqrt(6 / sum(tensor.shape))
            assert tensor.abs().max() <= bound
            assert tensor.abs().max() > 0.99 * bound
            assert tensor.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_randomness_is_a_function_of_seed_component_and_epoch() -> None:
    def draw(seed: int = 0, component: str = "red", epoch: int = 1) -> torch.Tensor:
        return randomness.draw_epoch(train(seed=seed, batch_size=10), (component,), epoch, 50, 2).noise_SCBLK

    assert torch.equal(draw(), draw())
    for other in (draw(seed=1), draw(component="green"), draw(epoch=2)):
        assert not torch.equal(draw(), other)
    # What else is in the stack changes nothing.
    stacked = randomness.draw_epoch(train(batch_size=10), ("blue", "red"), 1, 50, 2)
    assert torch.equal(stacked.noise_SCBLK[:, 1:], draw())


def test_an_epoch_uses_each_image_at_most_once_and_drops_the_last_partial_batch() -> None:
    order = randomness.draw_epoch(train(batch_size=10), ("red",), 1, 57, 2).order_SCB
    assert order.shape == (5, 1, 10)
    assert len(set(order.flatten().tolist())) == 50
    assert order.max() < 57
    noise = randomness.draw_epoch(train(batch_size=10), ("red",), 1, 5000, 20).noise_SCBLK
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)


def test_evaluation_is_a_plain_average() -> None:
    vae = small_vae(models=1)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1, 2500, PIXELS), dtype=torch.uint8, generator=draw)
    [measures] = evaluate(vae, ["red"], images, seed=5)
    noise = randomness.generator(5, "red", "evaluation").standard_normal((2500, SMALL.latent), "float32")
    x = images / 255
    with torch.no_grad():
        terms = objective.negative_elbo(vae, x, torch.from_numpy(noise)[None, :, None])
        rebuilt = reconstruct(vae, images)
    assert measures.reconstruction == pytest.approx(terms.reconstruction.mean().item(), rel=1e-6)
    assert measures.kl == pytest.approx(terms.kl.mean().item(), rel=1e-5)
    assert measures.cost == measures.reconstruction + measures.kl
    assert measures.mse == pytest.approx(F.mse_loss(rebuilt, x).item(), rel=1e-5)
    variance = terms.mu[0].double().var(0, unbiased=False)
    assert measures.active_units == int((variance > 0.01).sum())


def test_units_are_active_when_their_mean_varies() -> None:
    vae = small_vae(models=1)
    with torch.no_grad():
        mu_KF = vae.weights()["mu.weight"][0].T
        mu_KF[0], mu_KF[1:] = 0, 3
    images = torch.randint(
        0, 256, (1, 400, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    assert evaluate(vae, ["red"], images, 0)[0].active_units == SMALL.latent - 1


def test_floor_is_a_float64_loop_and_no_model_is_below_it() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4), dtype=np.uint8)
    images[0, :2] = 0, 255

    def entropy(x: float) -> float:
        return -sum(p * math.log(p) for p in (x, 1 - x) if p > 0)

    expected = sum(entropy(int(v) / 255) for v in images.flatten()) / 3
    floor = entropy_floor(torch.from_numpy(images))
    assert floor == pytest.approx(expected, rel=1e-12)
    x = torch.from_numpy(images)[None] / 255
    perfect = -Bernoulli(1).nll(torch.logit(x, eps=1e-7), x)
    assert -perfect.mean().item() == pytest.approx(floor, abs=1e-3)


@pytest.mark.parametrize("models", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_stacked_linear_is_a_plain_product(models: int, bias: bool) -> None:
    """Forward and backward, whichever library multiplies, also of a batch of one, and of views."""
    draw = torch.Generator().manual_seed(0)
    layer = StackedLinear(models, 9, 6, bias=bias)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    for batch in (1, 5):
        x = torch.randn(9, batch, models, generator=draw).permute(2, 1, 0).requires_grad_()
        out = torch.randn(models, batch, 6, generator=draw)
        gradients: list[tuple[torch.Tensor, ...]] = []
        for y in (layer(x), torch.einsum("cbi,cio->cbo", x, layer.weight)):
            y = y if layer.bias is None or gradients == [] else y + layer.bias[:, None]
            gradients.append((y, *torch.autograd.grad(y, [x, *layer.parameters()], out)))
        for mine, plain in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, plain)


@pytest.mark.skipif(not products._ONEDNN, reason="torch's own batched product makes no such promise")
@pytest.mark.parametrize("models", [2, 3])
def test_a_stack_on_a_cpu_multiplies_each_model_as_if_alone(models: int) -> None:
    weights, x = torch.randn(models, 30, 20), torch.randn(models, 7, 30)
    stack, alone = StackedLinear(models, 30, 20), StackedLinear(1, 30, 20)
    with torch.no_grad():
        stack.weight.copy_(weights)
        for c in range(models):
            alone.weight.copy_(weights[c : c + 1])
            assert torch.equal(stack(x)[c], alone(x[c : c + 1])[0])
