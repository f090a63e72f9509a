"""Damage to files: bytes, words and lines changed, entries of JSON replaced."""

import copy
import gzip
import json
import re
import struct

import numpy as np

WORDS = (
    b"0", b"1", b"-1", b"2", b"3", b"nan", b"inf", b"-inf", b"1e309", b"1e-400", b"2147483647",
    b"2147483648", b"4294967296", b"9223372036854775807", b"18446744073709551616", b"9" * 30,
    b"9" * 5000, b"0x10", b"1_000", b"1.5", b"+1", b"1e0", b"", b"p", b"qubo", b"c", b"#",
    b"# vartype=SPIN", b"# vartype=BINARY", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\0", b"\xff",
    b"\x0b", b"\x1c", b"\x85", "\u0663".encode(), "\u2028".encode(), b"{", b"}", b"[", b'"', b",",
    b"DIMOD", b"-0", b"00001", b"\t", b" " * 50,
)  # fmt: skip
#: What a number in a binary file becomes: its ends, and sizes that no memory holds.
INTEGERS = (-1, 0, 1, 1000, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63))
ENTRIES = (
    None, True, -1, 0, 1, 2**31, 2**70, 1.5, float("nan"), float("inf"), "", "x", [], {}, [[]],
    [1, 2], {"a": 1}, "<script>", 1e308,
)  # fmt: skip


def damaged(content: bytes, seed: int, count: int) -> bytes:
    """Change a file's bytes `count` times; now and then compress the outcome."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        content = CHANGES[int(rng.integers(len(CHANGES)))](bytearray(content), rng)
    if rng.random() < 0.08:
        content = gzip.compress(content)
        if rng.random() < 0.5:
            content = content[: int(rng.integers(len(content) + 1))]
    return content


def place(content, rng, width=0):
    return int(rng.integers(max(len(content) - width, 0) + 1))


def word(rng):
    return WORDS[int(rng.integers(len(WORDS)))]


def truncate(content, rng):
    return bytes(content[: place(content, rng)])


def insert_word(content, rng):
    at = place(content, rng)
    return bytes(content[:at]) + word(rng) + bytes(content[at:])


def replace_byte(content, rng):
    if content:
        content[place(content, rng, 1)] = int(rng.integers(256))
    return bytes(content)


def flip_bit(content, rng):
    if content:
        content[place(content, rng, 1)] ^= 1 << int(rng.integers(8))
    return bytes(content)


def replace_word(content, rng):
    lines = bytes(content).split(b"\n")
    # Half of the time in the first lines, where the sizes are.
    k = int(rng.integers(min(len(lines), 3) if rng.random() < 0.5 else len(lines)))
    words = lines[k].split(b" ")
    words[int(rng.integers(len(words)))] = word(rng)
    lines[k] = b" ".join(words)
    return b"\n".join(lines)


def repeat_or_drop_line(content, rng):
    lines = bytes(content).split(b"\n")
    k = int(rng.integers(len(lines)))
    if rng.random() < 0.5:
        lines.insert(k, lines[k])
    else:
        lines.pop(k)
    return b"\n".join(lines)


def change_line_ends(content, rng):
    ends = (b"\r\n", b"\r", b"\n\n", b" \n", b"\n\t")
    return bytes(content).replace(b"\n", ends[int(rng.integers(len(ends)))])


def add_byte_order_mark(content, rng):
    return b"\xef\xbb\xbf" + bytes(content)


def delete_bytes(content, rng):
    at = place(content, rng)
    del content[at : at + int(rng.integers(20))]
    return bytes(content)


def append_beginning(content, rng):
    return bytes(content + content[: place(content, rng)])


def replace_binary_number(content, rng):
    code, width = (("<q", 8), ("<d", 8), ("<i", 4))[int(rng.integers(3))]
    if len(content) < width:
        return bytes(content)
    at, value = place(content, rng, width), INTEGERS[int(rng.integers(len(INTEGERS)))]
    if code == "<i":
        value = max(min(value, 2**31 - 1), -(2**31))
    content[at : at + width] = struct.pack(code, value)
    return bytes(content)


def replace_index(content, rng):
    """A whole 32-bit number of a binary file becomes another index, in its range or beyond."""
    if len(content) < 4:
        return bytes(content)
    at = place(content, rng, 4) // 4 * 4
    content[at : at + 4] = struct.pack("<i", int(rng.choice([0, 1, 2, 5, 1000, 2**24, -1])))
    return bytes(content)


def replace_number(content, rng):
    found = list(re.finditer(rb"\d+", bytes(content)))
    if found:
        match = found[int(rng.integers(len(found)))]
        content[match.start() : match.end()] = word(rng)
    return bytes(content)


CHANGES = (
    truncate, insert_word, replace_byte, flip_bit, replace_word, repeat_or_drop_line,
    change_line_ends, add_byte_order_mark, delete_bytes, append_beginning, replace_binary_number,
    replace_index, replace_number,
)  # fmt: skip


def damaged_tree(tree, seed, count, entries=ENTRIES):
    """Replace or remove `count` entries of nested dicts and lists."""
    rng = np.random.default_rng(seed)

    def change(node, depth):
        if isinstance(node, dict) and node and depth < 6:
            keys = sorted(node, key=str)
        elif isinstance(node, list) and node and depth < 6:
            keys = range(len(node))
        else:
            return copy.deepcopy(entries[int(rng.integers(len(entries)))])
        key = keys[int(rng.integers(len(keys)))]
        if rng.random() < 0.25:
            node.pop(key)
        else:
            node[key] = change(node[key], depth + 1)
        return node

    for _ in range(count):
        tree = change(tree, 0)
    return tree


def damaged_json(content: bytes, seed: int, count: int) -> bytes:
    """Replace or remove `count` entries of a JSON file."""
    return json.dumps(damaged_tree(json.loads(content), seed, count)).encode()


def damaged_either_way(content: bytes, seed: int, count: int) -> bytes:
    """Damage a JSON file by entries or by bytes."""
    change = damaged_json if seed % 2 else damaged
    return change(content, seed // 2, count)
