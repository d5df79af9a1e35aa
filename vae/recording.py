"""A step recorded once and replayed: on CPUs a row of operators, on CUDA one graph of their kernels.

What is recorded is what torch was made to do, whoever called it: so a step is written with torch's automatic
derivatives, and replayed without the time that these, and Python, take to find out what to call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WARM_UP = 3  # replays before a graph is captured, in which CUDA's libraries allocate what they need
DETACH = torch.ops.aten.detach.default  # a view without derivatives: when it is replayed, nothing has any
READ = torch.ops.aten._local_scalar_dense.default


def record(
    step: Callable[[], None], device: torch.device, rewind: Callable[[], object]
) -> Callable[[], object]:
    """Make the step, and return what makes it again, as fast as the device can.

    The step reads and writes tensors that outlive it, on the device. On CUDA it is made a few times more,
    each time after a call of `rewind`, by which it finds its place again; whoever calls this puts back what
    else it changes.

    Raises:
        RuntimeError: the step takes a number from a tensor, which would be the same at each replay.
    """
    # Derivatives in this thread: it is its operators that are seen.
    with torch.autograd.set_multithreading_enabled(False), _Calls() as recorded:
        step()
    replay = _program(recorded.calls)
    return _graph(replay, device, rewind) if device.type == "cuda" else replay


def warm_up(replay: Callable[[], object], rewind: Callable[[], object]) -> None:
    """Replay always the same step: an epoch may have but one."""
    for _ in range(WARM_UP):
        rewind()
        replay()


def _graph(
    replay: Callable[[], None], device: torch.device, rewind: Callable[[], object]
) -> Callable[[], object]:
    """One CUDA graph of the kernels that it launches."""
    with torch.cuda.device(device):
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            warm_up(replay, rewind)
        try:
            # Other threads may call CUDA meanwhile: a loader, another training, NCCL's watch.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                replay()
        except RuntimeError as error:
            # What broke the capture off, such as a full memory, and not that it was broken off.
            raise error.__context__ or error from None
        torch.cuda.current_stream().wait_stream(stream)
    return graph.replay


class _Calls(TorchDispatchMode):
    """Every operator that is called, with its arguments and its result; derivatives' operators too."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would be imported for that: a second of start-up

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator is READ:
            raise RuntimeError("a step that takes a number from a tensor cannot be recorded")
        result = operator(*args, **(kwargs or {}))
        self.calls.append((operator, args, kwargs or {}, result))
        return result


@dataclass
class _Call:
    """An operator to be called again, on what stays and on what calls before it made.

    The latter go by numbers: `gaps` are a list or dict of arguments, a place in it, and what belongs there.
    """

    operator: Any
    args: list[Any]
    kwargs: dict[str, Any]
    gaps: list[tuple[Any, Any, int]]
    made: list[int | None] = field(default_factory=list)  # numbers of its results; None: it was there before
    dropped: list[int] = field(default_factory=list)  # numbers of what nothing reads after this

    def again(self, values: list[Any]) -> None:
        """Call it; `values` holds what was made so far, by number."""
        for arguments, place, number in self.gaps:
            arguments[place] = values[number]
        results = _as_tuple(self.operator(*self.args, **self.kwargs))
        for arguments, place, _ in self.gaps:
            arguments[place] = None
        for kept, result in zip(self.made, results, strict=True):
            if kept is not None:
                values[kept] = result
        for number in self.dropped:
            values[number] = None


def _program(recorded: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]]) -> Callable[[], None]:
    """What makes the calls again that matter."""
    # By identity: as long as the recorded calls are there, so are all their tensors.
    numbers: dict[int, int] = {}
    made = count()
    calls: list[_Call] = []
    for operator, args, kwargs, result in recorded:
        gaps: list[tuple[Any, Any, int]] = []
        call = _Call(operator, _with_gaps(args, numbers, gaps), _with_gaps(kwargs, numbers, gaps), gaps)
        if operator is DETACH and gaps:
            numbers[id(result)] = gaps[0][2]
        # A view of tensors that outlive the step outlives it too.
        elif gaps or not _is_view(operator):
            there = {id(leaf) for leaf in tree_leaves((args, kwargs))}
            for tensor in _as_tuple(result):
                if isinstance(tensor, Tensor) and id(tensor) not in there:
                    numbers[id(tensor)] = next(made)
                    call.made.append(numbers[id(tensor)])
                else:
                    call.made.append(None)
            calls.append(call)
    needed, values = _needed(calls), [None] * next(made)

    def replay() -> None:
        with torch.no_grad():
            for call in needed:
                call.again(values)

    return replay


def _with_gaps(arguments: Any, numbers: dict[int, int], gaps: list[tuple[Any, Any, int]]) -> Any:
    """A copy of a tuple, list or dict of arguments, with gaps where they are what a call made."""
    named = isinstance(arguments, dict)
    copy: Any = {**arguments} if named else [*arguments]
    for place, value in arguments.items() if named else enumerate(arguments):
        if isinstance(value, (list, tuple)):
            copy[place] = _with_gaps(value, numbers, gaps)
        elif isinstance(value, Tensor):
            copy[place] = None if id(value) in numbers else value.detach()
            if id(value) in numbers:
                gaps.append((copy, place, numbers[id(value)]))
    return copy


def _needed(calls: list[_Call]) -> list[_Call]:
    """Calls that change something, or make what such calls read; each then drops what is read no more."""
    needed: list[_Call] = []
    read_later: set[int] = set()
    for call in reversed(calls):
        made = {number for number in call.made if number is not None}
        if call.operator._schema.is_mutable or made & read_later:
            read = {number for *_, number in call.gaps}
            call.dropped = sorted((read | made) - read_later)
            read_later |= read
            needed.append(call)
    return needed[::-1]


def _is_view(operator: Any) -> bool:
    returned = operator._schema.returns
    return bool(returned) and all(r.alias_info and not r.alias_info.is_write for r in returned)


def _as_tuple(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (list, tuple)) else (result,)
