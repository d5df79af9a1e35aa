"""What the doctor's tests assume of machines and experiments."""

from pipeline.doctor import needs
from pipeline.doctor.checks import Finding
from pipeline.doctor.speed import Gpu
from tests.helpers.models import model, train

GB = 10**9


MODEL = model(latent=3, hidden=(20, 10))


TRAIN = train()


SIZE = needs.Experiment({"train": 1000, "test": 200}, 32, 3_000_000, validation=0.05, guessed=False)


H200 = Gpu("NVIDIA H200", 150 * GB)


def has(finding: Finding, status: str, *words: str) -> None:
    assert finding.status == status
    for word in words:
        assert word in f"{finding.found} -> {finding.advice}"
    assert bool(finding.advice) == (status != "ok")
