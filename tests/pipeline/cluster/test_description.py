from pathlib import Path

import pytest

from pipeline.cluster import description
from pipeline.common.errors import PipelineError
from tests.helpers.checkout import ROOT

TEXT = (ROOT / "clusters/onprem.yaml").read_text()
GOOD = {"YOUR-USER": "me", "YOUR-HEAD": "10.0.0.1", "YOUR-WORKER": "10.0.0.2"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ssh_user", '"-oProxyCommand=touch x"'),
        ("ssh_user", '"me; touch x"'),
        ("head_ip", '"-oProxyCommand=touch x"'),
        ("worker_ips", '["a$(touch x)"]'),
        ("worker_ips", '["a b"]'),
    ],
)
def test_names_that_would_be_commands_are_refused(tmp_path: Path, key: str, value: str) -> None:
    lines = [
        f"{line.partition(':')[0]}: {value}" if line.strip().startswith(f"{key}:") else line
        for line in TEXT.splitlines()
    ]
    path = tmp_path / "c.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(PipelineError, match=r"c.yaml: \S+: .* is no name of a user or a host$"):
        description.read(path)
