# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The picture of the rooms: boxes in the layers of layers.txt, the highest on top, and an arrow from each room to those that it includes.

An include that follows from others (a room includes one that includes a third) has no arrow of its own, or nothing could be seen.
The same input gives the same bytes, so that a test can tell whether the picture is up to date."""

from html import escape
from itertools import permutations

ROW, BOX_HEIGHT, BOX_MARGIN, LINE_GAP = 92, 46, 26, 14
TO_THE_MIDDLE = 0.3
FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"


def without_shortcuts(edges):
    """Only the includes that do not follow from others."""
    def reached(start):
        seen, todo = set(), list(edges[start])
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                todo += edges[at]
        return seen

    below = {name: reached(name) for name in edges}
    return {name: {b for b in targets if not any(b in below[c] for c in targets if c != b)} for name, targets in edges.items()}


def caption(room):
    """The folders and files of a room, short enough for its box."""
    names = [p.removesuffix("/*").removesuffix(".hpp") for p in room.patterns if not (p.endswith("/detail/*") and len(room.patterns) > 1)]
    folders = {n.rpartition("/")[0] for n in names}
    if len(names) > 1 and len(folders) == 1 and folders != {""}:
        folder = folders.pop()
        names = [f"{folder}/ " + " ".join(n[len(folder) + 1:] for n in names)]
    text = " ".join(n + "/" if f"{n}/*" in room.patterns else n for n in names)
    return text


def in_rows(rooms, edges):
    """Rows of rooms and of bends, which are tuples, so that lines that cross a layer have a place there."""
    layers = max(r.layer for r in rooms.values()) + 1
    rows = [[r.name for r in rooms.values() if r.layer == layer] for layer in range(layers)]
    links = []  # between neighbouring rows, upper to lower
    for name in rooms:
        for target in sorted(edges[name]):
            upper = name
            for layer in range(rooms[name].layer - 1, rooms[target].layer, -1):
                bend = ("bend", target, layer)  # lines to one room run together
                if bend not in rows[layer]:
                    rows[layer].append(bend)
                if (upper, bend) not in links:
                    links.append((upper, bend))
                upper = bend
            if (upper, target) not in links:
                links.append((upper, target))
    return rows, links


def crossings(above, below, links):
    at, to = {n: i for i, n in enumerate(above)}, {n: i for i, n in enumerate(below)}
    lines = sorted((at[a], to[b]) for a, b in links if a in at and b in to)
    return sum(1 for i, (a, b) in enumerate(lines) for c, d in lines[i + 1:] if a < c and b > d)


def ordered(rows, links):
    """Rows in an order with few crossings: by all orders of a row while they are few, in turn until nothing improves."""
    rows = [list(r) for r in rows]

    def cost(i, row):
        return sum(crossings(rows[i + 1] if up else row, row if up else rows[i - 1], links) for up in (True, False)
                   if 0 <= (i + 1 if up else i - 1) < len(rows))

    for _ in range(8):
        before = [list(r) for r in rows]
        for i in [*range(len(rows)), *reversed(range(len(rows)))]:
            if len(rows[i]) <= 6:
                rows[i] = list(min(permutations(rows[i]), key=lambda row: (cost(i, row), [rows[i].index(n) for n in row])))
            else:
                for j in [*range(len(rows[i]) - 1)] * 2:
                    other = rows[i][:j] + [rows[i][j + 1], rows[i][j]] + rows[i][j + 2:]
                    if cost(i, other) < cost(i, rows[i]):
                        rows[i] = other
        if rows == before:
            break
    return rows


def placed(rows, links, width_of):
    """The middle of everything on its row: near what it is linked to and not far from the middle of the picture, without overlaps."""
    x = {}
    for row in rows:
        at = 0
        for n in row:
            x[n] = at + width_of(n) / 2
            at += width_of(n) + BOX_MARGIN
    linked = {n: [] for row in rows for n in row}
    for a, b in links:
        linked[a].append(b)
        linked[b].append(a)
    middle = max(x[n] + width_of(n) / 2 for n in x) / 2
    for _ in range(60):
        for row in [*rows, *reversed(rows)]:
            # A room without links stays where it is.
            near = {n: sum(x[m] for m in linked[n]) / len(linked[n]) if linked[n] else x[n] for n in row}
            wish = {n: (1 - TO_THE_MIDDLE) * near[n] + TO_THE_MIDDLE * middle for n in row}
            # Neighbours that would overlap are pushed apart from the left and from the right; the mean of both stays in the middle.
            left, right = {}, {}
            for i, n in enumerate(row):
                least = left[row[i - 1]] + (width_of(row[i - 1]) + width_of(n)) / 2 + BOX_MARGIN if i else wish[n]
                left[n] = max(wish[n], least)
            for i, n in reversed([*enumerate(row)]):
                last = i == len(row) - 1
                most = wish[n] if last else right[row[i + 1]] - (width_of(row[i + 1]) + width_of(n)) / 2 - BOX_MARGIN
                right[n] = min(wish[n], most)
            for n in row:
                x[n] = (left[n] + right[n]) / 2
    low = min(x[n] - width_of(n) / 2 for row in rows for n in row)
    return {n: round(v - low + BOX_MARGIN, 1) for n, v in x.items()}


def drawing(rooms, edges):
    edges = without_shortcuts(edges)
    rows, links = in_rows(rooms, edges)

    def width_of(node):
        if isinstance(node, tuple):
            return LINE_GAP
        return max(90, 9 * len(node) + 24, 6.4 * len(caption(rooms[node])) + 20)

    rows = ordered(rows, links)
    x = placed(rows, links, width_of)
    top = len(rows) - 1
    y = {n: 30 + (top - layer) * ROW for layer, row in enumerate(rows) for n in row}
    width = max(x[n] + width_of(n) / 2 for n in x) + BOX_MARGIN
    height = 30 + len(rows) * ROW
    out = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height}' width='{width:.0f}' height='{height}'>",
        "<!-- Made by tests/architecture/rooms.py from the includes. -->",
        "<title>The rooms of include/sdp and the includes between them</title>",
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
        "<path d='M0,0 L8,4 L0,8 z' fill='#52667a'/></marker></defs>",
        f"<rect width='{width:.0f}' height='{height}' fill='#ffffff'/>",
    ]
    for a, b in links:
        begin, end = y[a] + BOX_HEIGHT, y[b]
        middle = (begin + end) / 2
        # Past the boxes of a row a line is straight, and bends only between rows.
        straight, tip = (f" V{end + BOX_HEIGHT:g}", "") if isinstance(b, tuple) else ("", " marker-end='url(#tip)'")
        out.append(f"<path d='M{x[a]:g},{begin:g} C{x[a]:g},{middle:g} {x[b]:g},{middle:g} {x[b]:g},{end:g}{straight}' fill='none' "
                   f"stroke='#52667a' stroke-width='1.3'{tip}/>")
    for row in rows:
        for n in row:
            if isinstance(n, tuple):
                continue
            w = width_of(n)
            inside = any("detail/" in p for p in rooms[n].patterns) and all("detail/" in p for p in rooms[n].patterns)
            fill, edge = ("#eef1f4", "#8b99a8") if inside else ("#dcebfa", "#2f6db0")
            out.append(f"<rect x='{x[n] - w / 2:g}' y='{y[n]}' width='{w:g}' height='{BOX_HEIGHT}' rx='7' fill='{fill}' stroke='{edge}' "
                       "stroke-width='1.4'/>")
            out.append(f"<text x='{x[n]:g}' y='{y[n] + 19}' text-anchor='middle' {FONT} font-size='14' font-weight='bold' fill='#1d2733'>"
                       f"{escape(n)}</text>")
            out.append(f"<text x='{x[n]:g}' y='{y[n] + 36}' text-anchor='middle' {FONT} font-size='10.5' fill='#45535f'>"
                       f"{escape(caption(rooms[n]))}</text>")
    legend = "An arrow points at what a room includes; what follows from other arrows has none. Blue: public headers. Grey: machinery."
    out.append(f"<text x='{width / 2:g}' y='{height - 14}' text-anchor='middle' {FONT} font-size='11' fill='#45535f'>{legend}</text>")
    return "\n".join([*out, "</svg>", ""])
