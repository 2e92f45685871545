import asyncio

import pytest
from prometheus_client import Counter

from inventiv_operator.runtime.health import Health, HealthServer
from inventiv_operator.runtime.metrics import new_registry


async def request(port: int, line: str, *, rest: bytes = b"\r\n\r\n") -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line.encode() + rest)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.decode()


async def test_ready_only_when_every_check_passed_and_the_reason_is_told() -> None:
    health = Health(checks=("lease", "database"))
    async with HealthServer(health=health, registry=new_registry(), port=0, host="127.0.0.1") as server:
        assert "503" in await request(server.port, "GET /readyz HTTP/1.1")
        health.ok("lease")
        health.fail("database", "connection refused: is PostgreSQL up?")
        answer = await request(server.port, "GET /readyz?verbose HTTP/1.1")
        assert "503" in answer
        assert "[+]lease ok" in answer
        assert "[-]database failed: connection refused: is PostgreSQL up?" in answer
        assert "200 OK" in await request(server.port, "GET /healthz HTTP/1.1")
        health.ok("database")
        assert "200 OK" in await request(server.port, "GET /readyz HTTP/1.1")


async def test_a_dead_process_is_neither_alive_nor_ready() -> None:
    health = Health(checks=())
    async with HealthServer(health=health, registry=new_registry(), port=0, host="127.0.0.1") as server:
        assert "200 OK" in await request(server.port, "GET /readyz HTTP/1.1")
        health.dead("the lease was lost")
        assert "503" in await request(server.port, "GET /healthz HTTP/1.1")
        assert "the lease was lost" in await request(server.port, "GET /readyz HTTP/1.1")


async def test_metrics_are_those_of_the_registry() -> None:
    registry = new_registry()
    Counter("inventiv_test", "A counter.", registry=registry).inc()
    async with HealthServer(health=Health(checks=()), registry=registry, port=0, host="127.0.0.1") as server:
        answer = await request(server.port, "GET /metrics HTTP/1.1")
    assert "inventiv_test_total 1.0" in answer
    assert "process_resident_memory_bytes" in answer


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param("POST /readyz HTTP/1.1", "405", id="post"),
        pytest.param("GET /secrets HTTP/1.1", "404", id="unknown-path"),
        pytest.param("\x00\x01", "405", id="rubbish"),
    ],
)
async def test_anything_else_is_refused(line: str, status: str) -> None:
    async with HealthServer(
        health=Health(checks=()), registry=new_registry(), port=0, host="127.0.0.1"
    ) as server:
        assert status in await request(server.port, line)


async def test_a_peer_that_sends_too_much_or_goes_away_harms_nobody() -> None:
    health = Health(checks=())
    async with HealthServer(health=health, registry=new_registry(), port=0, host="127.0.0.1") as server:
        assert await request(server.port, "GET /readyz HTTP/1.1", rest=b"x" * 20_000 + b"\r\n\r\n") == ""
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.transport.abort()
        assert "200 OK" in await request(server.port, "GET /healthz HTTP/1.1")


def test_an_unknown_check_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError, match="lease"):
        Health(checks=("lease",)).ok("leese")
