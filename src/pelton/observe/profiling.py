"""A profile: many looks at the threads of requests for some seconds, and its forms.

Owns the collapsed, the speedscope and the SVG form. Looking is `pelton.observe.looking`'s. Pure but for
`profiled`, which sleeps on the thread that calls it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final

from pelton.observe.green import HasGreenlets
from pelton.observe.looking import Looker, Seen

if TYPE_CHECKING:
    from pelton.observe.inspector import RunningRequest

MOST_SECONDS: Final = 300.0
# Different stacks that are kept; the rest is counted as one.
MOST_STACKS: Final = 20_000
_REST: Final = "(more stacks than are kept)"

# Of one entry: request, class, then the frames from the outermost.
Path = tuple[str, ...]


def frame_text(file: str, line: int, function: str) -> str:
    """A frame as profiles name it. A semicolon would end it."""
    return f"{function} ({file}:{line})".replace(";", ",")


@dataclass
class Profile:
    """Seconds by stack."""

    seconds: float = 0.0
    looks: int = 0
    stacks: Counter[Path] = field(default_factory=Counter)
    most_stacks: int = MOST_STACKS

    def add(self, seen: Iterable[Seen]) -> None:
        """What one look has found."""
        self.looks += 1
        for one in seen:
            root = one.kind.replace(";", ",")
            frames = tuple(frame_text(*frame) for frame in one.stack)
            for name, part in one.parts.items():
                self._put((root, name, *frames), one.seconds * part)

    def _put(self, path: Path, seconds: float) -> None:
        if path not in self.stacks and len(self.stacks) >= self.most_stacks:
            path = (_REST,)
        self.stacks[path] += seconds  # type: ignore[assignment]

    def merge(self, other: Profile) -> None:
        """Another worker's, of the same time."""
        self.looks += other.looks
        self.seconds = max(self.seconds, other.seconds)
        for path, seconds in other.stacks.items():
            self._put(path, seconds)

    def as_json(self) -> dict[str, Any]:
        """As JSON: ``stacks`` is a list of [seconds, [request, class, frames …]]."""
        return {
            "seconds": round(self.seconds, 3),
            "looks": self.looks,
            "stacks": [[round(seconds, 6), list(path)] for path, seconds in self.stacks.most_common()],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Profile:
        """The same again."""
        profile = cls(value["seconds"], value["looks"])
        for seconds, path in value["stacks"]:
            profile._put(tuple(path), seconds)
        return profile


def profiled(
    seconds: float,
    rate: int,
    requests: Callable[[], list[RunningRequest]],
    greenlets: HasGreenlets | None = None,
) -> Profile:
    """Look so often a second, for so long. ``greenlets``: the runner, where requests are greenlets."""
    profile, looker = Profile(), Looker(greenlets)
    begin = time.monotonic()
    at = 0
    looker.look(requests())
    while (now := time.monotonic()) < begin + seconds:
        at += 1
        # What a late look has missed is not made up for.
        time.sleep(max(0.0, min(begin + at / rate, begin + seconds) - now) or 1 / rate)
        profile.add(looker.look(requests()))
    profile.seconds = time.monotonic() - begin
    return profile


def collapsed(profile: Profile) -> str:
    """A line for each stack, with milliseconds: what flamegraph.pl and others read."""
    lines = [f"{';'.join(path)} {round(seconds * 1000)}" for path, seconds in profile.stacks.items()]
    return "\n".join(sorted(lines)) + "\n"


def speedscope(profile: Profile, name: str) -> dict[str, Any]:
    """For https://www.speedscope.app, or its offline page."""
    frames: dict[str, int] = {}
    samples, weights = [], []
    for path, seconds in sorted(profile.stacks.items()):
        samples.append([frames.setdefault(one, len(frames)) for one in path])
        weights.append(round(seconds, 6))
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": "pelton",
        "shared": {"frames": [{"name": one} for one in frames]},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": "seconds",
                "startValue": 0,
                "endValue": round(sum(weights), 6),
                "samples": samples,
                "weights": weights,
            }
        ],
    }


@dataclass
class _Node:
    seconds: float = 0.0
    children: dict[str, _Node] = field(default_factory=dict)


_WIDTH, _ROW = 1200, 18
_COLOURS: Final = {
    "computing": "#e4572e",
    "processor": "#f7c59f",
    "interpreter": "#f3a712",
    "lock": "#a846a0",
    "network": "#29788f",
    "sleeping": "#8d99ae",
    "other": "#9a9a9a",
}


def svg(profile: Profile, title: str) -> str:
    """A flame graph, the outermost above; its boxes have titles, so it needs no script."""
    root = _Node()
    for path, seconds in profile.stacks.items():
        node = root
        node.seconds += seconds
        for name in path:
            node = node.children.setdefault(name, _Node())
            node.seconds += seconds
    boxes: list[str] = []
    depth = _draw(root, boxes, 0.0, 0, "#c9b27c", _WIDTH / root.seconds) if root.seconds else 0
    height = (depth + 3) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="monospace" font-size="11">'
        f'<text x="4" y="14">{escape(title)}: {profile.seconds:.1f} s, {profile.looks} looks</text>'
        f"{''.join(boxes)}</svg>\n"
    )


def _draw(node: _Node, boxes: list[str], x: float, row: int, colour: str, scale: float) -> int:
    deepest = row
    for name, child in sorted(node.children.items()):
        width = child.seconds * scale
        own = _COLOURS.get(name, colour) if row == 1 else colour
        if width >= 0.5:
            shown = escape(name[: int(width / 7)]) if width > 30 else ""
            y = (row + 1) * _ROW
            boxes.append(
                f"<g><title>{escape(name)} - {child.seconds:.3f} s</title>"
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}" fill="{own}"/>'
                f'<text x="{x + 3:.1f}" y="{y + 13}">{shown}</text></g>'
            )
            deepest = max(deepest, _draw(child, boxes, x, row + 1, own, scale))
        x += width
    return deepest
