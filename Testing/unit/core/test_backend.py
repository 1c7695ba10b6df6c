from __future__ import annotations

import threading

import pytest

from medsam2.core.backend import CancelToken
from medsam2.core.errors import CancelledError


def test_a_token_set_in_another_thread_ends_the_work():
    token = CancelToken()
    token.check()
    thread = threading.Thread(target=token.cancel)
    thread.start()
    thread.join()
    with pytest.raises(CancelledError):
        token.check()
