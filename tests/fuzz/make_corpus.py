#!/usr/bin/env python3
"""Writes the small files that the fuzzers start from and the tests replay, whole ones and broken.

usage: make_corpus.py FOLDER    (tests/fuzz/corpus); needs NumPy
"""

import gzip
import io
import json
import pathlib
import struct
import sys
import zipfile

import numpy as np

ROOT = pathlib.Path(sys.argv[1])


def put(reader, name, content):
    folder = ROOT / reader
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def idx(kind, sizes, elements):
    return bytes([0, 0, kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + elements


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(members, method, date=(1980, 1, 1, 0, 0, 0)):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, date)
            info.compress_type = method
            archive.writestr(info, content)
    return out.getvalue()


def pack(content):
    return gzip.compress(content, mtime=0)


IDX = {
    "images": idx(8, [2, 2, 3], bytes(range(0, 240, 20))),
    "labels": idx(8, [3], b"\0\1\2"),
    "int8": idx(9, [2], b"\x7f\xff"),
    "int16": idx(11, [2], b"\x7f\xff\x80\0"),
    "int32": idx(12, [1, 2], struct.pack(">2i", 1, -2)),
    "float32": idx(13, [2], struct.pack(">2f", 1.5, -2)),
    "float64": idx(14, [1], struct.pack(">d", 0.1)),
    "rank0": idx(8, [], b"\7"),
    "empty_axis": idx(8, [2, 0, 3], b""),
    "cut": idx(8, [2, 3], b"12345"),
    "long": idx(8, [2, 3], b"1234567"),
    "absurd": idx(14, [2**32 - 1] * 3, b"12345"),
    "rank255": bytes([0, 0, 8, 255]),
    "type": bytes([0, 0, 10, 1, 0, 0, 0, 1, 7]),
    "text": b"a,b\n1,2\n",
    "nothing": b"",
}
for name, content in IDX.items():
    put("idx", name, content)
    put("idx_gz", name + ".gz", pack(content))
put("idx_gz", "cut.gz", pack(IDX["images"])[:-5])
put("idx_gz", "checksum.gz", pack(IDX["images"])[:-8] + b"\0\0\0\0" + pack(IDX["images"])[-4:])
put("idx_gz", "two_members.gz", pack(IDX["images"][:9]) + pack(IDX["images"][9:]))
put("idx_gz", "trailing.gz", pack(IDX["images"]) + b"more")
put("idx_gz", "rubbish.gz", b"\x1f\x8b\x08\0 rubbish")

RECORD = bytes([3]) + bytes(i % 251 for i in range(3072))
put("cifar", "one.bin", RECORD)
put("cifar", "two.bin", RECORD + b"\0" + RECORD[1:])
put("cifar", "label.bin", b"\x0a" + RECORD[1:])
put("cifar", "cut.bin", RECORD[:-1])
put("cifar", "nothing.bin", b"")

for name, content in {
    "plain": b"a,b,c\n1,2,3\n4.5,-6e2,NA\n",
    "quoted": b'"a","b ""x"""\r\n"1\n2",3\r\n',
    "bom": b"\xef\xbb\xbfa,b\n1,2\n",
    "words": b"length,kind\n1,cat\n2,dog\n",
    "ragged": b"a,b\n1\n",
    "open_quote": b'a,b\n"1,2\n',
    "stray_quote": b'a,b\n1"2,3\n',
    "zero_byte": b"a,b\n1,\0\n",
    "carriage": b"a,b\r1,2\r",
    "header_only": b"a,b\n",
    "huge": b"a,b\n1e999,99999999999999999999\n",
    "hex": b"a,b\n0x10,nan\ninf,-inf\n",
    "nothing": b"",
}.items():
    put("csv", name + ".csv", content)

ARRAYS = {
    "b1": np.array([True, False, True]),
    "i4": np.array([[1, 2, 3], [4, 5, 6]], np.int32),
    "i8": np.array(-7, np.int64),
    "f4": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "f8": np.zeros((2, 0), np.float64),
}
for name, array in ARRAYS.items():
    put("npy", name + ".npy", npy(array))
put("npy", "u1.npy", npy(np.arange(3, dtype=np.uint8)))
put("npy", "cut.npy", npy(ARRAYS["i4"])[:-1])
put("npy", "long.npy", npy(ARRAYS["i4"]) + b"x")
put("npy", "absurd.npy", npy(ARRAYS["i4"]).replace(b"(2, 3), }       ", b"(9999999999,), }"))
put("npy", "bool.npy", npy(ARRAYS["b1"])[:-1] + b"\2")
put("npy", "version.npy", b"\x93NUMPY\4\0" + npy(ARRAYS["i4"])[8:])
put("npy", "header.npy", b"\x93NUMPY\1\0\x04\0{'a'")
put("npy", "nothing.npy", b"")

MEMBERS = [(name + ".npy", npy(array)) for name, array in ARRAYS.items()]
STORED = npz(MEMBERS, zipfile.ZIP_STORED)
DEFLATED = npz(MEMBERS, zipfile.ZIP_DEFLATED)
put("npz", "stored.npz", STORED)
put("npz", "deflated.npz", DEFLATED)
put("npz", "none.npz", npz([], zipfile.ZIP_STORED))
put("npz", "not_npy.npz", npz([("a.txt", b"hello")], zipfile.ZIP_STORED))
put("npz", "broken_member.npz", npz([("a.npy", npy(ARRAYS["i4"])[:-1])], zipfile.ZIP_DEFLATED))
put("npz", "bzip2.npz", npz(MEMBERS[:1], zipfile.ZIP_BZIP2))
put("npz", "cut.npz", DEFLATED[:-30])
put("npz", "nothing.npz", b"")
one = npz(MEMBERS[1:2], zipfile.ZIP_STORED)
put("npz", "checksum.npz", one.replace(b"\6\0\0\0PK", b"\7\0\0\0PK"))
# The directory's entry claims 4 GB, unpacked: its sizes stand at 20 and 24.
at = one.index(b"PK\1\2")
put("npz", "absurd.npz", one[: at + 24] + b"\xf0\xff\xff\xff" + one[at + 28 :])
small = npz(MEMBERS[1:2], zipfile.ZIP_DEFLATED)
at = small.index(b"PK\1\2")
put("npz", "claims.npz", small[: at + 24] + b"\xf0\xff\0\0" + small[at + 28 :])
two = npz([("aa.npy", npy(ARRAYS["i8"])), ("ab.npy", npy(ARRAYS["i8"]))], zipfile.ZIP_STORED)
put("npz", "twice.npz", two.replace(b"ab.npy", b"aa.npy"))


def safetensors(header, elements=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + elements


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


ONE = {"a": entry("F32", [2], 0, 8)}
ALL = {
    "__metadata__": {"format": "pt", "n\u00f6te": "a\nb"},
    "wide": entry("F64", [], 0, 8),
    "whole": entry("I64", [2], 8, 24),
    "weight": entry("F32", [2, 1], 24, 32),
    "small": entry("I32", [1], 32, 36),
    "mask": entry("BOOL", [3], 36, 39),
    "none": entry("F32", [0, 4], 39, 39),
}
ELEMENTS = struct.pack("<d2q2fi3?", 0.1, -1, 2**40, 1.5, -2, 7, True, False, True)
for name, content in {
    "all": safetensors(ALL, ELEMENTS),
    "one": safetensors(ONE, bytes(8)),
    "padded": safetensors(json.dumps(ONE).encode() + b"   ", bytes(8)),
    "none": safetensors({}),
    "metadata": safetensors({"__metadata__": {"step": "12"}}),
    "cut": safetensors(ONE, bytes(7)),
    "long": safetensors(ONE, bytes(9)),
    "cut_header": safetensors(ONE)[:-3],
    "length": struct.pack("<Q", 2**63) + b"{}",
    "absurd": safetensors({"a": entry("F32", [2**58], 0, 2**60)}, bytes(8)),
    "overflow": safetensors({"a": entry("F32", [2**32, 2**32], 0, 0)}),
    "negative": safetensors({"a": entry("F32", [-1], 0, 4)}, bytes(4)),
    "gap": safetensors({"a": entry("F32", [1], 4, 8)}, bytes(8)),
    "backwards": safetensors({"a": entry("F32", [1], 4, 0)}, bytes(4)),
    "overlap": safetensors({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 0, 4)}, bytes(4)),
    "half": safetensors({"a": entry("F16", [2], 0, 4)}, bytes(4)),
    "bool": safetensors({"a": entry("BOOL", [2], 0, 2)}, b"\1\2"),
    "twice": safetensors(b'{"a":%s,"a":%s}' % ((json.dumps(ONE["a"]).encode(),) * 2), bytes(8)),
    "number": safetensors({"__metadata__": {"a": 1}}),
    "utf8": safetensors(b'{"\xff":1}'),
    "deep": safetensors(b'{"a":' + b"[" * 2000),
    "list": safetensors([]),
    "nothing": b"",
}.items():
    put("safetensors", name + ".safetensors", content)
