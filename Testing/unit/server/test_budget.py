from __future__ import annotations

from medsam2.server.budget import Budget
from medsam2.server.settings import Limits


def test_each_limit_is_named_by_its_code():
    budget = Budget(Limits(memory_bytes=100, tenant_bytes=60))
    budget.take("a", 50)
    assert budget.lacks("a", 10) == ""
    assert budget.lacks("a", 11) == "quota"
    budget.take("b", 45)
    assert budget.lacks("b", 6) == "no_memory"


def test_what_is_given_back_can_be_taken_again():
    budget = Budget(Limits(memory_bytes=100, tenant_bytes=60))
    budget.take("a", 60)
    budget.give("a", 60)
    assert (budget.total, budget.of("a"), budget.lacks("a", 60)) == (0, 0, "")
