"""How the ranks of a Ray that is started here find each other: by a file, where nobody else listens.

torch's own way is a server of rank 0 that listens on all of the machine's addresses, and answers everybody.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import (
    _set_torch_distributed_env_vars,
    _setup_torch_process_group,
    _TorchBackend,
)


@dataclass
class LocalTorchConfig(TorchConfig):  # type: ignore[misc]  # Ray is not typed
    """Ranks on this machine alone."""

    folder: str = ""  # that nobody else may enter

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What sets the ranks' process group up."""
        return _LocalBackend


class _LocalBackend(_TorchBackend):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: LocalTorchConfig) -> None:
        """Make the process group; after a restart by another file, since a used one is of the dead ranks."""
        worker_group.execute(_set_torch_distributed_env_vars)
        file = f"{backend_config.folder}/ranks-{uuid.uuid4().hex}"
        ray.get(
            [
                worker_group.execute_single_async(
                    rank,
                    _setup_torch_process_group,
                    backend=backend_config.backend,
                    world_rank=rank,
                    world_size=len(worker_group),
                    init_method=f"file://{file}",
                    timeout_s=backend_config.timeout_s,
                )
                for rank in range(len(worker_group))
            ]
        )
