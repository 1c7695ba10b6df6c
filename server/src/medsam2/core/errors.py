"""Every error the project raises on purpose, in one tree.

::

    MedSAM2Error
    |-- InputError                  the user can mend it: exit code 2, HTTP 4xx
    |   |-- VolumeError             the image itself
    |   |   |-- NotAnImageError, TruncatedFileError, NotAVolumeError
    |   |   |-- NonFiniteVoxelsError, BadGeometryError, ShearedGeometryError
    |   |   `-- AmbiguousSeriesError
    |   |-- PromptError             what was asked of the image
    |   |   |-- OutsideVolumeError, EmptyRangeError, NoPromptError
    |   |   |-- UnsupportedPromptError, PromptFileError
    |   |-- WireError               a message that breaks the protocol
    |   |   `-- MessageTooLargeError
    |   |-- ModelError              the weights
    |   |   |-- UnknownModelError, WeightsMissingError, WeightsHashError
    |   |   |-- WeightsMismatchError, UnsafeWeightsError, DownloadError
    |   `-- OutputError             the place to write to
    |       `-- UnwritableOutputError, DiskFullError
    `-- EngineError                 the machine: exit code 1, HTTP 5xx
        |-- DeviceError, OutOfMemoryError
        |-- SessionClosedError
        |-- CancelledError
        `-- ServerError             a server between the user and the machine
            |-- ServerUnreachableError, ServerBusyError, ServerAnswerError
            |-- CertificateError, UnauthorizedError, ProtocolMismatchError
            `-- WorkerLostError

Each class carries a stable ``code`` that is used on the wire and in the user interface. The text
of an error says what is wrong and what to do, in one line.
"""

from __future__ import annotations

from typing import ClassVar


class MedSAM2Error(Exception):
    """Base of all errors raised on purpose; ``str(error)`` is one line for the user."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(MedSAM2Error):
    """Something the caller gave can't be used; the caller can mend it."""

    code = "input"
    exit_code = 2


class VolumeError(InputError):
    """The image can't be segmented as it is."""

    code = "volume"


class NotAnImageError(VolumeError):
    """The file is of no known image format."""

    code = "not_an_image"


class TruncatedFileError(VolumeError):
    """The file ends before its header says it should."""

    code = "truncated_file"


class NotAVolumeError(VolumeError):
    """The image has not the dimensions that were needed."""

    code = "not_a_volume"


class NonFiniteVoxelsError(VolumeError):
    """The image holds NaN or infinite voxels."""

    code = "non_finite_voxels"


class BadGeometryError(VolumeError):
    """Spacing or orientation is missing, zero or not finite."""

    code = "bad_geometry"


class ShearedGeometryError(BadGeometryError):
    """The index axes are not at right angles (a gantry tilt, say)."""

    code = "sheared_geometry"


class AmbiguousSeriesError(VolumeError):
    """A DICOM folder holds several series and none was chosen."""

    code = "ambiguous_series"


class PromptError(InputError):
    """A prompt can't be applied to this volume."""

    code = "prompt"


class OutsideVolumeError(PromptError):
    """A prompt lies outside the volume."""

    code = "outside_volume"


class EmptyRangeError(PromptError):
    """A range of slices holds no slice."""

    code = "empty_range"


class NoPromptError(PromptError):
    """An object has no prompt to start from."""

    code = "no_prompt"


class UnsupportedPromptError(PromptError):
    """The model can't take this kind of prompt."""

    code = "unsupported_prompt"


class PromptFileError(PromptError):
    """A file of prompts can't be read."""

    code = "prompt_file"


class WireError(InputError):
    """A message between client and server is malformed; nothing of it was used."""

    code = "malformed"


class MessageTooLargeError(WireError):
    """A message, or what it claims to hold, is larger than allowed."""

    code = "too_large"


class ModelError(InputError):
    """The model's weights can't be used."""

    code = "model"


class UnknownModelError(ModelError):
    """No model of this name is in the registry."""

    code = "unknown_model"


class WeightsMissingError(ModelError):
    """The model's weights are not on this machine yet."""

    code = "weights_missing"


class WeightsHashError(ModelError):
    """The weights' sha256 is not the registry's."""

    code = "weights_hash"


class WeightsMismatchError(ModelError):
    """The weights' names or shapes are not the architecture's."""

    code = "weights_mismatch"


class UnsafeWeightsError(ModelError):
    """The file could run code when it is read; it was not read."""

    code = "unsafe_weights"


class DownloadError(ModelError):
    """The weights could not be downloaded."""

    code = "download"


class OutputError(InputError):
    """The result can't be written."""

    code = "output"


class UnwritableOutputError(OutputError):
    """The output's folder is missing, not writable, or of the wrong kind."""

    code = "unwritable_output"


class DiskFullError(OutputError):
    """No room is left where the result should go; nothing was left half-written."""

    code = "disk_full"


class EngineError(MedSAM2Error):
    """The machine could not do what was asked."""

    code = "engine"


class DeviceError(EngineError):
    """The device asked for is not there."""

    code = "device"
    exit_code = 2


class OutOfMemoryError(EngineError):
    """The device's memory did not suffice, even after trying with less."""

    code = "out_of_memory"


class SessionClosedError(EngineError):
    """The session was closed."""

    code = "session_closed"


class CancelledError(EngineError):
    """The user cancelled; what was streamed before stays."""

    code = "cancelled"
    exit_code = 130


class ServerError(EngineError):
    """The server could not do what was asked."""

    code = "server"


class ServerUnreachableError(ServerError):
    """No server answers at the address; what was streamed before stays."""

    code = "server_unreachable"


class ServerBusyError(ServerError):
    """The server has no room for more at present."""

    code = "server_busy"


class ServerAnswerError(ServerError):
    """The server's answer is malformed or belongs to something else; nothing of it was used."""

    code = "server_answer"


class CertificateError(ServerError):
    """The server's certificate can't be verified; nothing was sent."""

    code = "certificate"
    exit_code = 2


class UnauthorizedError(ServerError):
    """The server does not know the token."""

    code = "unauthorized"
    exit_code = 2


class ProtocolMismatchError(ServerError):
    """Client and server speak different versions of the protocol."""

    code = "protocol"
    exit_code = 2


class WorkerLostError(ServerError):
    """The process that computes was lost twice while at this; other work is unharmed."""

    code = "worker_lost"
