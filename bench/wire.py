"""Counts round trips between a client and the server with a TCP relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Relay:
    """A running relay.

    Attributes:
        url: The URL that clients connect to.
        round_trips: How often the server replied after the client had sent data, since the last reset to 0.
    """

    url: str = ""
    round_trips: int = 0
    _client_sent: bool = False

    async def serve(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until it is closed."""
        server_reader, server_writer = await asyncio.open_connection(host, port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, server_writer, by_client=True))
                both.create_task(self._pass(server_reader, writer, by_client=False))
        finally:
            server_writer.close()
            writer.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, by_client: bool) -> None:
        while data := await source.read(65536):
            if self._client_sent and not by_client:
                self.round_trips += 1
            self._client_sent = by_client
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[Relay]:
    """Relay connections to the server of a URL for the duration of a block."""
    parts = urlsplit(url)
    running = Relay()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await running.serve(parts.hostname or "", parts.port or 0, reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        running.url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()
        yield running
