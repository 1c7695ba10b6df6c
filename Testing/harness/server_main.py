"""Runs a server with settings from the environment; see ``server_process``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Serves until told to stop."""
    from medsam2.server.serve import serve
    from medsam2.server.settings import Limits, ModelChoice, Settings
    from medsam2.server.tokens import tenant_of

    given = json.loads(os.environ.pop("MEDSAM2_TEST_SERVER"))
    tenants = tuple(tenant_of(token, f"tenant{n}") for n, token in enumerate(given["tokens"]))
    settings, model = given["settings"], given["model"]
    for values in (settings, model):
        for name in ("certificate", "key", "checkpoint"):
            if values.get(name):
                values[name] = Path(values[name])
    for name in ("allowed_hosts", "allowed_origins"):
        settings[name] = tuple(settings.get(name, ()))
    return serve(
        Settings(tenants, limits=Limits(**given["limits"]), model=ModelChoice(**model), **settings)
    )


if __name__ == "__main__":
    sys.exit(main())
