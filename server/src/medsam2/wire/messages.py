"""What client and server say to each other beside voxels, prompts and results."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Annotated, Literal

import numpy as np

from medsam2.core.backend import ModelInfo, SessionOptions
from medsam2.core.errors import WireError
from medsam2.core.geometry import FloatArray, SliceAxis, check_affine
from medsam2.core.intensity import Window

from . import strict
from .limits import LONGEST_AXIS, MOST_OBJECTS
from .names import Id, Sha256
from .records import Index, Number, ObjectId, State

Finite = Annotated[float, strict.Range(-1e12, 1e12)]
Intensity = Annotated[float, strict.Range(-3.4e38, 3.4e38)]
"""What the engine's single precision can hold."""

Row = tuple[Finite, Finite, Finite, Finite]
Short = Annotated[str, strict.Most(200)]
ObjectName = Annotated[str, strict.Pattern("0|[1-9][0-9]{0,9}")]
"""An object's id as a JSON object's name."""


@dataclasses.dataclass(frozen=True)
class WireModel:
    """The model that a server runs; see :class:`medsam2.core.backend.ModelInfo`."""

    name: Short
    prompts: Annotated[tuple[Literal["box", "line", "mask", "point", "roi"], ...], strict.Most(5)]
    device: Short
    weights_sha256: Sha256
    license: Short

    @classmethod
    def of(cls, model: ModelInfo) -> WireModel:
        """The message for a model."""
        kinds: tuple[Literal["box", "line", "mask", "point", "roi"], ...]
        kinds = ("box", "line", "mask", "point", "roi")
        held = tuple(kind for kind in kinds if kind in model.prompts)
        return cls(model.name, held, model.device, model.weights_sha256, model.license)

    def info(self) -> ModelInfo:
        """The model that the message names."""
        kinds = frozenset(self.prompts)
        return ModelInfo(self.name, kinds, self.device, self.weights_sha256, self.license)


@dataclasses.dataclass(frozen=True)
class ServerInfo:
    """What a server is and allows.

    Args:
        protocol: ``major.minor``; another major version is not understood.
        version: of the software, for people.
        run: changes whenever the server starts anew: nothing of an older run is known to it.
        model: what it runs.
        codecs: for arrays, that it can read.
        most_volume_bytes: the largest volume it takes.
    """

    protocol: Annotated[str, strict.Pattern("[0-9]{1,3}[.][0-9]{1,3}")]
    version: Short
    run: Id
    model: WireModel
    codecs: Annotated[tuple[Short, ...], strict.Most(8)]
    most_volume_bytes: Annotated[int, strict.Range(1, 2**53)]


@dataclasses.dataclass(frozen=True)
class SessionRequest:
    """What a session can't change once it is open; see :class:`~medsam2.core.backend.SessionOptions`.

    Args:
        volume: the voxels' SHA-256.
        affine_ijk_to_ras: voxel centres to RAS millimetres, by rows.
        axis: slices lie across it.
        window: low and high intensity, worked out by the client on the user's own voxels.
        crop: whether the model sees a crop around a small ROI.
        stop_after_empty: empty slices that end an open-ended propagation; 0 for never.
    """

    volume: Sha256
    affine_ijk_to_ras: tuple[Row, Row, Row, Row]
    axis: Literal["I", "J", "K"]
    window: tuple[Intensity, Intensity]
    crop: bool = True
    stop_after_empty: Annotated[int, strict.Range(0, LONGEST_AXIS)] = 3

    @classmethod
    def of(
        cls, volume: str, affine_ijk_to_ras: FloatArray, options: SessionOptions, window: Window
    ) -> SessionRequest:
        """The request for a volume of this digest.

        Raises:
            WireError: a number is beyond what the wire carries.
        """
        fields = {
            "volume": volume,
            "affine_ijk_to_ras": affine_ijk_to_ras.tolist(),
            "axis": options.axis.name,
            "window": [float(window.low), float(window.high)],
            "crop": bool(options.crop),
            "stop_after_empty": int(options.stop_after_empty),
        }
        return strict.build(cls, fields)

    def options(self) -> SessionOptions:
        """The options for the engine.

        Raises:
            InputError: the window is empty.
        """
        low, high = self.window
        return SessionOptions(
            SliceAxis[self.axis], Window(low, high), self.crop, self.stop_after_empty
        )

    def affine(self) -> FloatArray:
        """The checked matrix, float64 ``[4, 4]``.

        Raises:
            BadGeometryError, ShearedGeometryError: see :func:`medsam2.core.geometry.check_affine`.
        """
        return check_affine(np.array(self.affine_ijk_to_ras))


@dataclasses.dataclass(frozen=True)
class SessionState:
    """An open session.

    Args:
        fingerprint: of everything that its results depend on but the prompts.
        objects: the digest of each object's prompts, by id.
        run: of the server.
    """

    fingerprint: Sha256
    objects: Annotated[dict[ObjectName, Sha256], strict.Most(MOST_OBJECTS)]
    run: Id


@dataclasses.dataclass(frozen=True)
class ObjectState:
    """An object as the server holds it."""

    digest: Sha256


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """Something to compute in a session.

    Args:
        session: the fingerprint that the client expects; another one is refused.
        objects: what to segment, each with the digest of the prompts that the client means.
        kind: ``propagate`` through the slices, or ``predict`` one slice of one object.
        direction: for ``propagate``.
        index: for ``predict``.
    """

    session: Sha256
    objects: Annotated[dict[ObjectName, Sha256], strict.Most(MOST_OBJECTS)]
    kind: Literal["propagate", "predict"]
    direction: Literal["both", "forward", "backward"] = "both"
    index: Index | None = None

    def __post_init__(self) -> None:
        if not self.objects:
            msg = "A job needs at least one object."
            raise WireError(msg)
        predicts = self.kind == "predict"
        if predicts != (self.index is not None) or (predicts and len(self.objects) != 1):
            msg = "A prediction needs an index and one object; a propagation takes no index."
            raise WireError(msg)

    def ids(self) -> tuple[int, ...]:
        """The objects' ids, ascending."""
        return tuple(sorted(int(name) for name in self.objects))


@dataclasses.dataclass(frozen=True)
class JobState:
    """A job as the server sees it.

    Args:
        job: its identifier.
        state: ``running`` includes waiting for its turn.
        last: number of slices made so far.
        total: slices at most.
        code: of the error, for a job that failed.
        message: the error in one line.
    """

    job: Id
    state: State
    last: Number
    total: Number
    code: Annotated[str, strict.Most(64)] = ""
    message: Annotated[str, strict.Most(1000)] = ""


@dataclasses.dataclass(frozen=True)
class Problem:
    """The body of every refusal.

    Args:
        code: stable; see the table in the protocol's document.
        message: one line for the user, saying what to do.
    """

    code: Annotated[str, strict.Pattern("[a-z0-9_]{1,64}")]
    message: Annotated[str, strict.Most(1000)]


def fingerprint(request: SessionRequest, model: ModelInfo) -> str:
    """SHA-256 of a session's volume, geometry, options and model's weights.

    Client and server work it out separately; a result that carries another one is foreign.
    """
    parts = strict.to_json(request), model.name.encode(), model.weights_sha256.encode()
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def prompts_digest(request: JobRequest) -> str:
    """SHA-256 of everything a job was asked."""
    return hashlib.sha256(strict.to_json(request)).hexdigest()


__all__ = [
    "JobRequest",
    "JobState",
    "ObjectId",
    "ObjectState",
    "Problem",
    "ServerInfo",
    "SessionRequest",
    "SessionState",
    "WireModel",
    "fingerprint",
    "prompts_digest",
]
