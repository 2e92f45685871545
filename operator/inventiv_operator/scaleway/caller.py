"""One call of one credential: through the gate, over the wire, back as JSON or an error of the tree."""

import asyncio
import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

from pydantic import SecretStr

from inventiv_operator.runtime.clock import Clock
from inventiv_operator.scaleway.errors import (
    READS,
    ForeignProject,
    InvalidArguments,
    RateLimited,
    Rejected,
    ScalewayError,
    SendWindowClosed,
    Unavailable,
    Withdrawn,
    refusal,
    unknown_outcome,
)
from inventiv_operator.scaleway.gate import Gate, Outcome
from inventiv_operator.scaleway.metrics import ProviderMetrics
from inventiv_operator.scaleway.observer import CallObserver, Telling, WriteSink
from inventiv_operator.scaleway.permit import Permit
from inventiv_operator.scaleway.shapes import BadShape
from inventiv_operator.scaleway.wire import Interrupted, NotSent, Wire, WireAnswer

JSON: Final = "application/json"
TEXT: Final = "text/plain"
USER_AGENT: Final = "inventiv-operator"
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
T = TypeVar("T")
_KEY: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerContext:
    """What all callers of one installation share. `timeout_s` bounds one exchange, from connecting to the
    last byte.
    """

    wire: Wire
    clock: Clock
    metrics: ProviderMetrics
    observer: CallObserver | None
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A 2xx. `sent_s` is the monotonic time at which the request left; `total` is None where no header says
    it.
    """

    content: Any
    sent_s: float
    total: int | None
    request_id: str


def segment(text: str, *, what: str) -> str:
    """A part of a path, as it is; nothing that could lead elsewhere gets into one.

    Raises:
        InvalidArguments: nothing is sent.
    """
    if _SEGMENT.fullmatch(text) is None:
        raise InvalidArguments(f"{what}: {text[:64]!r} cannot be a part of an address")
    return text


class Caller:
    """Bound to one project and key."""

    def __init__(
        self,
        context: CallerContext,
        gate: Gate,
        *,
        project_id: str,
        access_key: str,
        secret_key: SecretStr,
        permit: Permit,
        write_sink: WriteSink | None = None,
    ) -> None:
        self.clock = context.clock
        self.project_id = project_id.lower()
        self.access_key = access_key
        self._context = context
        self._gate = gate
        self._secret_key = secret_key
        self._permit = permit
        self._write_sink = write_sink
        self._may_write: Callable[[], object] | None = None

    def under(self, may_write: Callable[[], object]) -> Self:
        """The same, through the same gate, whose calls that may change something leave only while `may_write`
        does not raise, too.
        """
        bound = copy.copy(self)
        bound._may_write = may_write  # noqa: SLF001 (of this class)
        return bound

    async def call(
        self,
        method: str,
        template: str,
        path: str,
        *,
        what: str,
        query: str = "",
        content: object = None,
        text: str | None = None,
        asked_ref: str = "",
        send_before: datetime | None = None,
        on_sent: Callable[[float], None] | None = None,
        first: bool = False,
    ) -> Reply:
        """Send once.

        `what` names the call for people; `asked_ref` the id in the path; `content` goes as JSON, `text` as
        plain text. `send_before`, and whether the call may leave at all, are checked after the gate,
        immediately before it does; `on_sent` is told the monotonic time at which it does. `first`: before
        other calls of this key.

        Raises:
            ScalewayError: any of the tree.
            Whatever a `may_write`, the permit's or that of `under`, raises, as it is: nothing was sent.
        """
        headers, body = self._parts(content, text)
        target = f"{path}?{query}" if query else path
        telling = Telling(method, template, path, content)
        slot = await self._gate.admit(first=first)
        outcome, said, wait_s = Outcome.ABANDONED, "", None
        try:
            if self._context.observer is not None:
                await self._context.observer.before(method, template)
            if send_before is not None and self.clock.now() >= send_before:
                raise SendWindowClosed(f"{what}: its turn came too late; nothing was sent")
            if self._may_write is not None and method not in READS:
                self._may_write()
            with self._permit.sending(method, what=what):
                telling.leaves(self.clock.now())
                sent_s = self.clock.monotonic()
                if on_sent is not None:
                    on_sent(sent_s)
                answer = await self._exchange(
                    method, template, target, what=what, headers=headers, body=body, telling=telling
                )
            reply = _reply(answer, method, what=what, asked_ref=asked_ref, sent_s=sent_s)
            telling.brought(reply.content)
            outcome = Outcome.ANSWERED
        except ScalewayError as error:
            if isinstance(error, Rejected):
                self._permit.rejected()
            outcome, said, wait_s = (
                _outcome_of(error),
                str(error).removeprefix(f"{what}: "),
                error.retry_after_s,
            )
            raise
        finally:
            slot.leave(outcome, retry_after_s=wait_s, said=said)
            if self._write_sink is not None and method not in READS:
                telling.tell(self._write_sink)
        return reply

    def _parts(self, content: object, text: str | None) -> tuple[dict[str, str], bytes | None]:
        key = self._secret_key.get_secret_value()
        if _KEY.fullmatch(key) is None:
            # An HTTP library would quote the header in its complaint.
            raise Rejected("the secret key has characters that no key has; nothing was sent")
        headers = {
            "X-Auth-Token": key,
            "User-Agent": USER_AGENT,
            "Accept": JSON,
            "Accept-Encoding": "identity",
        }
        if text is not None:
            headers["Content-Type"] = TEXT
            return headers, text.encode()
        if content is None:
            return headers, None
        headers["Content-Type"] = JSON
        return headers, json.dumps(content, separators=(",", ":")).encode()

    async def _exchange(
        self,
        method: str,
        template: str,
        target: str,
        *,
        what: str,
        headers: dict[str, str],
        body: bytes | None,
        telling: Telling,
    ) -> WireAnswer:
        context = self._context
        began_s = self.clock.monotonic()
        status: int | None = None
        try:
            async with asyncio.timeout(context.timeout_s):
                answer = await context.wire.send(method, target, headers=headers, body=body)
            status = answer.status
            telling.answered(status, answer.request_id)
        except NotSent as error:
            telling.not_sent()
            raise Unavailable(f"{what}: Scaleway cannot be reached ({error}); nothing was sent") from None
        except Interrupted as error:
            raise unknown_outcome(method, f"{what}: the answer broke off ({error})") from None
        except TimeoutError:
            raise unknown_outcome(method, f"{what}: no answer within {context.timeout_s:g} s") from None
        finally:
            seconds = self.clock.monotonic() - began_s
            context.metrics.called(method, template, status=status, seconds=seconds)
            if context.observer is not None:
                await context.observer.after(method, template)
        return answer

    # -- what an answer may say ------------------------------------------------------------------------------

    def understood(self, parse: Callable[[Any], T], raw: Any, *, method: str, what: str) -> T:
        """What `parse` makes of an answer; one that makes no sense says nothing about its subject."""
        try:
            return parse(raw)
        except BadShape as error:
            raise unknown_outcome(method, f"{what}: an answer that makes no sense ({error})") from None

    def own(self, project_id: str, *, what: str) -> None:
        """Believe an answer only when it is about the credential's own project (T8).

        Raises:
            ForeignProject: it is not.
        """
        if project_id.lower() != self.project_id:
            raise ForeignProject(
                f"{what}: the answer is about project {project_id[:36]}, not {self.project_id}"
            )


def _reply(answer: WireAnswer, method: str, *, what: str, asked_ref: str, sent_s: float) -> Reply:
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise refusal(
            status=answer.status,
            body=answer.body,
            method=method,
            what=what,
            asked_ref=asked_ref,
            request_id=answer.request_id,
            retry_after=answer.retry_after,
        )
    content: Any = None
    # Only 204 says by itself that there is nothing more to say; another 2xx without content is a gateway's
    # accident.
    if answer.status != HTTPStatus.NO_CONTENT:
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            said = f"{what}: HTTP {answer.status} with a body that is no JSON"
            raise unknown_outcome(method, said, request_id=answer.request_id) from None
    total = answer.total
    return Reply(
        content=content,
        sent_s=sent_s,
        total=int(total) if total is not None and _COUNT.fullmatch(total) else None,
        request_id=answer.request_id,
    )


def _outcome_of(error: ScalewayError) -> Outcome:
    if isinstance(error, SendWindowClosed | Withdrawn):
        return Outcome.ABANDONED
    if isinstance(error, RateLimited):
        return Outcome.THROTTLED
    if error.reason == "ProviderUnreachable":
        return Outcome.FAILED
    return Outcome.ANSWERED
