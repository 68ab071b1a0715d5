"""A robot and what drives it, in two processes: ``python examples/robot/robot.py`` runs both."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from typing import Any

import rpcx

Listener = Callable[[str], Any]  # a function or a coroutine function there; here it is awaited in either case


@rpcx.remote
class Gripper:
    """A part of the robot: it stays there, and is used from elsewhere."""

    def __init__(self, side: str) -> None:
        self.side = side

    async def grip(self, newton: float) -> str:
        return await asyncio.sleep(0.01, f"{self.side} holds with {newton:g} N")


@rpcx.singleton("robot")
class Robot:
    """Its async methods run in one event loop, so they need no lock."""

    def __init__(self) -> None:
        self._steps, self._speed, self._listeners = 0, 1.0, list[Listener]()

    async def move(self, place: str, seconds: float = 0.01) -> None:
        await asyncio.sleep(seconds)
        await asyncio.gather(*(listener(f"at the {place}") for listener in self._listeners), return_exceptions=True)

    async def on_event(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def gripper(self, side: str) -> Gripper:
        return Gripper(side)

    def load_program(self, path: Path) -> list[str]:
        return path.read_text().splitlines()

    async def step(self) -> int:
        self._steps += 1
        return self._steps

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._speed = min(value, 5.0)  # m/s

    @speed.deleter
    def speed(self) -> None:
        self._speed = 1.0


async def serve(url: str) -> None:
    host = rpcx.Host()
    host.register(Robot)
    print("robot ready at", host.listen(url), flush=True)
    async with host:
        await host.wait_async()


def expect(what: str, got: object, wanted: object) -> None:
    print("ok " if got == wanted else "NO ", what, "->", str(got)[:100], flush=True)
    assert got == wanted, f"{what}: expected {wanted}"


async def drive_async(url: str) -> None:
    heard: list[str] = []

    async def hear(event: str) -> None:
        heard.append(f"coroutine heard {event}")

    async with rpcx.aio.connect(url) as server:
        robot: Any = server.get(Robot)  # Any: each method is awaited here, also the sync ones
        left = await robot.gripper("left")
        expect("a child object, awaited", await left.grip(5), "left holds with 5 N")
        await robot.on_event(lambda event: heard.append(f"function heard {event}"))
        await robot.on_event(hear)
        await robot.move("dock")
        expect("callbacks", sorted(heard), ["coroutine heard at the dock", "function heard at the dock"])


def executed(command: Callable[..., object], *args: object) -> str:
    try:
        return f"yes: {command(*args)}"
    except rpcx.RpcxError as error:
        return error.executed


def drive(url: str, process: "subprocess.Popen[str]") -> None:
    with rpcx.connect(url) as server:
        robot = server.get(Robot)
        robot.speed = 99
        expect("a property, set and limited", robot.speed, 5.0)
        del robot.speed
        expect("and deleted", robot.speed, 1.0)
        expect("a Path", robot.load_program(Path(__file__))[-1], Path(__file__).read_text().splitlines()[-1])
        with ThreadPoolExecutor(8) as threads:
            steps = set(threads.map(lambda _: robot.step(), range(400)))
        expect("8 threads, 400 steps", len(steps), 400)
        expect("wrong argument, executed?", executed(robot.move, ["dock"]), "no")
        with rpcx.options(timeout=0.2):
            expect("timed out, executed?", executed(robot.move, "hill", 9), "maybe")
        Timer(0.2, process.kill).start()
        expect("connection lost, executed?", executed(robot.move, "hill", 9), "maybe")
        expect("nobody there, executed?", executed(robot.move, "hill", 9), "no")


def main() -> None:
    url = f"pipe://robot-{os.getpid()}"
    with subprocess.Popen([sys.executable, __file__, url], stdout=subprocess.PIPE, text=True) as process:
        try:
            print(process.stdout.readline().strip() if process.stdout else "")
            asyncio.run(drive_async(url))
            drive(url, process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1])) if sys.argv[1:] else main()
