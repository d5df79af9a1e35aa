"""`vaepipe cluster check`: files that are good, and what is said of others. Nothing is started."""

import re
from pathlib import Path

import pytest

from pipeline.cluster import check, description, nodes
from pipeline.cluster.nodes import Node
from pipeline.common.errors import PipelineError
from tests.helpers.checkout import ROOT, Vaepipe

AWS = (ROOT / "cluster.yaml").read_text()
ONPREM = (ROOT / "clusters/onprem.yaml").read_text()


def filled(text: str) -> str:
    """clusters/onprem.yaml for two workers."""
    text = text.replace("YOUR-HEAD", "10.0.0.10").replace("YOUR-WORKERS", "10.0.0.11, 10.0.0.12")
    text = text.replace("YOUR-USER", "ubuntu").replace("/YOUR-SHARED-FOLDER", "/mnt/shared")
    return re.sub(r"(min|max)_workers: 1", r"\1_workers: 2", text)


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "c.yaml"
    path.write_text(text)
    return check.problems(description.read(path))


@pytest.mark.parametrize("text", [AWS, ONPREM, filled(ONPREM)])
def test_our_files_are_good(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text) == []


def test_what_is_left_to_the_user_is_named(vaepipe: Vaepipe) -> None:
    done = vaepipe("cluster", "check", str(ROOT / "cluster.yaml"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith("cluster.yaml: good")
    assert len(re.findall("to fill in: .*YOUR-", done.stdout)) == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ray:2.60.0-py311\n", "ray:2.59.0-py311\n", "head_image has Ray 2.59.0, but the lock has 2.60.0"),
        ("ray:2.60.0-py311\n", "ray:2.60.0-py312\n", "several Pythons: 3.11, 3.12"),
        ("ray:2.60.0-py311\n", "ray-ml:latest\n", "docker.head_image is rayproject/ray-ml:latest; expected"),
        ("    - --env=RAY_AUTH_MODE=token", "    -", "RAY_AUTH_MODE=token is not set on the worker"),
        ("/home/ray/.ray/auth_token: ~/.ray/auth_token", "/x: ~/.ssh", "does not bring ~/.ray/auth_token"),
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "the dashboard is not on"),
        ("--dashboard-host=127.0.0.1", "", "the dashboard is not on"),
        ("SecurityGroupIds: *group", "KeyName: x", "available_node_types.gpu: no SecurityGroupIds"),
        ("  type: aws", "  type: aws\n  security_group: {GroupName: x}", "provider.security_group: Ray"),
        ("MetadataOptions: *metadata", "EbsOptimized: true", "available_node_types.gpu: MetadataOptions"),
        ("IamInstanceProfile: {Name: vaepipe-worker}", "EbsOptimized: true", "types.gpu: no IamInst"),
        ("--env=VAEPIPE_STORAGE=s3://YOUR-BUCKET/vaepipe", "--env=A=b", "VAEPIPE_STORAGE is not set on"),
        ("VAEPIPE_STORAGE=s3://YOUR-BUCKET/vaepipe", "VAEPIPE_STORAGE=x", "VAEPIPE_STORAGE is x; expected"),
        ("  - /data\n", "", "rsync_exclude lacks /data"),
        ("pip install --no-cache-dir -r requirements.txt", "pip install ray", "install nothing from"),
        ("--autoscaling-config=~/ray_bootstrap_config.yaml", "", "no --autoscaling-config"),
    ],
)  # fmt: skip
def test_a_broken_file_for_aws(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in AWS
    found = problems(tmp_path, AWS.replace(old, new, 1))
    assert any(said in problem for problem in found), found
    assert not any("\n" in problem for problem in found)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("--node-ip-address=10.0.0.10", "", "head_start_ray_commands: no --node-ip-address"),
        ("min_workers: 2", "min_workers: 0", "min_workers and max_workers must be 2"),
        ("10.0.0.12", "10.0.0.11", "provider: an address is there twice"),
        ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled", "RAY_AUTH_MODE=token is not set on the head"),
    ],
)
def test_a_broken_file_for_machines_that_are_there(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = filled(ONPREM)
    assert old in text
    found = problems(tmp_path, text.replace(old, new))
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1: not valid YAML"),
        ("- 1", "not a cluster file: it has no section provider"),
        (AWS.replace("max_workers: 3  ", "max_worker: 3  "), "Ray refuses it: Additional properties"),
        (filled(ONPREM).replace("worker_ips", "worker_ip"), "Ray refuses it: Please supply a `head_ip` and"),
        (AWS.replace("head_node_type: head", "head_node_type: boss"), "Ray refuses it: "),
    ],
)
def test_what_ray_would_refuse(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError, match=f"^{path}:") as raised:
        description.read(path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_command_says_each_problem_and_fails(tmp_path: Path, vaepipe: Vaepipe) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(AWS.replace("--dashboard-host=127.0.0.1", "").replace("  - /data\n", ""))
    done = vaepipe("cluster", "check", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 2
    assert all(line.startswith(f"{path}: ") for line in done.stderr.splitlines())
    missing = vaepipe("cluster", "check", str(tmp_path / "none.yaml"))
    assert missing.returncode == 1
    assert "cannot be read: No such file or directory" in missing.stderr


def test_nothing_is_started_from_a_file_that_is_not_filled_in(vaepipe: Vaepipe) -> None:
    done = vaepipe("cluster", "up", str(ROOT / "clusters/onprem.yaml"))
    assert done.returncode == 1
    assert "to fill in first: `head_ip: YOUR-HEAD`" in done.stderr


def test_nodes_are_found_among_other_words() -> None:
    said = (
        'Warning: x\nvaepipe-nodes [{"address": "10.0.0.1", "cpus": 2.0, "gpus": 0.0, "head": true}]\r\nbye'
    )
    assert nodes.read(said) == [Node("10.0.0.1", 2.0, 0.0, True)]
    assert nodes.read("Warning: x") is None
