"""The page: one table per group of rules, a row per rule, a column per server."""

from benchmarks.conformance.rules import GROUPS

INTRODUCTION = """\
# What servers do with odd, wrong and hostile requests

Made by `python -m benchmarks.conformance`, which sends the same bytes to each server and notes what comes
back. Each server runs as it does without any options, with the same small application; each probe is a
connection of its own. Nothing here says what is right: the section does (of RFC 9112; another RFC by its
number), and where it leaves a choice, [docs/http.md](http.md) says what pelton chose and why.

A cell has the statuses of all responses. *waits*: no response and no end within {silence} seconds. *closes*:
the connection was closed without a response. *(second served)*: what follows a wrong or ambiguous message was
answered as a request of its own. Where the question is what the application sees, the cell has that.
"""


def page(facts: dict[str, str], cells: dict[str, dict[str, list[str]]], silence: float) -> str:
    """``cells``: by server, by group, in the order of the rules."""
    lines = [INTRODUCTION.format(silence=silence)]
    lines.append(", ".join(f"{name} {value}" for name, value in facts.items()) + ".")
    for group, rules in GROUPS.items():
        lines += ["", f"## {group}", "", "| rule | section | " + " | ".join(cells) + " |"]
        lines.append("| --- | --- |" + " --- |" * len(cells))
        for number, rule in enumerate(rules):
            found = [cells[server][group][number] for server in cells]
            lines.append(f"| {rule.title} | {rule.section} | " + " | ".join(map(escaped, found)) + " |")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
