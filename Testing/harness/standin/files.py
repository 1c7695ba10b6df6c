"""Reading and writing of files, as qSlicerCoreIOManager offers it to Python.

Only the choice of the reader is made here; storage nodes and logics of Slicer do the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .scene import HeadlessApplication

TYPES = {
    "VolumeFile": (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".dcm"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "ModelFile": (".stl", ".obj", ".vtk", ".vtp", ".ply"),
    "TransformFile": (".tfm", ".h5"),
    "SequenceFile": (".seq.nrrd",),
    "SceneFile": (".mrml", ".mrb"),
}
LABELMAP, CENTERED, SINGLE_FILE = 1, 2, 8
"""Options of vtkSlicerVolumesLogic::AddArchetypeVolume."""


class FileManager:
    """Double of qSlicerCoreIOManager.

    Args:
        application: whose scene and logics read.
    """

    def __init__(self, application: HeadlessApplication) -> None:
        self._application = application
        self._readers = {
            "VolumeFile": self._readVolume,
            "SegmentationFile": self._readSegmentation,
            "MarkupsFile": self._readMarkups,
            "ModelFile": lambda name, _properties: self._logic("Models").AddModel(name),
            "TransformFile": self._readTransform,
            "SequenceFile": lambda name, _properties: self._logic("Sequences").AddSequence(name),
        }

    def _logic(self, name: str) -> Any:
        return self._application.moduleLogics[name]

    def fileType(self, fileName: str) -> str:
        """The name of the type that reads the file; the longest suffix that fits decides."""
        fitting = [
            (len(suffix), name)
            for name, suffixes in TYPES.items()
            for suffix in suffixes
            if fileName.lower().endswith(suffix)
        ]
        return max(fitting)[1] if fitting else "NoFile"

    def fileWriterFileType(self, node: Any) -> str:
        """The name of the type that writes the node."""
        return str(node.GetClassName())

    def loadNodes(
        self, fileType: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None
    ) -> bool:
        """Reads a file into the scene.

        Args:
            fileType: one of :data:`TYPES`.
            properties: ``fileName``, and options of the type.
            loaded: a vtkCollection that takes the node.
            messages: a vtkMRMLMessageCollection; unused.
        """
        if not Path(properties["fileName"]).exists():
            return False
        if fileType == "SceneFile":
            return self._readScene(properties["fileName"], clear=bool(properties.get("clear")))
        node = self._readers[fileType](properties["fileName"], properties)
        if node is None:
            return False
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def _readVolume(self, fileName: str, properties: dict[str, Any]) -> Any:
        options = (
            LABELMAP * bool(properties.get("labelmap"))
            + CENTERED * bool(properties.get("center"))
            + SINGLE_FILE * bool(properties.get("singleFile"))
        )
        name = properties.get("name") or Path(fileName).name.split(".")[0]
        return self._logic("Volumes").AddArchetypeVolume(fileName, name, options)

    def _readSegmentation(self, fileName: str, properties: dict[str, Any]) -> Any:
        node = self._logic("Segmentations").LoadSegmentationFromFile(fileName, True)
        if node is not None and properties.get("name"):
            node.SetName(properties["name"])
        return node

    def _readMarkups(self, fileName: str, properties: dict[str, Any]) -> Any:
        name = properties.get("name") or Path(fileName).name.split(".")[0]
        return self._application.scene.GetNodeByID(
            self._logic("Markups").LoadMarkups(fileName, name)
        )

    def _readTransform(self, fileName: str, _properties: dict[str, Any]) -> Any:
        return self._logic("Transforms").AddTransform(fileName, self._application.scene)

    def _readScene(self, fileName: str, *, clear: bool) -> bool:
        scene = self._application.scene
        if fileName.endswith(".mrb"):
            return bool(scene.ReadFromMRB(fileName, clear))
        scene.SetURL(fileName)
        return bool(scene.Connect() if clear else scene.Import())

    def saveNodes(self, fileType: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Writes a node or the scene.

        Args:
            fileType: ``SceneFile``, or what :meth:`fileWriterFileType` said.
            properties: ``fileName``, ``nodeID``, and options of the type.
            messages: a vtkMRMLMessageCollection for what went wrong.
        """
        scene, fileName = self._application.scene, properties["fileName"]
        if fileType == "SceneFile":
            if fileName.endswith(".mrb"):
                return bool(scene.WriteToMRB(fileName, None, messages))
            scene.SetURL(fileName)
            return bool(scene.Commit())
        node = scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(fileName)
        storage.SetUseCompression(bool(properties.get("useCompression", True)))
        return bool(storage.WriteData(node))
