from __future__ import annotations

import numpy as np
import pytest
import standin
import vtk
from module_script import Script, noise

from medsam2.core.errors import OutsideVolumeError
from medsam2.core.geometry import SliceAxis


@pytest.fixture(params=["axial", "oblique"])
def a_script(a_scene, request):
    script = Script(a_scene, noise(a_scene, kind=request.param))
    script.logic.parameters.axis = "k"
    yield script
    script.close()


def read(script):
    return script.workspace.objectPrompts(script.segment_id)


def test_clicks_beside_the_volume_say_nothing(a_script):
    a_script.points("inside", (3, 3, 3), (-2, 3, 3), (3, 40, 3), (3, 3, 14.6), (15.4, 12.4, 14.4))
    found = [(point.index, tuple(np.round(point.point_rc, 3))) for point in read(a_script).prompts]
    assert found == [(3, (3.0, 3.0)), (14, (12.4, 15.4))]


def test_a_long_scribble_gives_a_dozen_clicks_from_end_to_end(a_script):
    a_script.points("scribble", *[(2 + n / 10, 4.0, 6.0) for n in range(100)])
    clicks = read(a_script).prompts
    assert len(clicks) == 12
    columns = [click.point_rc[1] for click in clicks]
    assert columns[0] == pytest.approx(2.0, abs=1e-6)
    assert columns[-1] == pytest.approx(11.9, abs=1e-6)
    assert np.ptp(np.diff(columns)) < 0.11
    assert all(click.positive for click in clicks)


def test_a_lasso_is_the_box_within_its_outline(a_script):
    a_script.points("lasso", (2.3, 4.2, 6.0), (9.6, 4.2, 6.1), (6.0, 8.7, 5.9))
    (box,) = read(a_script).prompts
    assert (box.index, box.box_rc) == (6, (5, 3, 8, 9))


def test_a_diameter_on_a_slice_keeps_its_ends(a_script):
    a_script.points("line", (2.0, 4.0, 6.2), (9.0, 7.0, 6.3))
    (line,) = read(a_script).prompts
    assert line.index == 6
    assert np.allclose(line.ends_rc, ((4.0, 2.0), (7.0, 9.0)))


@pytest.mark.parametrize("axis_name", "KJI")
def test_a_diameter_across_the_slices_is_turned_into_the_one_in_its_middle(a_script, axis_name):
    a_script.logic.parameters.axis = axis_name.lower()
    axis = SliceAxis[axis_name]
    ends_ijk = np.array([(6.0, 6.0, 6.0), (6.0, 6.0, 6.0)])
    ends_ijk[:, axis.ijk_position] = 5.0, 9.0
    a_script.points("line", *ends_ijk)
    (line,) = read(a_script).prompts
    assert line.index == 7
    workspace = a_script.workspace
    across = workspace.spacing_ijk[axis.ijk_position]
    assert line.length_mm(workspace.spacing_rc) == pytest.approx(4 * across)
    assert np.allclose(np.mean(line.ends_rc, axis=0), (6.0, 6.0))


@pytest.mark.parametrize("middle_rc", [(2.0, 8.0), (2.0, 2.0), (10.0, 13.0)])
def test_a_long_diameter_across_the_slices_stays_in_the_volume(a_script, middle_rc):
    row, column = middle_rc
    length_mm = 11.2  # 14 of the volume's 16 columns
    reach = length_mm / 2 / 2.0
    a_script.points("line", (column, row, 7 - reach), (column, row, 7 + reach))
    (line,) = read(a_script).checked(volume_of(a_script), SliceAxis.K).prompts
    assert line.index == 7
    assert line.length_mm((0.8, 0.8)) == pytest.approx(length_mm)
    assert np.allclose(np.array(line.ends_rc)[:, 0], row)


def volume_of(script):
    return script.workspace.volume.snapshotLater()()


def test_a_diameter_that_reaches_over_the_edge_is_cut_and_one_beside_says_nothing(a_script):
    a_script.points("line", (-3.0, 5.0, 6.0), (9.0, 5.0, 6.0))
    a_script.points("line", (-9.0, 5.0, 6.0), (-4.0, 7.0, 6.0))
    (line,) = read(a_script).checked(volume_of(a_script), SliceAxis.K).prompts
    assert np.allclose(line.ends_rc, ((5.0, 0.0), (5.0, 9.0)))


@pytest.mark.parametrize("flat", [0, 1])
def test_a_lasso_across_the_slices_is_as_deep_as_it_is_wide(a_script, flat):
    wide = 1 - flat
    points_ijk = np.full((4, 3), 6.0)
    points_ijk[:, wide] = 3.0, 9.0, 9.0, 3.0
    points_ijk[:, 2] = 5.8, 5.8, 8.2, 8.2
    a_script.points("lasso", *points_ijk)
    (box,) = read(a_script).prompts
    assert box.index == 7
    low_rc, high_rc = np.array(box.box_rc[:2]), np.array(box.box_rc[2:])
    assert (low_rc[::-1][wide], high_rc[::-1][wide]) == (3, 9)
    assert (low_rc[::-1][flat], high_rc[::-1][flat]) == (3, 9)


@pytest.mark.parametrize("kind", ["inside", "outside", "line", "scribble", "lasso", "box"])
def test_a_prompt_stays_on_its_voxels_where_the_volumes_transform_is_changed(a_script, kind):
    volume = a_script.logic.parameters.volume
    transform = standin.volumes.add_transform(a_script.scene)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    a_script.logic.parameters.segmentation = None
    if kind == "box":
        a_script.box((3, 4, 5, 8, 9, 10))
    else:
        a_script.points(kind, (3.2, 4.2, 6.0), (9.6, 4.2, 6.1), (6.0, 8.7, 5.9))
    before = read(a_script)
    transform.SetMatrixTransformToParent(vtk.vtkMatrix4x4())
    after = read(a_script)
    assert before.roi == after.roi
    for was, now in zip(before.prompts, after.prompts, strict=True):
        assert was.index == now.index
        for name in {"point_rc", "box_rc", "ends_rc"} & set(vars(was)):
            np.testing.assert_allclose(getattr(now, name), getattr(was, name), atol=1e-6)


def test_a_box_beside_the_volume_is_an_error_that_says_so(a_script):
    roi = a_script.box((1, 1, 1, 4, 4, 4))
    roi.SetCenterWorld(900.0, 900.0, 900.0)
    with pytest.raises(OutsideVolumeError, match="outside the volume"):
        read(a_script)
    assert a_script.workspace.promptedIndices(a_script.segment_id) == []


def test_prompts_that_are_not_placed_yet_are_passed_over(a_script):
    for kind in ("roi", "box", "inside", "line", "scribble", "lasso"):
        a_script.workspace.prompts.add(a_script.segment_id, kind)
    a_script.points("line", (3, 3, 3))
    held = read(a_script)
    assert (held.prompts, held.roi) == ((), None)


def test_the_users_slices_range_and_name_are_told_with_the_prompts(a_script):
    mask_rc = np.zeros((13, 16), dtype=bool)
    mask_rc[4:6, 5:9] = True
    a_script.paint(8, mask_rc)
    a_script.settle()
    a_script.do("useSlice", 2)
    a_script.do("setSliceRange", (2, 9))
    a_script.workspace.segmentation.segment(a_script.segment_id).SetName("liver")
    held = read(a_script)
    assert [prompt.index for prompt in held.prompts] == [2, 8]
    assert not held.prompts[0].mask_rc.unpack().any()
    assert np.array_equal(held.prompts[1].mask_rc.unpack(), mask_rc)
    assert (held.slice_range, held.name) == ((2, 9), "liver")
