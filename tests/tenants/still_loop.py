"""A jumping loop whose clock stands still while PostgreSQL works.

The machine's load then changes nothing of what happens when, so that a sequence that failed once fails again,
and becomes smaller.
"""

import asyncio

from rig.jumping_loop import JumpingLoop


class StillLoop(JumpingLoop):
    def time(self) -> float:
        return self._offset_s

    async def jump_when_idle(self, seconds: float) -> None:
        """As if the machine had been suspended: whatever falls due meanwhile does so at once, afterwards.

        Not while a statement is on its way, which would then have taken as long.
        """
        while self.awaits_the_world():
            await asyncio.sleep(0)
        self.jump(seconds)
