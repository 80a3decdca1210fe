"""A small, faithful replica of the agent loop that onetake replaced. It buys only from this simulator.

A model gets tools and decides, turn after turn, which one to call next; every call is executed. Here the model is a
script of the run that cost $21: `generate_video` returns at once with a `queued` job, the model reads that as "not
done yet" and calls again, seven times in all, with a reworded prompt every second time.

In       the provider's base URL (with /v1) and a prompt; `python -m simulator.oldloop URL PROMPT`
Out      the ids of the jobs it ordered; as JSON on standard output
Effects  one `client.videos.create()` with the SDK's defaults for each call of the video tool
"""

import asyncio
import json
import sys
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from openai import AsyncOpenAI, OpenAIError

# OpenAI's own endpoint is gone, but gateways speak the protocol: silence the SDK's warning.
warnings.filterwarnings("ignore", message="The Sora API is scheduled", category=DeprecationWarning)

VIDEO_CALLS = 7  # as many as in the run that led to this project
MODEL = "sim-1"
SECONDS: Literal["8"] = "8"


@dataclass(frozen=True)
class Call:
    """One tool call of the model."""

    tool: str
    prompt: str


Buy = Callable[[str], Awaitable[str]]  # prompt -> job id; raises OpenAIError


def script(prompt: str) -> list[Call]:
    """Every call the model makes in one run, regardless of what the tools return."""
    videos = [prompt if turn % 2 == 0 else f"{prompt}, take {turn}" for turn in range(VIDEO_CALLS)]
    before = [Call("check_limits", prompt), Call("validate_prompt", prompt)]
    return [*before, *(Call("generate_video", words) for words in videos), Call("write_caption", prompt)]


async def run_loop(prompt: str, generate_video: Buy) -> list[str]:
    """One run: executes every call. Errors are returned to the model, which goes on."""
    given = []
    for call in script(prompt):
        if call.tool != "generate_video":
            continue  # not a paid call
        try:
            given.append(await generate_video(call.prompt))
        except OpenAIError:
            continue
    return given


def default_create(sdk: AsyncOpenAI) -> Buy:
    """The paid call as it is usually written: with the SDK's defaults."""

    async def create(prompt: str) -> str:
        return (await sdk.videos.create(prompt=prompt, model=MODEL, seconds=SECONDS)).id

    return create


async def _main(url: str, prompt: str) -> None:
    async with AsyncOpenAI(base_url=url, api_key="demo") as sdk:
        print(json.dumps({"jobs": await run_loop(prompt, default_create(sdk))}))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:3]))
