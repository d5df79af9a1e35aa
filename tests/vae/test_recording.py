"""A step that is recorded: the same numbers, as few operators as there were, nothing that waits or stays."""

import gc
import itertools
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests.helpers.models import model, start, train
from vae import precision, products, recording
from vae.accept.cases import MODELS, apart, case
from vae.config import Sizes, numbered
from vae.stack import Stack
from vae.step import ALONE, Step

CPU = torch.device("cpu")
# Kernels of a step on CUDA, with cuDNN's and cuBLAS's own not looked into.
KERNELS = {"paper": 65, "separate": 109, "sharp": 320, "joint": 104, "conditional": 117}


@pytest.mark.parametrize("name", MODELS)
def test_a_recorded_step_is_the_step(name: str) -> None:
    tried = case(name, 40, epochs=2, batch_size=10)
    recorded, costs = tried.trained(CPU)
    called, expected = tried.trained(CPU, record=False)
    assert apart(recorded, called) == 0
    assert costs == expected


def test_a_recording_changes_nothing_by_itself() -> None:
    tried = case("paper", 20, batch_size=10)
    stack = Stack(tried.states, CPU)
    before = [tensor.clone() for tensor in stack.tensors()]
    Step(stack, tried.images_CND, None, tried.config, ALONE)
    for tensor, was in zip(stack.tensors(), before, strict=True):
        assert torch.equal(tensor, was)


def test_an_epoch_of_one_step_is_enough_to_warm_up() -> None:
    """A step that went on to the next would read past the epoch's end, which ends a process on CUDA."""
    tried = case("paper", 10, batch_size=10)
    step = Step(Stack(tried.states, CPU), tried.images_CND, None, tried.config, ALONE)
    [replay] = step._calls
    with pytest.raises(IndexError):
        recording.warm_up(replay, lambda: None)
    recording.warm_up(replay, step.next.zero_)


def test_what_takes_a_number_from_a_tensor_is_no_step() -> None:
    """It would be the same number at each replay."""
    total = torch.zeros(1)

    def step() -> None:
        total.add_(float(total))

    with pytest.raises(RuntimeError, match="takes a number from a tensor"):
        recording.record(step, CPU, lambda: None)


def test_what_is_not_needed_is_not_replayed() -> None:
    total, other = torch.zeros(2), torch.ones(2)

    def step() -> None:
        torch.exp(other)  # nobody reads it
        first, second = (other * 3).split(1)
        total[:1].add_(first + second)

    replay = recording.record(step, CPU, lambda: None)
    with recording._Calls() as calls:
        replay()
    assert [operator._schema.name for operator, *_ in calls.calls] == [
        *("aten::mul", "aten::split", "aten::add", "aten::add_")
    ]
    assert total.tolist() == [12, 0]


def test_a_step_that_is_over_leaves_nothing_without_the_collector() -> None:
    tried = case("conditional", 20, batch_size=10)
    gc.collect()
    gc.disable()
    try:
        step = Step(Stack(tried.states, CPU), tried.images_CND, tried.labels_N, tried.config, ALONE)
        kept = [weakref.ref(tensor) for tensor in (step.pixels, step.noise_SCBLK, *step.stack.tensors())]
        del step
        assert [reference() for reference in kept] == [None] * len(kept)
    finally:
        gc.enable()


@pytest.mark.parametrize("name", KERNELS)
def test_no_step_takes_more_kernels_than_it_did(name: str) -> None:
    """On CUDA the time of a step is that of its kernels, each of some microseconds however little it does."""
    tried = case(name, 20, batch_size=10)
    with patch.object(products, "_ONEDNN", False):
        step = Step(Stack(tried.states, CPU), tried.images_CND, tried.labels_N, tried.config, ALONE)
        with recording._Calls() as recorded:
            for part in step._calls:
                part()
    counted = Counter({call[0]._schema.name: 0 for call in recorded.calls})
    for operator, args, *_ in recorded.calls:
        counted[operator._schema.name] += kernels(operator, args)
    assert counted.total() <= KERNELS[name], counted


def kernels(operator: Any, args: Sequence[Any]) -> int:
    """Kernels that torch's CUDA sources launch for an operator; of a product the libraries' count as one."""
    name = operator._schema.name.removeprefix("aten::")
    if recording._is_view(operator) or name in ("empty", "empty_like", "_unsafe_view"):
        return 0
    if name == "baddbmm":
        return 2  # the bias is copied into the result, to which the product is added
    return sum(args[-1][:2]) if name == "convolution_backward" else 1


OPTIONS = [
    dict(zip(("architecture", "likelihood", "conditional", "used", "samples", "side"), chosen, strict=True))
    for chosen in itertools.product(
        ("mlp", "conv"),
        ("bernoulli", "continuous_bernoulli", "gaussian"),
        (False, True),
        (False, True),
        (1, 3),
        ((8, 8), (9, 7)),
    )
]


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_nothing_of_a_step_leaves_the_device(options: dict[str, Any], kind: Any) -> None:
    """On tensors of a device that holds no numbers, so that nothing can wait for one; and no float64."""
    joint, side = options["conditional"], options["side"]
    config = replace(
        model(architecture=options["architecture"], hidden=(5, 6), latent=3),
        likelihood=options["likelihood"],
        channels="joint" if joint else "separate",
        conditional=joint,
        **dict.fromkeys(("centred", "shortcut", "calibrated"), options["used"]),
    )
    sizes = Sizes((3 if joint else 1, *side), numbered(10) if joint else ())
    schedule = train(batch_size=4, samples=options["samples"], shift=1, precision=kind)
    states = [start(component, sizes, config) for component in ("a", "b")[: 1 if joint else 2]]
    device = torch.device("meta")
    images = torch.zeros(len(states), 8, sizes.pixels, dtype=torch.uint8, device=device)
    labels = torch.zeros(8, dtype=torch.int64, device=device) if joint else None
    step = Step(Stack(states, device), images, labels, schedule, ALONE, record=False)
    with precision.rounded(kind), patch("torch._fused_adam_", adam), recording._Calls() as calls:
        step._step()
    tensors = [
        leaf
        for call in calls.calls
        for leaf in torch.utils._pytree.tree_leaves(call)
        if isinstance(leaf, torch.Tensor)
    ]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert torch.float64 not in {tensor.dtype for tensor in tensors}


def adam(*tensors: Sequence[torch.Tensor], **settings: Any) -> None:
    """What the fused kernel takes for granted."""
    for parameter, *others in zip(*tensors[:4], strict=True):
        for other in others:
            assert (other.shape, other.stride()) == (parameter.shape, parameter.stride())
    for number in (settings["lr"], *tensors[5]):
        assert (number.device.type, number.dtype, number.ndim) == ("meta", torch.float32, 0)
