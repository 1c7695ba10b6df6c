"""Segmentations: what is written is what is read, and nothing is written by halves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsam2.core.errors import (
    BadGeometryError,
    NotAnImageError,
    NotAVolumeError,
    TruncatedFileError,
    UnwritableOutputError,
)
from medsam2.core.geometry import LPS_FROM_RAS
from medsam2.core.volume import Volume
from medsam2.io.nrrd_files import load_header
from medsam2.io.segmentations import (
    Code,
    Segment,
    Terminology,
    read_segments,
    write_labelmap,
    write_segmentation,
)

from .builders import a_volume, oblique_affine

LABELMAPS = ["a.nii.gz", "a.nii", "a.nrrd", "a.mha"]


def box_mask(volume: Volume, *bounds: int) -> np.ndarray:
    mask = np.zeros(volume.shape_kji, bool)
    k0, k1, j0, j1, i0, i1 = bounds
    mask[k0:k1, j0:j1, i0:i1] = True
    return mask


def three_segments(volume: Volume) -> list[Segment]:
    """The first two overlap, the third is apart from both."""
    liver = Code("SCT", "10200004", "Liver")
    anatomy = Code("SCT", "123037004", "Anatomical Structure")
    return [
        Segment(
            'Leberläsion "A"',
            box_mask(volume, 1, 4, 1, 4, 1, 4),
            (1.0, 0.25, 0.0),
            terminology=Terminology(anatomy, liver),
        ),
        Segment("second", box_mask(volume, 2, 5, 2, 5, 2, 5)),
        Segment("third", box_mask(volume, 5, 6, 6, 7, 0, 8), (0.0, 0.0, 1.0)),
    ]


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 1000),
    left_handed=st.booleans(),
    spacing=st.tuples(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(0.2, 5)),
)
def test_overlapping_segments_come_back_whole_from_seg_nrrd(
    seed: int, left_handed: bool, spacing: tuple[float, ...], tmp_path: Path
) -> None:
    volume = a_volume(affine=oblique_affine(spacing, left_handed=left_handed))
    random = np.random.default_rng(seed)
    segments = [Segment(f"s{n}", random.random(volume.shape_kji) > 0.7) for n in range(4)]
    assert write_segmentation(tmp_path / "a.seg.nrrd", segments, volume) == ()
    found = read_segments(tmp_path / "a.seg.nrrd")
    assert np.array_equal(found.affine_ijk_to_ras, volume.affine_ijk_to_ras)
    for before, after in zip(segments, found.segments, strict=True):
        assert np.array_equal(before.mask_kji, after.mask_kji)


def test_seg_nrrd_keeps_names_colours_and_meanings(tmp_path: Path) -> None:
    volume = a_volume()
    segments = three_segments(volume)
    write_segmentation(tmp_path / "a.seg.nrrd", segments, volume)
    found = read_segments(tmp_path / "a.seg.nrrd").segments
    assert [s.name for s in found] == ['Leberläsion "A"', "second", "third"]
    assert found[0].color == (1.0, 0.25, 0.0)
    assert found[1].color is not None
    assert found[0].terminology == segments[0].terminology
    assert [s.label_value for s in found] == [1, 2, 3]


def test_seg_nrrd_has_slicers_form(tmp_path: Path) -> None:
    volume = a_volume()
    segments = three_segments(volume)
    write_segmentation(tmp_path / "two.seg.nrrd", segments, volume)
    header = load_header(tmp_path / "two.seg.nrrd")
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    assert [header[f"Segment{n}_Layer"] for n in range(3)] == ["0", "1", "0"]
    assert header["Segment0_Extent"] == "1 3 1 3 1 3"
    assert header["Segment1_ID"] == "Segment_2"
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert header["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    write_segmentation(tmp_path / "one.seg.nrrd", segments[1:], volume)
    assert load_header(tmp_path / "one.seg.nrrd")["dimension"] == 3
    image = sitk.ReadImage(str(tmp_path / "one.seg.nrrd"))
    expected = segments[1].mask_kji + 2 * segments[2].mask_kji
    assert np.array_equal(sitk.GetArrayFromImage(image), expected)


def write_cropped(
    path: Path, volume: Volume, labels_lkji: np.ndarray, start_ijk: list[int]
) -> None:
    """Writes what Slicer writes when it crops a segmentation to what is painted."""
    affine_lps = LPS_FROM_RAS @ volume.affine_ijk_to_ras
    origin = (affine_lps @ [*start_ijk, 1])[:3]
    vectors = [",".join(repr(float(x)) for x in v) for v in (*affine_lps[:3, :3].T, origin)]
    layers, k, j, i = labels_lkji.shape
    header = (
        "NRRD0004\n# Complete NRRD file format specification at:\ntype: unsigned char\n"
        f"dimension: 4\nspace: left-posterior-superior\nsizes: {layers} {i} {j} {k}\n"
        f"space directions: none ({vectors[0]}) ({vectors[1]}) ({vectors[2]})\n"
        f"kinds: list domain domain domain\nencoding: raw\nspace origin: ({vectors[3]})\n"
        "Segment0_ID:=Segment_1\nSegment0_LabelValue:=3\nSegment0_Layer:=0\nSegment0_Name:=One\n"
        "Segment0_Color:=0.5 0.6 0.7\nSegment1_ID:=Segment_2\nSegment1_LabelValue:=1\n"
        "Segment1_Layer:=1\nSegment1_Name:=Two\n"
        f"Segmentation_ReferenceImageExtentOffset:={' '.join(map(str, start_ijk))}\n\n"
    )
    path.write_bytes(header.encode() + labels_lkji.transpose(1, 2, 3, 0).tobytes())


def test_slicers_cropped_layers_are_put_back_onto_the_volume(tmp_path: Path) -> None:
    volume = a_volume()
    labels = np.zeros((2, 2, 3, 4), np.uint8)
    labels[0, 0, 1, 1:3], labels[1, 1, 2, 3] = 3, 1
    write_cropped(tmp_path / "a.seg.nrrd", volume, labels, [2, 1, 3])
    one, two = read_segments(tmp_path / "a.seg.nrrd", onto=volume).segments
    assert (one.name, one.color, two.name, two.color) == ("One", (0.5, 0.6, 0.7), "Two", None)
    assert np.argwhere(one.mask_kji).tolist() == [[3, 2, 3], [3, 2, 4]]
    assert np.argwhere(two.mask_kji).tolist() == [[4, 3, 5]]


def test_labels_beyond_the_volume_are_dropped_and_labels_elsewhere_are_refused(
    tmp_path: Path,
) -> None:
    volume = a_volume()
    labels = np.ones((2, 2, 3, 4), np.uint8)
    write_cropped(tmp_path / "a.seg.nrrd", volume, labels, [-2, -1, -1])
    two = read_segments(tmp_path / "a.seg.nrrd", onto=volume).by_label(1)
    assert two is not None
    assert int(two.mask_kji.sum()) == 1 * 2 * 2
    write_cropped(tmp_path / "a.seg.nrrd", volume, labels, [50, 0, 0])
    with pytest.raises(BadGeometryError, match="wholly outside"):
        read_segments(tmp_path / "a.seg.nrrd", onto=volume)


def test_a_grid_that_is_not_the_volumes_is_refused(tmp_path: Path) -> None:
    volume = a_volume()
    write_segmentation(tmp_path / "a.seg.nrrd", three_segments(volume), volume)
    shifted, coarser = volume.affine_ijk_to_ras.copy(), volume.affine_ijk_to_ras.copy()
    shifted[:3, 3] += 0.4
    coarser[:3, 0] *= 2
    for affine in (shifted, coarser, oblique_affine(left_handed=True) @ np.diag([1, 1, 3, 1])):
        with pytest.raises(BadGeometryError, match="another grid"):
            read_segments(tmp_path / "a.seg.nrrd", onto=a_volume(affine=affine))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=st.permutations([0, 1, 2]), flips=st.tuples(*[st.booleans()] * 3))
def test_label_maps_stored_in_another_axis_order_land_on_the_same_voxels(
    order: list[int], flips: tuple[bool, ...], tmp_path: Path
) -> None:
    volume = a_volume()
    labels_ijk = (np.random.default_rng(1).random(volume.shape_kji[::-1]) > 0.5).astype(np.uint8)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for axis, source in enumerate(order):
        turn[source, axis] = -1 if flips[axis] else 1
        turn[source, 3] = labels_ijk.shape[source] - 1 if flips[axis] else turn[source, 3]
    turned = np.flip(labels_ijk.transpose(order), [a for a in range(3) if flips[a]])
    nibabel.save(
        nibabel.Nifti1Image(np.ascontiguousarray(turned), volume.affine_ijk_to_ras @ turn),
        tmp_path / "a.nii",
    )
    found = read_segments(tmp_path / "a.nii", onto=volume).segments[0]
    assert np.array_equal(found.mask_kji, labels_ijk.T > 0)


@pytest.mark.parametrize("name", LABELMAPS)
@pytest.mark.parametrize("left_handed", [False, True])
def test_label_maps_come_back_where_they_were(name: str, left_handed: bool, tmp_path: Path) -> None:
    volume = a_volume(affine=oblique_affine(left_handed=left_handed))
    segments = three_segments(volume)[1:]
    assert write_segmentation(tmp_path / name, segments, volume) == ()
    found = read_segments(tmp_path / name)
    tolerance = 1e-5 if "nii" in name else 1e-12
    np.testing.assert_allclose(found.affine_ijk_to_ras, volume.affine_ijk_to_ras, atol=tolerance)
    assert [(s.name, s.label_value) for s in found.segments] == [("Label 1", 1), ("Label 2", 2)]
    for before, after in zip(segments, found.segments, strict=True):
        assert np.array_equal(before.mask_kji, after.mask_kji)
    assert sitk.ReadImage(str(tmp_path / name)).GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize("name", LABELMAPS)
def test_in_a_label_map_the_later_segment_wins_with_a_warning(name: str, tmp_path: Path) -> None:
    volume = a_volume()
    segments = three_segments(volume)
    (warning,) = write_segmentation(tmp_path / name, segments, volume)
    assert "second covers 8 voxels" in warning
    found = read_segments(tmp_path / name, onto=volume)
    assert np.array_equal(found.segments[1].mask_kji, segments[1].mask_kji)


def test_more_labels_than_a_byte_holds_take_two(tmp_path: Path) -> None:
    volume = a_volume()
    masks = np.zeros((300, *volume.shape_kji), bool)
    masks.reshape(300, -1)[np.arange(300), np.arange(300)] = True
    segments = [Segment(f"s{n}", mask) for n, mask in enumerate(masks)]
    for name in ("a.nii.gz", "a.mha", "a.seg.nrrd"):
        write_segmentation(tmp_path / name, segments, volume)
        assert len(read_segments(tmp_path / name).segments) == 300


def test_only_the_labels_asked_for_are_read(tmp_path: Path) -> None:
    volume = a_volume()
    for name in ("a.nii.gz", "a.seg.nrrd"):
        write_segmentation(tmp_path / name, three_segments(volume), volume)
        found = read_segments(tmp_path / name, labels=[3])
        assert [s.label_value for s in found.segments] == [3]
        with pytest.raises(NotAnImageError, match="label"):
            read_segments(tmp_path / name, labels=[9])


def test_a_label_map_of_fractions_is_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), 0.5, np.float32), np.eye(4)),
                 tmp_path / "a.nii")  # fmt: skip
    with pytest.raises(NotAVolumeError, match="whole numbers"):
        read_segments(tmp_path / "a.nii")


def test_bad_segmentation_files_are_refused(tmp_path: Path) -> None:
    volume = a_volume()
    with pytest.raises(NotAnImageError, match="does not exist"):
        read_segments(tmp_path / "missing.seg.nrrd")
    with pytest.raises(NotAnImageError, match="is no segmentation"):
        read_segments(tmp_path / "a.png")
    (tmp_path / "text.seg.nrrd").write_text("hello")
    with pytest.raises(NotAnImageError, match="not an NRRD"):
        read_segments(tmp_path / "text.seg.nrrd")
    write_segmentation(tmp_path / "cut.seg.nrrd", three_segments(volume), volume)
    body = (tmp_path / "cut.seg.nrrd").read_bytes()
    (tmp_path / "cut.seg.nrrd").write_bytes(body[:-25])
    with pytest.raises(TruncatedFileError):
        read_segments(tmp_path / "cut.seg.nrrd")
    labels = np.ones((2, 2, 3, 4), np.uint8)
    write_cropped(tmp_path / "wrong.seg.nrrd", volume, labels, [0, 0, 0])
    body = (tmp_path / "wrong.seg.nrrd").read_bytes()
    (tmp_path / "wrong.seg.nrrd").write_bytes(body.replace(b"_Layer:=1", b"_Layer:=7"))
    with pytest.raises(NotAnImageError, match="Segment1 wrongly"):
        read_segments(tmp_path / "wrong.seg.nrrd")


def test_masks_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadGeometryError, match="shape"):
        write_segmentation(
            tmp_path / "a.seg.nrrd", [Segment("s", np.ones((2, 2, 2), bool))], a_volume()
        )


@pytest.mark.parametrize("name", ["a.stl", "a", "a.nii.zip"])
def test_an_unknown_format_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnwritableOutputError, match=r"\.seg\.nrrd"):
        write_segmentation(tmp_path / name, three_segments(a_volume()), a_volume())
    with pytest.raises(UnwritableOutputError):
        write_labelmap(tmp_path / name, three_segments(a_volume()), a_volume())


def test_a_format_that_is_asked_for_must_fit_the_name(tmp_path: Path) -> None:
    volume, segments = a_volume(), three_segments(a_volume())
    write_segmentation(tmp_path / "a.seg.nrrd", segments, volume, "seg.nrrd")
    assert len(read_segments(tmp_path / "a.seg.nrrd").segments) == 3
    with pytest.raises(UnwritableOutputError, match=r"must end in \.seg\.nrrd"):
        write_segmentation(tmp_path / "a.nrrd", segments, volume, ".seg.nrrd")


@pytest.mark.parametrize("name", ["a.seg.nrrd", *LABELMAPS])
def test_a_place_that_can_not_be_written_is_refused_and_left_alone(
    name: str, tmp_path: Path
) -> None:
    volume, segments = a_volume(), three_segments(a_volume())
    (tmp_path / "file").touch()
    (tmp_path / "folder" / name).mkdir(parents=True)
    for folder in ("missing", "file", "folder"):
        with pytest.raises(UnwritableOutputError):
            write_segmentation(tmp_path / folder / name, segments, volume)
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted(["file", "folder", name])


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from medsam2.core.errors import DiskFullError
from medsam2.core.volume import Volume
from medsam2.io.segmentations import Segment, write_segmentation
volume = Volume(np.zeros((40, 64, 64), np.uint8), np.eye(4))
segments = [Segment("noise", np.random.default_rng(0).random(volume.shape_kji) > 0.5)]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for name in sys.argv[1:]:
    try:
        write_segmentation(Path(name), segments, volume)
    except DiskFullError as error:
        print(type(error).__name__)
"""


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path: Path) -> None:
    names = ["a.seg.nrrd", *LABELMAPS]
    for name in names:
        (tmp_path / name).write_text("old")
    source = str(Path(sys.modules["medsam2"].__path__[0]).parent)
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, *names],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["DiskFullError"] * len(names)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    assert {p.read_text() for p in tmp_path.iterdir()} == {"old"}
