"""Configuration that Jupyter reads; options on the command line go before it.

Notebooks are saved without what a run leaves in them, so that a run changes no file of git.
"""

import os
import secrets
import warnings
from typing import Any

from ticketsvc.settings import ROOT


def strip(model: dict[str, Any], **_: object) -> None:
    """Take outputs, counts and the kernel's version out of a notebook that is about to be saved."""
    if model["type"] != "notebook" or not isinstance(model["content"], dict):
        return
    model["content"]["metadata"]["language_info"] = {"name": "python"}
    for cell in model["content"]["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)


# Jupyter gives its configuration files this function.
config = get_config()  # type: ignore[name-defined] # noqa: F821
# `lab` prints the one address to open; with a token of its own Jupyter prints others.
config.Application.log_level = "ERROR"
config.IdentityProvider.token = secrets.token_urlsafe(24)
warnings.filterwarnings("ignore", "Overriding existing pre_save_hook")  # by itself: read twice
config.FileContentsManager.pre_save_hook = strip
config.KernelManager.transport_encryption = "auto"
config.LabApp.default_url = "/lab/tree/README.md"
config.ServerApp.ip = "127.0.0.1"
config.ServerApp.root_dir = str(ROOT / "notebooks")
# The suite works for root, so this does.
config.ServerApp.allow_root = hasattr(os, "geteuid") and os.geteuid() == 0
