#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""rooms.py check <project folder>: fails, with a sentence for each, where the tree breaks a rule of layers.txt.
rooms.py draw <project folder>: writes docs/rooms.svg, the rooms and the includes between them.
rooms.py drawn <project folder>: fails if docs/rooms.svg is not what `draw` would write.

Rules: every header is in a room; includes point at rooms that layers.txt allows, all of them in layers below; the concepts of public
headers need nothing of `detail`; no folder has more than MOST_FILES files; no room has more than a quarter of the lines; the files
that docs/contributing.md names under "Where to change what" exist."""

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

MOST_FILES = 15
FOLDERS = ("include/sdp", "tests", "examples", "benchmarks", "cmake", "docs")  # where they are counted
LARGEST_SHARE = 0.25
FEW_LINES = 2000  # of a tree so small that shares say nothing


class Room(NamedTuple):
    name: str
    layer: int
    patterns: list
    allowed: list


def fail(sentence):
    sys.exit(f"layers.txt: {sentence}")


def read_rooms(path):
    """Rooms by name, in the order of the file."""
    rooms, layer = {}, -1
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.split("#")[0].strip()
        if line == "layer":
            layer += 1
            continue
        if not line:
            continue
        match = re.fullmatch(r"([\w ]+): ([^>]+?)(?: -> (.+))?", line)
        if not match or layer < 0:
            fail(f"line {number} is '{line}'; expected 'layer', or below one 'room: files -> rooms'")
        name, patterns, allowed = match[1], match[2].split(), [a.strip() for a in match[3].split(",")] if match[3] else []
        if name in rooms:
            fail(f"line {number} has the room '{name}' a second time; expected every room once")
        for other in allowed:
            if other not in rooms:
                fail(f"line {number} lets '{name}' include '{other}', which is no room above that line; expected a room of a lower layer")
            if rooms[other].layer >= layer:
                fail(f"line {number} lets '{name}' include '{other}' of its own layer; expected a room of a lower layer")
        rooms[name] = Room(name, layer, patterns, allowed)
    return rooms


def room_of(rooms, header):
    """Below include/sdp. A `*` does not reach into folders. Definitions in src/ are in the room of the header that declares them."""
    if header.startswith("src/") and header.endswith(".ipp"):
        header = header.removeprefix("src/").removesuffix(".ipp") + ".hpp"
    for room in rooms.values():
        for pattern in room.patterns:
            if pattern.count("/") == header.count("/") and fnmatchcase(header, pattern):
                return room
    return None


def headers_of(root):
    library = root / "include/sdp"
    return {p.relative_to(library).as_posix(): p.read_text(encoding="utf-8") for p in sorted(library.rglob("*")) if p.suffix in (".hpp", ".ipp", ".cu")}


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def includes_of(text):
    return re.findall(r"^\s*#\s*include\s*[<\"]sdp/([^>\"]+)[>\"]", without_comments(text), flags=re.M)


def concepts_of(text):
    """Name and definition of each concept, up to the semicolon outside of all brackets."""
    text = without_comments(text)
    for match in re.finditer(r"\bconcept\s+(\w+)\s*=", text):
        depth, end = 0, match.end()
        while end < len(text) and (depth or text[end] != ";"):
            depth += (text[end] in "({[") - (text[end] in ")}]")
            end += 1
        yield match[1], text[match.end():end]


def faults(root, rooms):
    headers = headers_of(root)
    concepts = {name for text in headers.values() for name, _ in concepts_of(text)}  # of which `detail` may have some
    lines = dict.fromkeys(rooms, 0)
    for header, text in headers.items():
        room = room_of(rooms, header)
        if room is None:
            yield f"include/sdp/{header} is in no room; add its folder or name to a room"
            continue
        lines[room.name] += text.count("\n")
        for included in includes_of(text):
            other = room_of(rooms, included)
            if included not in headers:
                yield f"include/sdp/{header} includes sdp/{included}, which does not exist"
            elif other is not None and other.name != room.name and other.name not in room.allowed:
                arrow = "against the arrow, from a lower layer to a higher one" if other.layer > room.layer else "which that room may not include"
                yield (f"include/sdp/{header} of the room '{room.name}' includes sdp/{included} of '{other.name}', {arrow}; "
                       f"expected includes of {', '.join(room.allowed) or 'no other room'}")
        if "/detail/" not in f"/{header}":
            for name, definition in concepts_of(text):
                for found in sorted(set(re.findall(r"\bdetail::(\w+)", definition)) - concepts):
                    yield f"the concept {name} of include/sdp/{header} needs detail::{found}; expected public types only"
    for folder in FOLDERS:
        top = root / folder
        for path in sorted([top, *top.rglob("*")]) if top.is_dir() else ():
            if path.is_dir() and path.name != "__pycache__":
                count = sum(p.is_file() for p in path.iterdir())
                if count > MOST_FILES:
                    yield f"{path.relative_to(root).as_posix()} has {count} files; expected at most {MOST_FILES}: give those that belong together a folder"
    total = sum(lines.values())
    for name, count in lines.items():
        if total >= FEW_LINES and count > LARGEST_SHARE * total:
            yield f"the room '{name}' has {count} of {total} lines; expected at most {LARGEST_SHARE:.0%}: split it"


def gone_files(root):
    """What the table of docs/contributing.md sends its readers to and is not there."""
    guide = root / "docs/contributing.md"
    text = guide.read_text(encoding="utf-8") if guide.is_file() else ""
    _, _, table = text.partition("## Where to change what\n")
    for name in re.findall(r"`([\w./]+\.(?:hpp|cu))`", table.partition("\n## ")[0]):
        if not (root / "include/sdp" / name).is_file():
            yield f"docs/contributing.md sends readers to include/sdp/{name}, which does not exist; expected where that is now"


def edges_of(root, rooms):
    """Which room includes which."""
    edges = {name: set() for name in rooms}
    for header, text in headers_of(root).items():
        room = room_of(rooms, header)
        for included in includes_of(text):
            other = room_of(rooms, included)
            if room and other and other.name != room.name:
                edges[room.name].add(other.name)
    return edges


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("check", "draw", "drawn"):
        sys.exit(__doc__)
    root = Path(sys.argv[2])
    rooms = read_rooms(Path(root / "tests/architecture/layers.txt"))
    if sys.argv[1] == "check":
        found = [*faults(root, rooms), *gone_files(root)]
        print(f"{len(rooms)} rooms, {len(headers_of(root))} headers")
        if found:
            sys.exit("\n".join(found))
        return
    from draw_rooms import drawing
    picture, text = root / "docs/rooms.svg", drawing(rooms, edges_of(root, rooms))
    if sys.argv[1] == "draw":
        picture.write_text(text, encoding="utf-8")
    elif not picture.is_file() or picture.read_text(encoding="utf-8") != text:
        sys.exit("docs/rooms.svg does not show the includes of the headers; expected what `tests/architecture/rooms.py draw .` writes")


if __name__ == "__main__":
    main()
