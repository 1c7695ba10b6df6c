"""The shipped MR volume as an entry of Slicer's Sample Data module; no network is needed."""

from __future__ import annotations

from . import Paths

CATEGORY = "MedSAM2Slicer"
SAMPLE_NAME = "MR of a soft-tissue sarcoma"
NODE_NAME = "SoftTissueSarcomaMR"
FILE_NAME = "mr_t1.nii.gz"
SHA256 = "39e722e4f3849bd88a9377e5eb3db2931746a320388fa3fefb5f19ac04616f5e"
LICENCE = (
    "Sample volume: MR T1 of a soft-tissue sarcoma (STS_003), https://github.com/theibsi/data_sets, "
    "after the Soft-tissue-Sarcoma collection of The Cancer Imaging Archive, "
    "DOI 10.7937/K9/TCIA.2015.7GO2GSKS; "
    'licence <a href="https://creativecommons.org/licenses/by/3.0/">CC BY 3.0</a>.'
)
"""One line for the module's acknowledgements; the file's own folder holds the full text."""


def registerSampleData() -> None:
    """Adds the volume to the Sample Data module; call it once Slicer has started.

    Slicer copies the file into its cache and loads it from there, so a user who saves the volume
    never writes into the extension's folder.

    Raises:
        FileNotFoundError: the module was copied without its sample.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        thumbnailFileName=str(Paths.resource("Icons/MedSAM2Slicer.png")),
        uris=(Paths.sampleDataDirectory() / FILE_NAME).as_uri(),
        fileNames=f"MedSAM2Slicer-{FILE_NAME}",
        checksums=f"SHA256:{SHA256}",
        nodeNames=NODE_NAME,
    )
