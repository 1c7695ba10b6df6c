from __future__ import annotations

import pytest


def copied(node):
    """A copy as the Data module's "Clone" makes it."""
    copy = node.GetScene().CreateNodeByClass(node.GetClassName())
    copy.UnRegister(None)
    copy.CopyContent(node)
    for name in node.GetAttributeNames():
        copy.SetAttribute(name, node.GetAttribute(name))
    copy.SetName(f"{node.GetName()} Copy")
    node.GetScene().AddNode(copy)
    copy.SetNodeReferenceID("MedSAM2.Segmentation", node.GetNodeReferenceID("MedSAM2.Segmentation"))
    return copy


def test_prompts_of_another_segmentation_are_not_seen(a_script):
    a_script.points("inside", (3, 3, 3))
    mine = a_script.workspace.prompts
    a_script.logic.parameters.segmentation = None
    a_script.points("inside", (4, 4, 4))
    theirs = a_script.workspace.prompts
    assert len(mine.nodes()) == len(theirs.nodes()) == 1
    assert mine.nodes() != theirs.nodes()
    theirs.restore({})
    assert theirs.nodes() == []
    assert len(mine.nodes()) == 1


def test_clicks_of_one_kind_go_into_one_node_and_strokes_each_into_its_own(a_script):
    for place in (3, 4, 5):
        a_script.points("inside", (place, 3, 3))
        a_script.points("scribble", (place, 3, 3), (place, 5, 3))
    kinds = [node.GetAttribute("MedSAM2.Kind") for node in a_script.workspace.prompts.nodes()]
    assert sorted(kinds) == ["inside", "scribble", "scribble", "scribble"]


def test_a_prompt_is_shown_in_its_own_colour_or_in_its_segments(a_script):
    segment = a_script.workspace.segmentation.segment(a_script.segment_id)
    segment.SetColor(0.1, 0.2, 0.3)
    box = a_script.box((1, 1, 1, 4, 4, 4))
    click = a_script.points("inside", (3, 3, 3))
    assert box.GetDisplayNode().GetSelectedColor() == pytest.approx((0.1, 0.2, 0.3))
    assert click.GetDisplayNode().GetSelectedColor() == pytest.approx((0.2, 0.8, 0.3))


@pytest.mark.parametrize("kind", ["inside", "outside", "line", "scribble", "lasso", "box", "roi"])
def test_every_kind_is_given_back_as_it_was(a_script, kind):
    prompts = a_script.workspace.prompts
    if kind in ("box", "roi"):
        node = prompts.add(a_script.segment_id, kind)
        node.SetSize(3.0, 4.0, 5.0)
        node.SetCenter(1.0, 2.0, 3.0)
    else:
        node = a_script.points(kind, (3, 3, 3), (6, 4, 3), (5, 8, 3))
    held = prompts.snapshot()
    assert len(held) == 1
    prompts.remove(node)
    assert prompts.snapshot() == {}
    prompts.restore(held)
    assert prompts.snapshot() == held
    (again,) = prompts.nodes()
    assert again.GetClassName() == node.GetClassName()
    prompts.restore(held)
    assert prompts.nodes() == [again], "what is right already is not made anew"


def test_a_copy_of_a_prompt_is_a_prompt_of_its_own(a_script):
    node = a_script.points("line", (3, 3, 3), (8, 3, 3))
    copy = copied(node)
    copy.SetNthControlPointPosition(0, 0.0, 0.0, 0.0)
    prompts = a_script.workspace.prompts
    a_script.settle()
    held = prompts.snapshot()
    assert len(held) == 2
    names = {node.GetName(), copy.GetName()}
    a_script.do("removePrompts")
    a_script.do("undo")
    assert prompts.snapshot() == held
    assert {node.GetName() for node in prompts.nodes()} == names


def test_removing_a_prompt_of_the_users_takes_its_marks_alone(a_script):
    roi = a_script.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "mine")
    roi.SetAttribute("Mine", "yes")
    prompts = a_script.workspace.prompts
    prompts.adopt(roi, a_script.segment_id)
    assert prompts.nodes(a_script.segment_id, "roi") == [roi]
    prompts.remove(roi)
    assert list(roi.GetAttributeNames()) == ["Mine"]
    assert roi.GetNodeReferenceID("MedSAM2.Segmentation") is None
