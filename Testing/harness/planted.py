"""What exists on a server, put there message by message: a volume, a session, an object, a job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fake_backend import FakeBackend
from phantoms import moving_ball
from raw_http import Answer, RawHttp

from medsam2.core.backend import SessionOptions
from medsam2.core.prompts import BoxPrompt, ObjectPrompts, PointPrompt, mask_on_slice
from medsam2.core.volume import Volume
from medsam2.wire import arrays, messages, names, prompts, routes, strict, volumes


@dataclasses.dataclass(frozen=True)
class Body:
    """What a request carries."""

    media_type: str
    data: bytes


class Planted:
    """One tenant's things; every message may be sent any number of times.

    Args:
        http: a connection to the server.
        token: the tenant's.
        volume: what is uploaded.
    """

    def __init__(self, http: RawHttp, token: str, volume: Volume | None = None) -> None:
        ball, mask_kji = moving_ball((6, 24, 20))
        self._http = http
        self._token = token
        self.volume = volumes.wire_volume(volume or ball)
        self.header = volumes.header_of(self.volume)
        window = FakeBackend().open(self.volume).window
        affine = self.volume.affine_ijk_to_ras
        self.sha256 = self.volume.content_hash
        self.request = messages.SessionRequest.of(self.sha256, affine, SessionOptions(), window)
        self.session, self.job = names.new_id(), names.new_id()
        self.run = self.fingerprint = ""
        row, column = (n // 2 for n in self.volume.voxels_kji.shape[1:3])
        locked = mask_kji[1] if volume is None else self.volume.voxels_kji[1] > 0
        self.prompts = ObjectPrompts(
            (
                BoxPrompt(0, (1, 1, row, column)),
                mask_on_slice(1, locked),
                PointPrompt(2, (float(row), float(column))),
            )
        )

    def ids(self) -> dict[str, str]:
        """What stands in the paths, by its name in the templates."""
        return {
            "volume": self.sha256,
            "number": "0",
            "session": self.session,
            "object_id": "1",
            "job": self.job,
        }

    def bodies(self) -> dict[tuple[str, str], Body]:
        """A right body for every method and template that takes one."""
        voxels = self.volume.voxels_kji[self.header.chunk(0)]
        job = messages.JobRequest(
            self.fingerprint or "0" * 64, {"1": prompts.digest(self.prompts)}, "propagate"
        )
        return {
            ("PUT", routes.VOLUME): Body(routes.JSON, strict.to_json(self.header)),
            ("PUT", routes.CHUNK): Body(routes.FRAME, arrays.encode(voxels, "raw")),
            ("PUT", routes.SESSION): Body(routes.JSON, strict.to_json(self.request)),
            ("PUT", routes.OBJECT): Body(routes.JSON, prompts.encode(self.prompts)),
            ("POST", routes.JOBS): Body(routes.JSON, strict.to_json(job)),
        }

    def headers(self, **more: str) -> dict[str, str]:
        """What every request carries."""
        return {routes.AUTHORIZATION: f"Bearer {self._token}", **more}

    def ask(
        self,
        method: str,
        template: str,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        data: bytes | None = None,
    ) -> Answer:
        """Sends the right message for a template, or other bytes in its place."""
        body = self.bodies().get((method, template), Body("", b""))
        kind = {"Content-Type": body.media_type} if body.media_type else {}
        key = {routes.IDEMPOTENCY_KEY: self.job} if method == "POST" else {}
        target = template.format(**self.ids()) + query
        given = {**self.headers(), **kind, **key, **(headers or {})}
        return self._http.request(method, target, given, body.data if data is None else data)

    def plant(self) -> None:
        """Makes everything exist, and waits until the job is over."""
        self.run = self.field("GET", routes.INFO, "run")
        for template in (routes.VOLUME, routes.CHUNK):
            self._put(template)
        self.fingerprint = self.field("PUT", routes.SESSION, "fingerprint")
        self._put(routes.OBJECT)
        done = self.ask("POST", routes.JOBS, query="?wait=30")
        assert done.status == 200, done.body

    def field(self, method: str, template: str, name: str) -> Any:
        """Asks, and returns one field of the answer."""
        answer = self.ask(method, template)
        assert answer.status == 200, answer.body
        return answer.json()[name]

    def _put(self, template: str) -> None:
        answer = self.ask("PUT", template)
        assert answer.status == 200, answer.body
