"""What belongs to a computer and its user rather than to a case: where to compute, with which model.

Kept outside the scene, in Slicer's own settings. What belongs to a case is in :mod:`ParameterNode`.
A value is checked when it is set; what was stored by hand, or has gone stale since, falls back to its
default or is found by :meth:`Settings.check`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

from . import Paths

THIS_COMPUTER, BUNDLED_SERVER, REMOTE_SERVER = "this-computer", "bundled-server", "remote-server"
MODES = THIS_COMPUTER, BUNDLED_SERVER, REMOTE_SERVER
CUSTOM_MODEL = "custom"
"""The model name that stands for the user's own checkpoint."""

LEAST_CACHE_MEGABYTES, MOST_CACHE_MEGABYTES = 64, 1 << 20
_GROUP = "MedSAM2Slicer/"
_TOKEN_KEY = f"{_GROUP}ServerToken"
_DEVICE = re.compile("auto|cpu|mps|cuda(:[0-9]{1,2})?")


class Store(Protocol):
    """The part of a QSettings that is used."""

    def value(self, key: str, default: Any) -> Any:
        """What is stored, or the default; files of settings give everything back as text."""

    def setValue(self, key: str, value: Any) -> None:
        """Stores a value."""

    def contains(self, key: str) -> bool:
        """Whether something is stored."""

    def remove(self, key: str) -> None:
        """Forgets what is stored."""


class _Preference:
    """A stored text with a default, as an attribute.

    Args:
        key: in the store, after the group.
        default: where nothing, or nothing usable, is stored.
        checked: returns the text as it is to be stored, or raises InputError.
    """

    def __init__(self, key: str, default: str, checked: Callable[[str], str] = str.strip) -> None:
        self._key, self._default, self._checked = _GROUP + key, default, checked

    def __get__(self, owner: Settings | None, kind: type) -> Any:
        return self if owner is None else str(owner.store.value(self._key, self._default))

    def __set__(self, owner: Settings, value: Any) -> None:
        self._put(owner, self._checked(str(value)))

    def _put(self, owner: Settings, text: str) -> None:
        if text == self._default:
            owner.store.remove(self._key)
        else:
            owner.store.setValue(self._key, text)


class _Choice(_Preference):
    """A text of which only known values count."""

    def __get__(self, owner: Settings | None, kind: type) -> Any:
        text = super().__get__(owner, kind)
        if owner is None:
            return text
        try:
            return self._checked(text)
        except Exception:  # noqa: BLE001 (whatever is wrong with it, the default is right)
            return self._default


