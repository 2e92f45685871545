"""Kopf's settings and its login, each with the measured fact behind it (architecture.md, section 2)."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import kopf

from inventiv_operator.kube.access import Access, AccessError, ClusterAccess
from inventiv_operator.kube.errors import KubeError
from inventiv_operator.kube.kinds import CREDENTIAL_SECRET_SELECTOR

KOPF_FINALIZER = "inventiv.io/kopf"
"""Kopf adds it to objects with timers and strips it from others; ours (`inventiv.io/cleanup`) is another."""
_BACKOFF_CAP_S = 30.0
_LOGIN_VALID_S = 900.0  # the session, and with it the watches, is made anew this often
_LOGIN_PAUSE_S = 5.0  # after a 401 Kopf logs in again at once, in a loop


class EndlessBackoffs:
    """1, 2, 4 ... 30, 30, 30 seconds, anew for each request.

    A finite list ends the process with the last delay (B6); a bare generator would be shared by all
    requests. It has no length on purpose.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 4.0, 8.0, 16.0), itertools.repeat(_BACKOFF_CAP_S))


class NothingKept(kopf.DiffBaseStorage):
    """No last state of anything is kept: there are no change handlers.

    Kopf copies each event's object whole to compare it with that state, handlers or not. With the status of a
    hundred instances in it that is most of what an event costs.
    """

    def build(
        self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None
    ) -> kopf.BodyEssence:
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


def kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # peering pauses equals and does not fence; our lease does
    settings.scanning.disabled = True  # the three kinds are served before Kopf starts
    settings.posting.enabled = False  # an object per call, no aggregation; we have a recorder
    settings.persistence.finalizer = KOPF_FINALIZER
    settings.persistence.diffbase_storage = NothingKept()
    settings.watching.chunk_size = 500
    settings.watching.inactivity_timeout = 70
    settings.watching.connect_timeout = 10
    # A handler's `labels=` filters after the watch: every Secret of the cluster would be streamed in.
    settings.watching.label_selectors["v1", "secrets"] = CREDENTIAL_SECRET_SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.enforce_retry_after = True
    settings.networking.error_backoffs = EndlessBackoffs()
    settings.networking.trust_env = False
    settings.process.ultimate_exiting_timeout = 25
    settings.queueing.idle_timeout = 1.0  # a task per object that spoke lately; most have said it all
    # worker_limit stays None: it throttles the start and starves on back-off. Our workers are the bound.
    return settings


def register_login(registry: kopf.OperatorRegistry, access: ClusterAccess) -> None:
    """Make Kopf log in as our own client does: same server, same tokens, same refresh."""
    given: list[Access] = []

    @kopf.on.login(registry=registry, id="inventiv_login")
    async def login(**_: object) -> kopf.ConnectionInfo:
        if given:
            await asyncio.sleep(_LOGIN_PAUSE_S)
        try:
            current = await access.current(refused=given[0] if given else None)
        except (AccessError, KubeError) as error:
            raise kopf.TemporaryError(str(error), delay=_LOGIN_PAUSE_S) from error
        given[:] = [current]
        return connection_of(current)


def connection_of(access: Access) -> kopf.ConnectionInfo:
    """Differs from login to login by its end, so that Kopf never calls it one of the refused ones."""
    scheme, _, token = access.authorization.partition(" ")
    return kopf.ConnectionInfo(
        server=access.server,
        ca_path=access.ca_path,
        insecure=access.insecure,
        scheme=scheme or None,
        token=token or None,
        certificate_path=access.certificate_path,
        private_key_path=access.private_key_path,
        proxy_url=access.proxy_url,
        trust_env=False,
        expiration=datetime.now(UTC) + timedelta(seconds=_LOGIN_VALID_S),
    )
