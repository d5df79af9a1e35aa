"""Who enters, and where each is placed."""

from pathlib import Path

import pytest

from bench import field, processor


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "cores", lambda: (4, 5))


def of(setting: str, kind: str) -> dict[str, field.Ways]:
    return field.field(setting, [kind], "images.npy", 3_000, 100, 1)


@pytest.mark.parametrize("kind", field.KINDS)
def test_on_one_core_everybody_has_the_same_one(kind: str) -> None:
    for ways in of(field.ONE_CORE, kind).values():
        [[job]] = ways.values()
        assert (job.cores, job.threads, job.components) == ((5,), 1, (0,))


def test_the_engine_has_a_process_a_channel() -> None:
    for ways in of(field.ALL_CHANNELS, "engine").values():
        [jobs] = ways.values()
        assert [job.components for job in jobs] == [(0,), (1,), (2,)]
        assert {(job.threads, job.cores) for job in jobs} == {(1, ())}


def test_a_peer_tries_both_ways_of_two_cores() -> None:
    [ways] = of(field.ALL_CHANNELS, "jax").values()
    turn, side = ways["in turn, 2 threads"], ways["2 processes of 1 thread"]
    assert [(job.threads, job.cores) for job in turn] == [(2, ())]
    assert [(job.threads, job.cores, job.components) for job in side] == [(1, (4,), (0,)), (1, (5,), (1,))]


def test_whose_epochs_are_shorter() -> None:
    counts = {job.kind: job.count for kind in field.KINDS for job in field.jobs(of(field.ONE_CORE, kind))}
    assert {kind for kind, count in counts.items() if count == 1_000} == set(field.SHORTENED)
    assert set(counts.values()) == {1_000, 3_000}


def test_costs_are_held_to_the_engine_s_in_fp32() -> None:
    [job] = field.jobs(of(field.ONE_CORE, "jax"))
    reference = field.reference(job)
    assert {(each.kind, each.precision, each.cores) for each in reference} == {("engine", "fp32", ())}
    assert [each.components for each in reference] == [(0,), (1,), (2,)]


def test_without_a_compiler_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    why = field.absent("compiled")
    assert why == "there is no C++ compiler no-such-compiler, which torch.compile needs"
    monkeypatch.setenv("CXX", "python3")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(Path("/nowhere")))
    assert field.absent("compiled") == "Python.h is not there, which torch.compile needs"


def test_who_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert [field.absent(kind) for kind in ("jax", "pythae", "engine", "textbook", "fused")] == [
        *("jax is not installed", "pythae is not installed"),
        *(None, None, None),
    ]
    monkeypatch.setattr(processor, "installed", lambda _: None)
    assert [field.name(kind) for kind in ("jax", "pythae", "fused")] == ["JAX", "pythae", "textbook, fused"]
