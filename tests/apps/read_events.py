"""read_events.py RUN: reads RUN's TensorBoard event file with nothing but struct, and compares it with
metrics.jsonl."""

import io
import json
import os
import struct
import sys

from PIL import Image

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        length_crc, = struct.unpack_from("<I", data, at + 8)
        assert length_crc == masked_crc32c(data[at:at + 8]), f"CRC of the length at byte {at}"
        body = data[at + 12:at + 12 + length]
        body_crc, = struct.unpack_from("<I", data, at + 12 + length)
        assert body_crc == masked_crc32c(body), f"CRC of the record at byte {at}"
        yield body
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """Protobuf: number -> values; bytes of what has a length."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            length, at = {1: (8, at), 5: (4, at), 2: varint(data, at) if key & 7 == 2 else None}[key & 7]
            value, at = data[at:at + length], at + length
        found.setdefault(key >> 3, []).append(value)
    return found


run = sys.argv[1]
events = [fields(body) for body in records(open(os.path.join(run, "events.out.tfevents.fewatoms"), "rb").read())]
assert events[0][3] == [b"brain.Event:2"], "the first record says the version"
scalars, histograms, pictures = {}, {}, {}
for event in events[1:]:
    step = event.get(2, [0])[0]
    assert struct.unpack("<d", event[1][0])[0] > 1e9, "the time"
    for value in fields(event[5][0])[1]:
        value = fields(value)
        tag = value[1][0].decode()
        kind, content = ((scalars, value.get(2)) if 2 in value else
                         (pictures, value.get(4)) if 4 in value else (histograms, value.get(5)))
        assert (step, tag) not in kind, f"{tag} comes twice at step {step}"
        kind[step, tag] = content[0]

names = {"train": ["loss", "accuracy", "lr_factor", "gradient_norm", "seconds"],
         "validation": ["val_accuracy", "val_ci95", "val_loss"]}
seen = {"train": 0, "validation": 0}
expected = set()
for line in map(json.loads, open(os.path.join(run, "metrics.jsonl"))):
    kind = "validation" if "val_loss" in line else "train"
    seen[kind] += 1
    assert set(line) == set(names[kind]) | {"iteration"}, "every key is documented"
    for name in names[kind]:
        key = line["iteration"], f"{kind}/{name.removeprefix('val_')}"
        expected.add(key)
        assert scalars[key] == struct.pack("<f", line[name]), f"{key} is not metrics.jsonl's"
assert expected == set(scalars), expected ^ set(scalars)

for key, content in histograms.items():
    h = {number: struct.unpack("<d", values[0])[0] for number, values in fields(content).items() if number <= 5}
    limits, counts = (struct.unpack(f"<{len(v) // 8}d", v) for v in (fields(content)[6][0], fields(content)[7][0]))
    assert h[3] == sum(counts) == 54 and list(limits) == sorted(limits), (key, h)
    assert limits[-1] == h[2] and h[1] < limits[0], (key, h)
    assert h[1] * h[3] <= h[4] <= h[2] * h[3] and h[5] > 0
for (step, tag), content in pictures.items():
    content = fields(content)
    picture = Image.open(io.BytesIO(content[4][0]))
    picture.load()
    assert picture.format == "PNG" and picture.size == (content[2][0], content[1][0]), tag
    assert len(picture.getcolors(10**6)) > 2, tag
assert set(histograms) == set(pictures) - {(0, "episode/first")}
layers, steps = {tag for _, tag in histograms}, sorted({step for step, _ in histograms})
print(f"{seen['train']} iterations, {seen['validation']} validations, "
      f"atoms of {len(layers)} layers at {steps}, {len(pictures)} pictures")
