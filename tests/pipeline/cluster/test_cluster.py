"""cluster.yaml, read as Ray reads it: it fits the project, and it opens no door. Nothing is started."""

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import typer
import yaml
from ray._private.authentication.authentication_token_setup import _get_default_token_path
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME

from pipeline.cli.main import app
from tests.helpers.checkout import ROOT

TEXT = (ROOT / "cluster.yaml").read_text()
GUIDE = (ROOT / "docs/cluster.md").read_text()
CHECKOUT, HOME = "/home/ray/vaepipe", "/home/ray"  # in the nodes' containers


@pytest.fixture
def cluster() -> dict[str, Any]:
    """The file with Ray's defaults filled in: what is left out here counts too."""
    return prepare_config(yaml.safe_load(TEXT))


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from strings([*node, *node.values()])
    elif isinstance(node, list):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node


def environment(cluster: dict[str, Any], node: str) -> dict[str, str]:
    """What `docker run` sets in the container of a head or a worker."""
    docker = cluster["docker"]
    options = docker.get("run_options", []) + docker.get(f"{node}_run_options", [])
    return dict(o.removeprefix("--env=").split("=", 1) for o in options if o.startswith("--env="))


def start(cluster: dict[str, Any], node: str) -> str:
    [command] = [c for c in cluster[f"{node}_start_ray_commands"] if "ray start" in c]
    return command


def is_excluded(path: str, patterns: list[str]) -> bool:
    """rsync's --exclude, as far as it is used here: names anywhere, and paths from the root."""
    parts = PurePosixPath(path).parts
    for pattern in patterns:
        if pattern.startswith("/"):
            wanted = PurePosixPath(pattern[1:]).parts
            if len(parts) >= len(wanted) and all(map(fnmatch, parts, wanted)):
                return True
        else:
            assert "/" not in pattern, f"{pattern}: begin it with /"
            if any(fnmatch(part, pattern) for part in parts):
                return True
    return False


def test_ray_accepts_the_file(cluster: dict[str, Any]) -> None:
    validate_config(cluster)


