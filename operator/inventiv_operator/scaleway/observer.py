"""A hook around every call that leaves: where tests stall, kill or count."""

from typing import Protocol


class CallObserver(Protocol):
    """`template` is the endpoint without its ids, such as `/instance/v1/zones/{zone}/servers/{id}`."""

    async def before(self, method: str, template: str) -> None:
        """After the gate, before `send_before` is checked and the request leaves."""
        ...

    async def after(self, method: str, template: str) -> None:
        """The answer is in, or the exchange failed; nobody has looked at the outcome yet."""
        ...