class _Flag(_Preference):
    """A yes or no; no by default."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "false")

    def __get__(self, owner: Settings | None, kind: type) -> Any:
        text = super().__get__(owner, kind)
        return self if owner is None else text.lower() in {"true", "1"}

    def __set__(self, owner: Settings, value: Any) -> None:
        self._put(owner, "true" if value else "false")


def _mode(text: str) -> str:
    return _oneOf(text, MODES, "way of computing")


def _device(text: str) -> str:
    if not _DEVICE.fullmatch(text):
        _refuse(f"No device is called {text!r}; take auto, cpu, cuda, cuda:N or mps.")
    return text


def _pendingMode(text: str) -> str:
    return _oneOf(text, ("", *MODES), "way of computing")


def _oneOf(text: str, known: tuple[str, ...], what: str) -> str:
    if text not in known:
        _refuse(f"There is no {what} {text!r}; choose one of {', '.join(filter(None, known))}.")
    return text


def _url(text: str) -> str:
    if not text.strip():
        return ""
    Paths.useBundledServer()
    from medsam2.client.address import Address

    # Whether plain http will do is a setting of its own, which may still be changed after this one.
    return Address.parse(text.strip(), allow_http=True).url


def _file(text: str) -> str:
    if text and not Path(text).is_file():
        _refuse(f"There is no file {text}; choose it again.")
    return text


def _model(text: str) -> str:
    return text if text == CUSTOM_MODEL else _architecture(text)


def _architecture(text: str) -> str:
    Paths.useBundledServer()
    from medsam2.models.registry import card_of

    return card_of(text).name


def _cache(text: str) -> str:
    if text == "0":
        return text
    if not text.isdecimal() or not LEAST_CACHE_MEGABYTES <= int(text) <= MOST_CACHE_MEGABYTES:
        _refuse(
            f"The feature cache takes {LEAST_CACHE_MEGABYTES} to {MOST_CACHE_MEGABYTES} MB; 0 lets the "
            "engine choose."
        )
    return str(int(text))


class Settings:
    """The user's preferences.

    Setting an attribute raises InputError, in one line that says what to do, where the value can't
    be used; nothing is changed then.

    Args:
        store: Slicer's ``slicer.app.userSettings()``, or anything with the same four methods.

    Threading: main thread. A job takes a :meth:`snapshot` along.
    """

    mode = _Choice("Mode", THIS_COMPUTER, _mode)
    """Where to compute: one of :data:`MODES`."""
    serverUrl = _Preference("ServerUrl", "", _url)
    """The remote server's address; empty for none yet."""
    caFile = _Preference("ServerCaFile", "", _file)
    """PEM file of the authority that signed the remote server's certificate; empty: the usual ones."""
    allowPlainHttp = _Flag("AllowPlainHttp")
    """Whether another machine may be reached without encryption."""
    model = _Choice("Model", "litemedsam", _model)
    """A name of the registry, or :data:`CUSTOM_MODEL`."""
    checkpointPath = _Preference("CheckpointPath", "", _file)
    """The user's own weights, for :data:`CUSTOM_MODEL`."""
    checkpointArchitecture = _Choice("CheckpointArchitecture", "sam2.1-tiny", _architecture)
    """The model of the registry that they were made for."""
    device = _Choice("Device", "auto", _device)
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    downloadsAllowed = _Flag("DownloadsAllowed")
    """Whether the user has agreed that weights are downloaded when asked for."""
    pendingInstallation = _Choice("PendingInstallation", "", _pendingMode)
    """The mode whose packages were being installed when Slicer ended; empty for none."""
    _cacheText = _Choice("FeatureCacheMegabytes", "0", _cache)
    _rememberToken = _Flag("RememberServerToken")

    def __init__(self, store: Store) -> None:
        self.store = store
        self._token = str(store.value(_TOKEN_KEY, "")) if self._rememberToken else ""

    @property
    def featureCacheMegabytes(self) -> int:
        """How much to keep of encoded slices; 0 lets the engine choose."""
        return int(self._cacheText)

    @featureCacheMegabytes.setter
    def featureCacheMegabytes(self, megabytes: int) -> None:
        self._cacheText = megabytes

    @property
    def token(self) -> str:
        """The remote server's token; in memory alone unless :attr:`rememberToken`."""
        return self._token

    @token.setter
    def token(self, token: str) -> None:
        plain = token.strip()
        if not all("!" <= character <= "~" for character in plain):
            _refuse("The server's token must be one word of ASCII characters; copy it again.")
        self._token = plain
        self._storeToken()

    @property
    def rememberToken(self) -> bool:
        """Whether the token may be stored, readable for whoever reads this user's settings."""
        return bool(self._rememberToken)

    @rememberToken.setter
    def rememberToken(self, remember: bool) -> None:
        self._rememberToken = remember
        self._storeToken()

    def _storeToken(self) -> None:
        if self.rememberToken and self._token:
            self.store.setValue(_TOKEN_KEY, self._token)
        else:
            self.store.remove(_TOKEN_KEY)

    def chosenModel(self) -> tuple[str, Path | None]:
        """The model of the registry, and the file to take its weights from if it is the user's own."""
        if self.model != CUSTOM_MODEL:
            return self.model, None
        return self.checkpointArchitecture, Path(self.checkpointPath)

    def check(self) -> None:
        """Refuses settings with which the chosen mode can't work.

        Raises:
            InputError: says what to choose or enter.
        """
        if self.mode == REMOTE_SERVER:
            self._checkRemote()
        elif self.model == CUSTOM_MODEL and not self.checkpointPath:
            _refuse("No checkpoint is chosen; choose its file, or another model.")

    def _checkRemote(self) -> None:
        if not self.serverUrl:
            _refuse("No server is given; enter its address, https://host:1527 say.")
        Paths.useBundledServer()
        from medsam2.client.address import Address

        Address.parse(self.serverUrl, allow_http=self.allowPlainHttp)
        if not self.token:
            _refuse("No token is given; enter the one that the server's operator gave you.")

    def snapshot(self) -> Settings:
        """A copy for another thread, which later changes don't reach; its own are not stored."""
        held = _Memory()
        keys = [value._key for value in vars(Settings).values() if isinstance(value, _Preference)]
        for key in filter(self.store.contains, keys):
            held.setValue(key, self.store.value(key, ""))
        copy = Settings(held)
        copy._token = self._token
        return copy


class _Memory:
    """A store that ends with the program."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def value(self, key: str, default: Any) -> Any:
        return self._values.get(key, default)

    def setValue(self, key: str, value: Any) -> None:
        self._values[key] = value

    def contains(self, key: str) -> bool:
        return key in self._values

    def remove(self, key: str) -> None:
        with contextlib.suppress(KeyError):
            del self._values[key]


def _refuse(message: str) -> NoReturn:
    Paths.useBundledServer()
    from medsam2.core.errors import InputError

    raise InputError(message)
