"""What the house checks share: our files, and C text without its comments and strings."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# A comment, a string, a character constant: in the order in which C sees them.
NOT_CODE = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.DOTALL | re.VERBOSE
)


def c_files():
    """Every .c and .h under src/ and tests/, in a stable order."""
    found = []
    for top in (SRC, ROOT / "tests"):
        found += [p for p in top.rglob("*.[ch]") if p.is_file()]
    return sorted(found)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def is_test(path):
    """Unit tests, fuzzers and everything under tests/."""
    return path.name.startswith(("test_", "fuzz_")) or (ROOT / "tests") in path.parents


def blank(match):
    """Keep the line breaks, so that line numbers stay right."""
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    return NOT_CODE.sub(blank, text)


def comments_only(text):
    """Every comment as (line number, text)."""
    out = []
    for m in NOT_CODE.finditer(text):
        if m.group(0).startswith(("/*", "//")):
            out.append((text.count("\n", 0, m.start()) + 1, m.group(0)))
    return out


def report(what, problems):
    """Print problems one per line; the exit code for the caller."""
    for p in problems:
        print(p)
    print(f"{what}: {'no problem' if not problems else str(len(problems)) + ' to mend'}")
    return 1 if problems else 0
