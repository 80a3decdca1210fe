"""Real H.264 clips that show the prompt.

In       prompt, seconds, size
Out      the bytes of an mp4
Raises   ClipExtraMissingError when PyAV or Pillow are not installed
Effects  renders in a thread, once per clip; caches clips in memory and in a folder
"""

import asyncio
import hashlib
import os
import struct
import tempfile
import textwrap
from collections import OrderedDict
from pathlib import Path
from typing import Any

FRAMES_PER_SECOND = 12
TINY_SECONDS, TINY_SIZE = 1, "64x64"
LONG_PROMPT_CHARACTERS, SHOWN_CHARACTERS_MAX = 120, 400
CLIPS_IN_MEMORY_MAX = 16
CLIPS_ON_DISK_MAX = 200


class ClipExtraMissingError(Exception):
    """PyAV and Pillow, which render the clips, are an optional extra that is not installed."""


class ClipShelf:
    """Cached clips. `tiny` serves one small clip for every prompt, for tests."""

    def __init__(self, folder: Path | None, *, tiny: bool) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"onetake-clips-{os.getuid()}"
        self._tiny = tiny
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def clip(self, prompt: str, seconds: int, size: str, job_id: str) -> bytes:
        """The clip of a job."""
        if self._tiny:
            # One picture for all, but every file is different: tests must notice a mixed-up download.
            small = await self._rendered("onetake", TINY_SECONDS, TINY_SIZE)
            return _labelled(small, seconds, size) + _free_box(job_id.encode())
        return await self._rendered(prompt, seconds, size)

    async def _rendered(self, prompt: str, seconds: int, size: str) -> bytes:
        name = hashlib.sha256(f"{size} {seconds} {prompt}".encode()).hexdigest()[:32]
        if name in self._memory:
            self._memory.move_to_end(name)
            return self._memory[name]
        async with self._one_at_a_time:
            if name not in self._memory:
                self._memory[name] = await asyncio.to_thread(self._from_disk, name, prompt, seconds, size)
                if len(self._memory) > CLIPS_IN_MEMORY_MAX:
                    self._memory.popitem(last=False)
            return self._memory[name]

    def _from_disk(self, name: str, prompt: str, seconds: int, size: str) -> bytes:
        path = self._folder / f"{name}.mp4"
        if path.exists():
            return path.read_bytes()
        clip = render(prompt, seconds, size)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _prune(self._folder)
        fresh = path.with_suffix(f".{os.getpid()}.part")
        fresh.write_bytes(clip)
        fresh.replace(path)
        return clip


def render(prompt: str, seconds: int, size: str) -> bytes:
    """Draw the prompt drifting over a slow gradient, and encode it."""
    with tempfile.TemporaryDirectory(prefix="onetake-clip-") as folder:
        # Written to a file, because moving the index to the front (faststart) reopens the output.
        path = Path(folder) / "clip.mp4"
        _encode(path, prompt, seconds, size)
        return path.read_bytes()


def _encode(path: Path, prompt: str, seconds: int, size: str) -> None:
    try:
        import av
    except ImportError as missing:
        raise ClipExtraMissingError(_MISSING) from missing
    width, height = (int(side) // 2 * 2 for side in size.split("x"))
    sheet = _Sheet(prompt, width, height)
    # PyAV ships this function without types.
    frame_of: Any = av.VideoFrame.from_image
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata["title"] = prompt[:200]
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        count = seconds * FRAMES_PER_SECOND
        for number in range(count):
            container.mux(stream.encode(frame_of(sheet.frame(number / count))))
        container.mux(stream.encode())


class _Sheet:
    """Background and text of one clip, drawn once; each frame only moves them."""

    def __init__(self, prompt: str, width: int, height: int) -> None:
        try:
            from PIL import Image, ImageDraw
        except ImportError as missing:
            raise ClipExtraMissingError(_MISSING) from missing
        self._width, self._height = width, height
        hue = int(hashlib.sha256(prompt.encode()).hexdigest()[:2], 16)
        ramp = Image.linear_gradient("L").resize((width, height * 2))
        tint = (
            Image.new("L", ramp.size, hue),
            Image.new("L", ramp.size, 150),
            ramp.point(lambda v: 60 + v // 3),
        )
        self._background = Image.merge("HSV", tint).convert("RGB")
        letter = max(6, min(width, height) // (16 if len(prompt) < LONG_PROMPT_CHARACTERS else 26))
        lines = textwrap.fill(prompt[:SHOWN_CHARACTERS_MAX], max(6, int(width / letter * 1.6)))
        self._text = Image.new("L", (width, height), 0)
        draw = ImageDraw.Draw(self._text)
        draw.multiline_text((width // 16, height // 4), lines, fill=255, font=_font(letter), spacing=letter // 3)

    def frame(self, share: float) -> Any:
        """The picture at a position in the clip, 0 to 1."""
        down = int(share * self._height)
        picture = self._background.crop((0, down, self._width, down + self._height))
        drift = int((share - 0.5) * self._height / 4)
        picture.paste((255, 255, 255), (0, drift), self._text)
        return picture


def _font(letter: int) -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.truetype("DejaVuSans.ttf", letter)
    except OSError:
        return ImageFont.load_default(letter)


def _labelled(clip: bytes, seconds: int, size: str) -> bytes:
    """The same clip with the ordered length and size in its headers, which is what a client checks."""
    labelled = bytearray(clip)
    film, track = clip.rindex(b"mvhd") + 4, clip.rindex(b"tkhd") + 4
    (scale,) = struct.unpack_from(">I", clip, film + 12)
    struct.pack_into(">I", labelled, film + 16, seconds * scale)
    struct.pack_into(">II", labelled, track + 76, *(min(int(side), 0xFFFF) << 16 for side in size.split("x")))
    return bytes(labelled)


def _free_box(payload: bytes) -> bytes:
    """An mp4 box that every player skips."""
    return struct.pack(">I", 8 + len(payload)) + b"free" + payload


def _prune(folder: Path) -> None:
    clips = sorted(folder.glob("*.mp4"), key=lambda path: path.stat().st_mtime)
    for path in clips[: max(0, len(clips) - CLIPS_ON_DISK_MAX)]:
        path.unlink(missing_ok=True)


_MISSING = "Clips are drawn with PyAV and Pillow, which are not installed: pip install 'onetake[sim]'"
