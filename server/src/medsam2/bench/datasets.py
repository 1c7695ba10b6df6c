"""The open volumes that quality is measured on: images, references and targets.

All lie in one folder that is not part of the repository; see its manifest for sources and licences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medsam2.core.masks import BoolArray
from medsam2.core.volume import Volume
from medsam2.io.volumes import read_volume

LESIONS = (
    "000001_02_01_008-023",
    "000002_03_01_035-047",
    "000009_03_01_036-048",
    "000010_01_01_078-090",
)
SARCOMAS = ("003", "006", "008", "012", "019", "025", "032", "042", "050")
TORSO = {
    "spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 5, "stomach": 6, "urinary bladder": 21,
    "vertebra L3": 29, "aorta": 52, "left hip": 77, "left gluteus maximus": 80,
}  # fmt: skip
ABDOMEN_MR = {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 5, "stomach": 6}
HIPPOCAMPI = 6


@dataclasses.dataclass(frozen=True)
class Case:
    """One target in one volume.

    Args:
        group: which row of the summary it counts in.
        name: unique within the group.
        image: the volume's file.
        reference: the label map's file.
        modality: DICOM's term, since most files don't carry it.
        labels: values that make up the target; empty means all that are not zero.
        plain_chain: Dice of plain box chaining from the largest slice's tight box, where known.
        slice_boxes: Dice of every slice's own tight box, where known.
    """

    group: str
    name: str
    image: Path
    reference: Path
    modality: str
    labels: tuple[int, ...] = ()
    plain_chain: float | None = None
    slice_boxes: float | None = None

    def load(self) -> tuple[Volume, BoolArray]:
        """Reads the volume and the target's mask ``[K, J, I]``."""
        volume = dataclasses.replace(read_volume(self.image), modality=self.modality)
        labels_kji = read_volume(self.reference).voxels_kji
        wanted = np.isin(labels_kji, self.labels) if self.labels else labels_kji != 0
        return volume, np.asarray(wanted, dtype=bool)


def all_cases(data: Path) -> Iterator[Case]:
    """Every case of the quality table, in its order."""
    known = {
        "000001": (0.92, 0.93), "000002": (0.61, 0.75), "000009": (0.93, 0.95), "000010": (0.33, 0.61),
    }  # fmt: skip
    for name in LESIONS:
        folder = data / f"ct_lesion_deeplesion_{name}"
        figures = known[name[:6]]
        yield Case(
            "CT lesion",
            name[:6],
            folder / "image.nii.gz",
            folder / "label.nii.gz",
            "CT",
            (),
            *figures,
        )
    sarcoma = {"CT": (0.87, 0.92), "MR_T1": (0.89, 0.94), "PET": (0.26, 0.79)}
    for kind, modality in (("CT", "CT"), ("MR_T1", "MR"), ("PET", "PT")):
        for patient in SARCOMAS:
            folder = data / f"sts_sarcoma_{patient}"
            plain = sarcoma[kind] if patient == "003" else ()
            image, mask = folder / f"{kind}_image.nii.gz", folder / f"{kind}_mask.nii.gz"
            group = f"sarcoma {kind.replace('_', ' ')}"
            yield Case(group, patient, image, mask, modality, (), *plain)
    yield from _organs(data)


def _organs(data: Path) -> Iterator[Case]:
    torso, abdomen = data / "ct_organs_totalseg_torso", data / "mr_organs_totalseg_abdomen"
    for name, label in TORSO.items():
        image, reference = torso / "example_ct.nii.gz", torso / "label_117class.nii.gz"
        yield Case("torso CT", name, image, reference, "CT", (label,))
    for name, label in ABDOMEN_MR.items():
        image, reference = abdomen / "example_mr_sm.nii.gz", abdomen / "label_50class.nii.gz"
        yield Case("abdomen MR", name, image, reference, "MR", (label,))
    cord = data / "mr_cord_t2_sct_sagittal"
    yield Case("cord", "T2 sagittal", cord / "t2.nii.gz", cord / "t2_seg-manual.nii.gz", "MR")
    oblique = data / "mr_spine_cord_ivadomed_oblique"
    for kind in ("T1w", "T2w", "T2star"):
        image = oblique / f"sub-unf01_{kind}.nii.gz"
        yield Case("cord", kind, image, oblique / f"sub-unf01_{kind}_seg-manual.nii.gz", "MR")
    hippocampus = data / "mr_hippocampus_msd_open"
    for image in sorted((hippocampus / "images").glob("*.nii.gz"))[:HIPPOCAMPI]:
        name = image.name.removesuffix(".nii.gz").removeprefix("hippocampus_")
        yield Case("hippocampus", name, image, hippocampus / "labels" / image.name, "MR")
