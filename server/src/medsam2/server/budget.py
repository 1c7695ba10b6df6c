"""Who holds how many bytes."""

from __future__ import annotations

from collections import Counter

from .settings import Limits


class Budget:
    """Counts the bytes of voxels, prompts and results; use from the event loop alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_tenant: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Bytes in use."""
        return self._by_tenant.total()

    def of(self, tenant: str) -> int:
        """Bytes that a tenant uses."""
        return self._by_tenant[tenant]

    def lacks(self, tenant: str, size: int) -> str:
        """Returns the code of the limit that ``size`` more bytes would break, or nothing."""
        if self.of(tenant) + size > self._limits.tenant_bytes:
            return "quota"
        return "no_memory" if self.total + size > self._limits.memory_bytes else ""

    def take(self, tenant: str, size: int) -> None:
        """Counts bytes as used."""
        self._by_tenant[tenant] += size

    def give(self, tenant: str, size: int) -> None:
        """Counts bytes as free again."""
        self._by_tenant[tenant] -= size
        if self._by_tenant[tenant] <= 0:
            del self._by_tenant[tenant]
