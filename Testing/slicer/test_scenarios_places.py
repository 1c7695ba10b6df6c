"""The same work in process and on a real server leaves the same voxels, prompts and tags."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import standin
from module_script import Script, noise
from server_process import running

BOX = (3, 2, 2, 12, 10, 12)


def a_box(script):
    script.box(BOX)
    script.run()


def a_diameter(script):
    script.points("line", (4.1, 5.2, 7.1), (10.2, 7.3, 7.1))
    script.run()


def clicks_and_a_slice_box(script):
    script.points("inside", (6.0, 5.0, 7.0), (8.0, 6.0, 7.0), (7.0, 7.0, 10.0))
    script.points("outside", (13.0, 11.0, 7.0))
    script.run()


def corrections(script):
    script.box(BOX)
    script.run()
    for index in (4, 9):
        mask_rc = np.zeros(script.workspace.shape_rc, dtype=bool)
        mask_rc[3:8, index : index + 4] = True
        script.paint(index, mask_rc)
    script.run()
    script.do("releaseSlice", 9)
    script.run()
    script.do("undo")


def several_segments_in_a_range(script):
    script.box(BOX)
    script.add()
    script.box((6, 4, 3, 14, 9, 9))
    script.do("setSliceRange", (4, 8))
    script.do("segmentAll")
    script.run(direction="backward")


def along_the_rows(script):
    script.logic.parameters.axis = "j"
    script.box((3, 2, 4, 12, 10, 11))
    script.run()


SCENARIOS = [
    a_box,
    a_diameter,
    clicks_and_a_slice_box,
    corrections,
    several_segments_in_a_range,
    along_the_rows,
]


def local_backend(factory):
    if factory == "tiny":
        from tiny_engine import backend_for

        return backend_for()
    from fake_backend import FakeBackend

    return FakeBackend()


def left_by(scenario, scene, backend):
    """What a scenario leaves in the scene; segments in their order, for their ids are random."""
    scene.Clear(0)
    volume = noise(scene, kind="oblique", transform=standin.volumes.add_transform(scene))
    script = Script(scene, volume, backend)
    scenario(script)
    assert script.failures == []
    state = script.state()
    script.close()
    return list(state["voxels"].values()), list(state["facts"].values()), script.messages


@pytest.fixture(scope="module", params=["fake", "tiny"])
def places(request):
    """A backend here, and one on a server that does the same."""
    from medsam2.client.backend import RemoteBackend

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(factory=f"factories:{request.param}"))
        yield (
            lambda: local_backend(request.param),
            lambda: RemoteBackend(server.url, server.token),
        )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_masks_are_the_same_in_process_and_on_a_server(a_scene, places, scenario):
    here, there = (left_by(scenario, a_scene, backend) for backend in places)
    assert any(np.frombuffer(voxels, dtype=bool).any() for voxels in here[0])
    assert here[:2] == there[:2]
    assert [one.split(" in ")[0] for one in here[2]] == [one.split(" in ")[0] for one in there[2]]
