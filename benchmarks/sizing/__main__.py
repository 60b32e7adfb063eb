"""Play the sizing scenes: python -m benchmarks.sizing (from the repository's top)."""

import argparse
import resource
import sys
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.run import FOLDER, PEERS_PYTHON, PELTON_PYTHON, names
from benchmarks.sizing import servers
from benchmarks.sizing.scenes import SCENES, Scene


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--scenes", type=names, metavar="X,Y", help="only these")
    parser.add_argument("--fixed", type=names, metavar="N,M", help="only these numbers of threads")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument(
        "--calm", type=float, default=0.0, help="seconds after which threads are counted again"
    )
    parser.add_argument("--out", type=Path, default=FOLDER / "results" / "sizing.md", help="the report")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON)
    return parser.parse_args()


def play(scene: Scene, chosen: argparse.Namespace) -> list[str]:
    """The lines of its table."""
    fixed = [int(one) for one in chosen.fixed] if chosen.fixed else servers.FIXED
    every = [
        servers.pelton(*scene.default),
        *(servers.pelton(*scene.fixed, "--threads", str(one)) for one in fixed),
    ]
    if not chosen.no_peers:
        every += servers.PEERS
    lines, figures = [], {}
    for server in every:
        python = chosen.pelton_python if server.is_pelton else chosen.peers_python
        try:
            with servers.running(server, python, scene.address_space_mib) as started:
                figure = scene.figure(started.port, chosen.seconds)
                threads, memory = started.cost()
                later = ""
                if server is every[0] and chosen.calm:
                    time.sleep(chosen.calm)
                    later = f", {started.cost()[0]} after {chosen.calm:g} s"
        # Some end only when the load comes: a thread that the address space has no room for, for example.
        except (servers.DoesNotServeError, OSError):
            lines.append(f"| {server.name} | does not serve | | |")
            print(scene.name, lines[-1], flush=True)
            continue
        figures[server.name] = (figure, server)
        lines.append(f"| {server.name} | {figure:.4g} {scene.unit} | {threads}{later} | {memory // 1024} |")
        print(scene.name, lines[-1], flush=True)
    pick = max if scene.more_is_better else min
    best = pick(figure for figure, server in figures.values() if server.is_fixed)
    default = figures[every[0].name][0]
    ratio = default / best if scene.more_is_better else best / default
    head = [f"### {scene.title}", "", "| server | figure | threads of all processes | MiB resident |"]
    return [*head, "| --- | --- | --- | --- |", *lines, "", f"default ÷ best fixed: {ratio:.2f}", ""]


def main() -> None:
    """All of it, into the report."""
    chosen = arguments()
    unknown = set(chosen.scenes or ()) - {scene.name for scene in SCENES}
    if unknown:
        sys.exit(f"There is no scene {', '.join(sorted(unknown))}.")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    machine = measure.describe_machine()
    text = ["# Sizing", "", *(f"- {name}: {value}" for name, value in machine.items()), ""]
    for scene in SCENES:
        if chosen.scenes is None or scene.name in chosen.scenes:
            text += play(scene, chosen)
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            chosen.out.write_text("\n".join(text))
    print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
