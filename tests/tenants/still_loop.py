"""A jumping loop whose clock stands still while PostgreSQL works.

The machine's load then changes nothing of what happens when, so that a sequence that failed once fails again,
and becomes smaller.
"""

import asyncio

from rig.jumping_loop import JumpingLoop


class StillLoop(JumpingLoop):
    _suspended_s = 0.0

    def time(self) -> float:
        return self._offset_s

    def jump(self, seconds: float) -> None:
        super().jump(seconds + self._suspended_s)
        self._suspended_s = 0.0

    async def suspend(self, seconds: float) -> None:
        """As if the machine had been suspended: whatever falls due meanwhile does so at once, afterwards.

        Not while anything runs or a statement is on its way, which would then have taken as long.
        """
        self._suspended_s = seconds
        await asyncio.sleep(_MOMENT_S)


_MOMENT_S = 0.1
