from __future__ import annotations

import re

import pytest

from medsam2.core.errors import ProtocolMismatchError
from medsam2.wire import routes


@pytest.mark.parametrize("theirs", [routes.PROTOCOL, "1.0", "1.1", "1.999", "1"])
def test_any_minor_version_is_understood(theirs):
    routes.check_protocol(theirs)


@pytest.mark.parametrize("theirs", ["0.9", "2.0", "10.0", "01.0", "", ".1", " 1.0", "one", "-1.0"])
def test_another_major_version_is_refused_with_both_in_the_message(theirs):
    with pytest.raises(ProtocolMismatchError, match=re.escape(routes.PROTOCOL)) as refusal:
        routes.check_protocol(theirs)
    assert theirs.strip() in str(refusal.value)


def test_paths_are_filled_with_names_alone():
    filled = {
        routes.CHUNK.format(volume="a", number=3): "/v1/volumes/a/chunks/3",
        routes.OBJECT.format(session="s", object_id=1): "/v1/sessions/s/objects/1",
        routes.RESULTS.format(session="s", job="j"): "/v1/sessions/s/jobs/j/results",
    }
    assert all(made == wanted for made, wanted in filled.items())


def test_every_path_but_the_operators_carries_the_major_version():
    constants = {name: value for name, value in vars(routes).items() if name.isupper()}
    paths = [value for value in constants.values() if str(value).startswith("/")]
    plain = {routes.HEALTH, routes.READY, routes.METRICS}
    major = routes.PROTOCOL.partition(".")[0]
    assert len(paths) >= 10
    assert {path for path in paths if not path.startswith(f"/v{major}/")} == plain