def test_the_images_have_the_locks_ray_and_python(cluster: dict[str, Any]) -> None:
    [ray_version] = re.findall(r"^ray==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = re.match(r">=(\d+)\.(\d+)", requires)  # the lock is made with the oldest Python
    assert oldest
    image = f"rayproject/ray:{ray_version}-py{oldest[1]}{oldest[2]}"
    assert cluster["docker"]["head_image"] == image
    # Ray's autoscaler looks `image` up even where the head and the workers each name one.
    assert cluster["docker"]["image"] == f"{image}-gpu"
    assert "worker_image" not in cluster["docker"]


def test_nodes_install_the_lock_and_nothing_else(cluster: dict[str, Any]) -> None:
    lock, project = cluster["setup_commands"]
    assert lock.startswith(f"cd {CHECKOUT} && pip install ")
    assert lock.endswith(" -r requirements.txt")
    # The lock does not name the libraries that torch's CUDA build depends on.
    assert "--no-deps" not in lock
    assert re.fullmatch(rf"cd {CHECKOUT} && pip install .*--no-deps -e \.", project)


def test_the_dashboard_is_local(cluster: dict[str, Any]) -> None:
    assert re.findall(r"--dashboard-host[= ](\S+)", start(cluster, "head")) == ["127.0.0.1"]


def test_nothing_is_open_to_the_world(cluster: dict[str, Any]) -> None:
    for text in [*strings(cluster), GUIDE]:
        assert not re.search(r"0\.0\.0\.0|::/0", text)
    # A group that Ray fills in itself lets the world in by SSH, whatever rules it is given besides.
    assert "security_group" not in cluster["provider"]
    configs = [kind["node_config"] for kind in cluster["available_node_types"].values()]
    groups = [config.get("SecurityGroupIds") for config in configs]
    assert groups == [groups[0]] * 2
    assert groups[0]
    # The guide makes that group: SSH for one address, kept for documentation, and the group for itself.
    rules = re.findall(r"authorize-security-group-ingress --group-id \"\$group\" (.*)", GUIDE)
    assert rules == [
        "--protocol tcp --port 22 --cidr 203.0.113.7/32",
        '--protocol all --source-group "$group"',
    ]


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_node_wants_the_same_token(cluster: dict[str, Any], node: str) -> None:
    assert environment(cluster, node)["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH" not in start(cluster, node)
    token = _get_default_token_path().relative_to(Path.home())
    assert cluster["file_mounts"][f"{HOME}/{token}"] == f"~/{token}"
    assert not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & environment(cluster, node).keys()


@pytest.mark.parametrize("node", ["head", "worker"])
def test_no_usage_is_reported(cluster: dict[str, Any], node: str) -> None:
    assert environment(cluster, node)["RAY_USAGE_STATS_ENABLED"] == "0"
    # `ray up` exports its own machine's choice in front of the head's command.
    assert "--disable-usage-stats" in start(cluster, "head").split()


def test_no_rank_lands_on_the_head(cluster: dict[str, Any]) -> None:
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert head["max_workers"] == 0
    assert {"--num-cpus=0", "--num-gpus=0"} <= set(start(cluster, "head").split())


def test_three_workers_at_most_with_a_gpu_each_and_none_when_idle(cluster: dict[str, Any]) -> None:
    [worker] = [k for n, k in cluster["available_node_types"].items() if n != cluster["head_node_type"]]
    assert (worker["min_workers"], worker["max_workers"], cluster["max_workers"]) == (0, 3, 3)
    assert worker["resources"]["GPU"] == 1
    assert 0 < cluster["idle_timeout_minutes"] <= 30
    assert cluster["provider"]["cache_stopped_nodes"] is False
    assert "--gpus=all" in cluster["docker"]["worker_run_options"]
    assert "InstanceMarketOptions" not in worker["node_config"]
    spot = TEXT.replace("# InstanceMarketOptions", "InstanceMarketOptions")
    config = prepare_config(yaml.safe_load(spot))
    validate_config(config)
    options = config["available_node_types"]["gpu"]["node_config"]["InstanceMarketOptions"]
    assert options == {"MarketType": "spot"}


def test_dvc_repro_on_the_head_needs_no_option(cluster: dict[str, Any]) -> None:
    options = typer.main.get_command(app).commands["train"].params  # type: ignore[attr-defined]
    named = [option.envvar or [] for option in options]  # a name, or a list of them
    known = {name for names in named for name in ([names] if isinstance(names, str) else names)}
    ours = {k: v for k, v in environment(cluster, "head").items() if k.startswith("VAEPIPE_")}
    assert ours.keys() <= known
    assert ours["VAEPIPE_ADDRESS"] == "auto"
    assert ours["VAEPIPE_GPUS"] == str(cluster["max_workers"])
    assert ours["VAEPIPE_STORAGE"].startswith("s3://")
    assert int(ours["VAEPIPE_MAX_FAILURES"]) > 0


def test_what_git_ignores_stays_at_home(cluster: dict[str, Any]) -> None:
    for ignore in (".gitignore", ".dvc/.gitignore"):
        for line in (ROOT / ignore).read_text().splitlines():
            if not line or line.startswith("#"):
                continue
            folder = Path(ignore).parent / ("" if line.startswith("/") else "vae")
            path = folder / line.strip("/").replace("*", "x") / "file"
            assert is_excluded(str(path), cluster["rsync_exclude"]), f"{ignore}: {line} would be copied"


def test_what_a_run_needs_is_copied(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"][CHECKOUT] == "."
    outs = {"modules", "data", "classifier", "models", "reconstructions", "report"}
    needed = {".git/HEAD", ".dvc/config", ".dvcignore", "dvc.yaml", "dvc.lock", "params.yaml"}
    needed |= {"studies.yaml"}
    needed |= {"pyproject.toml", "requirements.txt", "README.md", "LICENSE"}
    for room in ("vae", "pipeline"):
        needed |= {str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.py")}
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values():
        needed |= {path for path in stage.get("deps", []) if path.split("/")[0] not in outs}
    assert not [path for path in sorted(needed) if is_excluded(path, cluster["rsync_exclude"])]


def test_the_guide_has_the_lines_that_are_left_to_the_user() -> None:
    lines = re.findall(r"^\| `(.*YOUR-.*)` \|", GUIDE, re.MULTILINE)
    assert len(lines) == 4
    code = [line.split(" #")[0].strip().removeprefix("- ") for line in TEXT.splitlines()]
    for line in lines:  # filled in or not
        pattern = re.sub("YOUR-[A-Z]+", "[^/]+", re.escape(line).replace("\\-", "-"))
        assert [c for c in code if re.fullmatch(pattern, c)], f"cluster.yaml: no line such as {line}"
    assert not [c for c in code if "YOUR-" in c and c not in lines]


def test_the_guides_roles_are_the_files_and_allow_no_more_than_is_used(cluster: dict[str, Any]) -> None:
    head, worker = (kind["node_config"] for kind in cluster["available_node_types"].values())
    roles = [node["IamInstanceProfile"]["Name"] for node in (head, worker)]
    assert f"for role in {' '.join(roles)};" in GUIDE
    trust, storage, workers = map(json.loads, re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL))
    for policy in (trust, storage, workers):
        assert not [s for s in strings([s["Action"] for s in policy["Statement"]]) if "*" in s]
    folder = environment(cluster, "head")["VAEPIPE_STORAGE"].removeprefix("s3://").split("/", 1)[1]
    resources = [statement["Resource"] for statement in storage["Statement"]]
    assert resources == ["arn:aws:s3:::YOUR-BUCKET", f"arn:aws:s3:::YOUR-BUCKET/{folder}/*"]
    by_action = {action: s for s in workers["Statement"] for action in strings([s["Action"]])}
    assert by_action["iam:PassRole"]["Resource"].endswith(f":role/{roles[1]}")
    owned = {f"aws:ResourceTag/{TAG_RAY_CLUSTER_NAME}": cluster["cluster_name"]}
    assert by_action["ec2:TerminateInstances"]["Condition"] == {"StringEquals": owned}
    [launch] = [s for s in workers["Statement"] if "ec2:InstanceType" in str(s)]
    assert launch["Condition"]["StringEquals"] == {
        "ec2:InstanceType": worker["InstanceType"],
        f"aws:RequestTag/{TAG_RAY_CLUSTER_NAME}": cluster["cluster_name"],
    }
