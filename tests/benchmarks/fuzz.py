"""Suite files as an attack: random changes of valid ones, each read under a watch. Linux only.

python tests/benchmarks/fuzz.py 10000

A file ends well if reading it gives a suite of bounded size or one `SuiteError` whose every line names file, line and
column; if it takes less than 20 s and 512 MiB; and if meanwhile no process was started and nothing was opened for
writing.
"""

import argparse
import copy
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from attnbench.runner.execution.journal import new_folder
from attnbench.suites import SuiteError, shipped
from attnbench.suites.schema.document import LONGEST
from attnbench.suites.schema.expand import MOST_CASES
from attnbench.suites.schema.load import load

LIMIT_S = 20
LIMIT_BYTES = 2**29
CANARY = "attnbench-canary"
"""What a file that is executed would leave behind."""

_BASE = {"name": "base", "question": "Is it fast?", "shape": {"seq_len": 256}, "variants": ["full", "bigbird"]}
_LONG = ", ".join(map(str, range(1, 1200)))
_BOMB = "".join(
    f"{name}: &{name} [{', '.join([f'*{of}'] * 9)}]\n" for of, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TAGS = (
    f'!!python/object/apply:os.system ["touch {CANARY}"]',
    f"!!python/object/apply:subprocess.check_output [[touch, {CANARY}]]",
    f"!!python/object/new:pathlib.Path [{CANARY}]",
    f"!!python/object/apply:builtins.exec [\"open('{CANARY}', 'w')\"]",
    *("!!python/name:os.system", "!!python/module:antigravity", "!!python/tuple [1, 2]", "!include /etc/passwd"),
    *("!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2001-01-01", "!!float 1", "!!str 3", "!mine x"),
    *("!<tag:yaml.org,2002:python/object/apply:os.getcwd> []", "!!null x", "!!merge <<", "! x"),
)
NUMBERS = (
    *("0", "-1", "-0.0", "3.5", "1e999", "-1e999", ".nan", ".inf", "-.inf", "1e-400", "1_000", "0x7fffffff", "0o17"),
    *("2147483648", "9223372036854775808", "1:30", "9" * 400, "1e3", "+.5", "16777217", "1.0e+300", "0777", "NaN"),
)
WORDS = (
    *("", "~", "null", "yes", "True", "=", "<<", "auto", "full", "full/sdpa", "blockwise", "cuda", "pow2", "seq_len"),
    *(f"../../{CANARY}", f"/tmp/{CANARY}", f"$(touch {CANARY})", f"`touch {CANARY}`", "CON", "a/b", "..", ".", "-rf"),
    *('"\\0"', '"\\x1b[2J"', '"\\ud800"', '"\\U00110000"', '"\\UFFFFFFFF"', '"\\u2028"', "'", '"', "\u202e", "\ufeff"),
    *("\x00", "\x85", "\u2029", "\U0001f600", "e\u0301" * 50, "%s%n", "{{7*7}}", "> 4096", ">= 9e9", "!= x"),
    *("> " + "9" * 20, "a" * 5000, "80%", "101%", "4GiB", "0.0000001ns", "2001-01-01", "#", "# x", "- - -"),
    *("%YAML 9.9", "%TAG ! x:"),
)
STRUCTURES = (
    *("[" * 2000, "{a: " * 500, "- " * 2000, "[" * 25 + "]" * 25, "&a [*a]", "&a {a: *a}", "*missing", "&x", "*x"),
    *("{pow2: [0, 24]}", "{pow2: [24, 0]}", "{pow2: [1, 40000000]}", "[null]", "[[[]]]", "{full: {}}", "? [a]\n: b"),
    *("---", "...", "--- !x", "|", ">", "|9\n x", "&a b: *a", "<<: *a", "<<: {name: x}", "[a, b]: c", "{1: 2}", "key:"),
    *("[]", "{}", f"[{_LONG}]", f"[{', '.join(['full'] * 1500)}]"),
    f"{{{', '.join(f'k{i}: {i}' for i in range(1500))}}}",
    f"a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n{_BOMB}",
    f"variants: [bigbird: {{seed: [{_LONG}], block: [{_LONG}]}}]",
    f"shape: {{seq_len: [{_LONG}], heads: [{_LONG}]}}",
    f"exclude: [{', '.join(['{seq_len: 1}'] * 150)}]",
)
KEYS = (
    *("name", "question", "level", "shape", "dtype", "device", "direction", "threads", "variants", "baseline"),
    *("exclude", "measure", "budget", "check", "batch", "heads", "kv_heads", "head_dim", "seq_len", "implementation"),
    *("window", "processes", "values", "value_ms", "case_s", "suite_s", "memory", "time", "relative", "severity"),
    *("__class__", "__init__", "model_config", "model_fields", "source", "path", "key_window", "?many", "_source"),
)

seen: list[str] = []
"""What was started, written or removed while the watch was on."""
_watching = False
_EVENTS = (
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    *("shutil.rmtree", "shutil.move", "shutil.copyfile", "socket.connect", "socket.bind", "ctypes.dlopen", "os.kill"),
    *("tempfile.mkstemp", "tempfile.mkdtemp", "os.putenv", "os.chdir"),
)


def documents() -> list[str]:
    """The valid suite files that mutants are made of: all that ship, and the tests' own."""
    good = Path(__file__).parents[1] / "data" / "suites" / "good.yaml"
    texts = [path.read_text(encoding="utf-8") for path in shipped().values()]
    for text in yaml.safe_load(good.read_text(encoding="utf-8")).values():
        told = yaml.safe_load(text)
        missing = {} if text.startswith("---") else {key: value for key, value in _BASE.items() if key not in told}
        texts.append("".join(f"{key}: {json.dumps(value)}\n" for key, value in missing.items()) + text)
    return texts


def mutant(seed: str, texts: list[str]) -> bytes:
    """A suite file with one to four changes; the same for the same seed."""
    chance = random.Random(seed)
    text = chance.choice(texts)
    if chance.random() < 0.3:
        text = _other_tree(chance, text)
    for _ in range(chance.choice((1, 1, 2, 4))):
        text = chance.choice(_CHANGES)(chance, text)
    content = text.encode("utf-8", "surrogatepass")
    return _flipped(chance, content) if chance.random() < 0.2 else content


def _flipped(chance: random.Random, content: bytes) -> bytes:
    """Some bits flipped."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4) if changed else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _hostile(chance: random.Random) -> str:
    """A piece of a file that no one should have written."""
    return chance.choice(chance.choice((TAGS, NUMBERS, WORDS, STRUCTURES, KEYS)))


def _lines(chance: random.Random, text: str) -> str:
    """A line dropped, repeated, moved, indented otherwise, emptied, or made very long."""
    lines = text.split("\n")
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    line = lines.pop(at)
    put = {
        "drop": [],
        "repeat": [line, line],
        "indent": [" " * chance.choice((1, 2, 4, 60)) + line],
        "dedent": [line.lstrip()],
        "tab": ["\t" + line],
        "long": [line + "x" * chance.choice((200, 70_000))],
        "empty": [line.partition(":")[0] + ":"],
        "comment": ["# " + line],
    }
    how = chance.choice([*put, "move"])
    lines[at:at] = put.get(how, [])
    if how == "move":
        lines.insert(other, line)
    return "\n".join(lines)


def _word(chance: random.Random, text: str) -> str:
    """A word of the text replaced: a value by something hostile, or a key by another one."""
    places = [place for place, sign in enumerate(text) if sign.isalnum() and not text[place - 1 : place].isalnum()]
    if not places:
        return text
    at = chance.choice(places)
    end = at
    while end < len(text) and (text[end].isalnum() or text[end] in "_./%"):
        end += 1
    return text[:at] + (_hostile(chance) if chance.random() < 0.8 else chance.choice(KEYS)) + text[end:]


def _inserted(chance: random.Random, text: str) -> str:
    """Something hostile put anywhere, or on a line of its own."""
    at = chance.randrange(len(text) + 1)
    if chance.random() < 0.5:
        at = text.rfind("\n", 0, at) + 1
        return f"{text[:at]}{chance.choice(KEYS)}: {_hostile(chance)}\n{text[at:]}"
    return text[:at] + _hostile(chance) + text[at:]


def _cut(chance: random.Random, text: str) -> str:
    """A stretch removed, or all that follows it."""
    at = chance.randrange(len(text) + 1)
    return text[:at] + (text[at + chance.choice((1, 3, 20)) :] if chance.random() < 0.7 else "")


def _repeated(chance: random.Random, text: str) -> str:
    """A stretch of the text many times over: at the most a few times what a file may hold."""
    at = chance.randrange(len(text) + 1)
    piece = text[at : at + chance.choice((1, 10, 100))]
    return text[:at] + piece * chance.choice((2, 2, 50, 50, 2000, 20_000)) + text[at:]


_CHANGES: tuple[Callable[[random.Random, str], str], ...] = (_lines, _word, _word, _word, _inserted, _cut, _repeated)


def _other_tree(chance: random.Random, text: str) -> str:
    """The file with other values, lists and mappings in it, written anew as YAML or as JSON."""
    tree = yaml.safe_load(text)
    for _ in range(chance.randint(1, 3)):
        _change(chance, tree)
    if chance.random() < 0.5:
        return json.dumps(tree, ensure_ascii=chance.random() < 0.5)
    return yaml.safe_dump(tree, sort_keys=chance.random() < 0.5, default_flow_style=chance.choice((True, False, None)))


def _change(chance: random.Random, tree: Any) -> None:
    """One place of a tree changed."""
    container = tree
    while True:
        places = list(container) if isinstance(container, dict) else list(range(len(container)))
        if not places:
            return
        place = chance.choice(places)
        below = container[place]
        if not isinstance(below, dict | list) or not below or chance.random() < 0.3:
            break
        container = below
    how = chance.choice(("value", "value", "value", "remove", "wrap", "deep", "many", "rename", "graft"))
    if how == "value":
        container[place] = chance.choice((None, True, -1, 0, 2.5, 2**31, 10**30, 1e308, "", "x" * 300, [], {}, "auto"))
    elif how == "remove":
        del container[place]
    elif how == "wrap":
        container[place] = [below, below]
    elif how == "deep":
        for _ in range(chance.choice((3, 25, 50))):
            container[place] = [container[place]]
    elif how == "many":
        container[place] = [*range(1, chance.choice((5, 120, 3000)))]
    elif how == "graft":
        container[place] = copy.deepcopy(tree)
    elif isinstance(container, dict):
        container[chance.choice(KEYS)] = container.pop(place)


def ending(path: Path) -> tuple[str, str]:
    """How reading a file ended, `suite`, `refusal` or `bad`, and what is bad about it."""
    try:
        suite = load(path)
        cases = suite.cases()
    except SuiteError as error:
        problem = _problem_with(error, path)
        return "bad" if problem else "refusal", problem
    titles = [case.title for case in cases if not (case.title.isprintable() and case.key.isalnum())]
    if not 0 < len(cases) <= MOST_CASES:
        return "bad", f"a suite of {len(cases)} cases"
    if new_folder(suite.name).parent != Path("runs"):
        return "bad", f"a folder outside runs: {new_folder(suite.name)}"
    return ("bad", f"a title of several lines: {titles[0]!r}") if titles else ("suite", "")


def _problem_with(error: SuiteError, path: Path) -> str:
    """What is wrong with an error, or nothing."""
    lines = str(error).split("\n")
    if not error.problems or len(lines) != len(error.problems):
        return f"{len(error.problems)} problems in {len(lines)} lines: {lines[0]}"
    for line, each in zip(lines, error.problems, strict=True):
        placed = each.line is not None and line.startswith(f"{path}:{each.line}:{each.column}: ")
        too_large = each.line is None and path.stat().st_size > LONGEST
        if not (placed or too_large):
            return f"an error without its place: {line}"
        if "expected " not in line or ", found " not in line or not line.isprintable():
            return f"an error in other words: {line!r}"
    return ""


def watch() -> None:
    """While `_watching`, note in `seen` what is started, written or removed, and stop what takes too long."""

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if _watching and (event in _EVENTS or (event == "open" and _writes(*given[1:3]))):
            seen.append(f"{event} {given}"[:200])

    sys.addaudithook(hook)
    signal.signal(signal.SIGALRM, _stop)


def _writes(mode: str | None, flags: int | None) -> bool:
    """Whether a file is opened to be made or changed."""
    return bool(set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


class _RunAway(BaseException):
    """Reading took too long."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _RunAway(f"not read within {LIMIT_S} s")


def watched(path: Path) -> tuple[str, str]:
    """How reading a file ended under the watch and within the time; see `ending`."""
    global _watching
    seen.clear()
    _watching = True
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        how, problem = ending(path)
    except (_RunAway, Exception):  # whatever else comes out of reading is what is looked for
        how, problem = "bad", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _watching = False
    return ("bad", f"{seen[0]}, while it was read") if seen else (how, problem)


def main() -> None:
    """Read so many mutants; exit with 1 if one of them does not end well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    texts = documents()
    for path in shipped().values():
        load(path).cases()  # what is imported when the first suite is read is none of a mutant's doing
    watch()
    page = resource.getpagesize()
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * page
    resource.setrlimit(resource.RLIMIT_DATA, (held + LIMIT_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended: Counter[str] = Counter()
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.yaml"
        for index in range(given.count):
            path.write_bytes(mutant(f"{given.seed}:{index}", texts))
            begun = time.perf_counter()
            how, problem = watched(path)
            slowest_s = max(slowest_s, time.perf_counter() - begun)
            ended[how] += 1
            if problem:
                print(f"--seed {given.seed}, mutant {index}: {problem}\n{path.read_bytes()[:2000]!r}\n")
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kb
    well = given.count - ended["bad"]
    print(
        f"{well} of {given.count} ended well: {ended['suite']} suites, {ended['refusal']} refusals;"
        f" the slowest took {slowest_s:.2f} s, memory grew by {grown_kb / 1024:.0f} MiB"
    )
    sys.exit(1 if ended["bad"] else 0)


if __name__ == "__main__":
    main()
