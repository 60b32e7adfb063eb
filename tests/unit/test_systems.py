"""What only one operating system has is named in the folders for it, and nowhere else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
from io import StringIO
from pathlib import Path

import pytest

import pelton.system

ROOT = Path(__file__).parents[2]

# Calls, constants and files of Linux that POSIX does not know, as each language writes them.
RUST = re.compile(
    r"\b(eventfd|EFD_\w+|memfd_create|MFD_\w+|F_SEAL_\w+|F_ADD_SEALS|SYS_\w+|FUTEX_\w+|openat2|open_how|RESOLVE_\w+"
    r"|O_PATH|accept4|SOCK_CLOEXEC|SOCK_NONBLOCK|SOCK_SEQPACKET|MSG_MORE|MSG_NOSIGNAL|MSG_CMSG_CLOEXEC|TCP_INFO"
    r"|tcp_info|TIOCOUTQ|SO_PEERCRED|ucred|prctl|PR_SET_\w+|preadv2|RWF_\w+|getrandom|dup3|gettid|epoll_\w+|EPOLL\w+"
    r"|POLLRDHUP|MADV_REMOVE|CLOCK_MONOTONIC_COARSE|clock_getcpuclockid|pthread_getcpuclockid|pidfd_\w+|inotify_\w+"
    r"|signalfd|timerfd_\w+|splice|statx|ENONET)\b|/proc/|/sys/"
)
PYTHON = re.compile(
    r"\b(eventfd|eventfd_\w+|EFD_\w+|memfd_create|MFD_\w+|F_SEAL_\w+|F_ADD_SEALS|SOCK_SEQPACKET|SOCK_CLOEXEC"
    r"|SOCK_NONBLOCK|MSG_NOSIGNAL|MSG_CMSG_CLOEXEC|SO_PEERCRED|TCP_INFO|TCP_KEEPIDLE|O_PATH|pidfd_\w+|epoll|prctl"
    r"|sched_getaffinity|mallopt|CLOCK_BOOTTIME|inotify\w*|signalfd|timerfd_\w+|splice)\b|^/proc\b|^/sys/"
)

# Names that stand elsewhere for another reason than to call the system.
ALLOWED = {
    # Of an application's files: what lies in these folders is shared by all workers anyway.
    ("src/pelton/audit/files.py", "/proc"),
    ("src/pelton/audit/files.py", "/sys/"),
}


def rust_code(text: str) -> str:
    """Without comments, and without the tests at its end."""
    return re.sub(r"//[^\n]*", "", text.split("#[cfg(test)]\nmod tests {")[0])


def python_words(text: str) -> list[str]:
    """The names and the strings of a module; neither comments nor docstrings."""
    documents = {
        node.value.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    words = []
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.NAME or (token.type == tokenize.STRING and token.start[0] not in documents):
            words.append(token.string.lstrip("bfrBFR").strip("\"'"))
        elif tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            words.append(token.string)
    return words


def test_rust_names_calls_of_linux_in_its_folders_only() -> None:
    found, within = [], 0
    for file in sorted((ROOT / "crates").glob("*/src/**/*.rs")):
        parts = file.relative_to(ROOT).parts
        names = RUST.findall(rust_code(file.read_text()))
        if "system" in parts:
            within += len(names)
        elif "tests" not in parts and "simulation" not in parts:
            found += [f"{file.relative_to(ROOT)}: {name or 'a path'}" for name in names]
    assert not found
    # The expression still finds what it is for.
    assert within > 40


def test_python_names_calls_of_linux_in_its_folder_only() -> None:
    found, within = [], 0
    for file in sorted((ROOT / "src" / "pelton").rglob("*.py")):
        name = str(file.relative_to(ROOT))
        for word in python_words(file.read_text()):
            if (match := PYTHON.search(word)) is None:
                continue
            if name.startswith("src/pelton/system/"):
                within += 1
            elif (name, match[0]) not in ALLOWED:
                found.append(f"{name}: {word}")
    assert not found
    assert within > 20


@pytest.mark.parametrize("crate", ["link", "front", "py"])
def test_each_crate_refuses_other_systems_with_a_sentence(crate: str) -> None:
    text = (ROOT / "crates" / crate / "src" / "system" / "mod.rs").read_text()
    refusal = text.split('#[cfg(not(target_os = "linux"))]\ncompile_error!(', 1)[1]
    assert "pelton runs on Linux only so far." in refusal
    # What it offers is described for those who would offer it elsewhere.
    offered = re.search(r"pub\(crate\) use linux::\{([^}]*)\}", text, re.DOTALL)
    assert offered is not None
    names = [name for name in re.findall(r"\w+", offered[1]) if name != "Packet"]
    assert len(names) > 3
    table = text.split("#[cfg", 1)[0]
    assert not [name for name in names if f"[`{name}`]" not in table]


def test_what_python_offers_is_described() -> None:
    described = pelton.system.__doc__ or ""
    classes = {"Connection", "Figures", "Holder", "Waiting"}
    assert not [
        name for name in pelton.system.__all__ if name not in classes and f"``{name}``" not in described
    ]


def test_nobody_passes_by_the_door_of_the_folder() -> None:
    """Whatever is imported comes from `pelton.system`, so that another folder can stand behind it."""
    for file in (ROOT / "src" / "pelton").rglob("*.py"):
        if "system" not in file.relative_to(ROOT).parts:
            assert "pelton.system.linux" not in file.read_text(), file


def test_another_system_is_refused_with_a_sentence() -> None:
    code = "import sys; sys.platform = 'darwin'; import pelton; pelton.run"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "ImportError: pelton runs on Linux only so far, and this is darwin." in done.stderr
