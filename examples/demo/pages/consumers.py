"""What happens on the demo's WebSockets."""

import asyncio

from channels.generic.websocket import AsyncJsonWebsocketConsumer

PAUSE = 0.2  # seconds between two ticks


class Live(AsyncJsonWebsocketConsumer):
    """Counts, and answers what it is told."""

    async def connect(self) -> None:
        """Accept, and begin to count."""
        await self.accept()
        self._counting = asyncio.create_task(self._count())

    async def disconnect(self, code: int) -> None:
        """Stop counting."""
        self._counting.cancel()

    async def receive_json(self, content: dict[str, str]) -> None:
        """Say it back, louder."""
        await self.send_json({"echo": content["say"].upper()})

    async def _count(self) -> None:
        number = 0
        while True:
            number += 1
            await self.send_json({"tick": number})
            await asyncio.sleep(PAUSE)
