"""Devices that people name."""

import torch


def usable(device: str | torch.device) -> torch.device:
    """The device by its name, such as cpu or cuda:1, of whatever kind torch has.

    Raises:
        ValueError: there is none of that name, or torch cannot compute there; in one line.
    """
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # of a device that is not there, an error already here
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises all of them
        reason = str(error).partition("\n")[0][:100]
        raise ValueError(f"device {device} cannot be used here ({reason}); try cpu") from None
    return chosen
