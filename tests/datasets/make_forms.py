#!/usr/bin/env python3
"""make_forms.py OUT [MINI_IMAGENET]: the same images in every form that data sets come in, as the usual Python tools
write them (pickle, numpy, h5py, PIL), and OUT/forms.json, which lists them with their mean pixels.

Images are the first of some classes of MINI_IMAGENET (with images/ and train.csv), or made up without it.
"""
import csv, gzip, io, json, os, pickle, random, struct, sys, tarfile, zipfile
import h5py
import numpy as np
from PIL import Image

SPLITS = {"train": 4, "val": 3, "test": 3}  # classes
IMAGES = 8  # of each class
out, source = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
forms = []


def path(*parts):
    full = os.path.join(out, *parts)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


def write(name, content):
    with open(path(name), "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())


def add(group, root, dataset, form, size=84, **options):
    forms.append(dict(group=group, root=root, dataset=dataset, form=form, size=size, **options))


def encoded(pixels, kind):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return buffer.getvalue()


# --- the images: data[split] is a list of (class name, [JPEG bytes])

def load():
    total = sum(SPLITS.values())
    if source:
        rows = {}
        for row in csv.DictReader(open(os.path.join(source, "train.csv"))):
            rows.setdefault(row["label"], []).append(row["filename"])
        all_classes = [(label, [open(os.path.join(source, "images", n), "rb").read() for n in sorted(names)[:IMAGES]])
                       for label, names in sorted(rows.items())[:total]]
    else:
        rng = np.random.RandomState(0)
        all_classes = [("n%08d" % (c + 1),
                        [encoded(np.kron(rng.randint(0, 256, (12, 12, 3)), np.ones((7, 7, 1))).astype(np.uint8), "JPEG")
                                            for _ in range(IMAGES)]) for c in range(total)]
    random.Random(0).shuffle(all_classes)
    result, start = {}, 0
    for split, count in SPLITS.items():
        result[split] = sorted(all_classes[start:start + count])
        start += count
    return result


data = load()
pixels = {s: [(n, np.stack([np.asarray(Image.open(io.BytesIO(f)).convert("RGB")) for f in files]))
              for n, files in classes]
          for s, classes in data.items()}


def stacked(split):
    return np.concatenate([images for _, images in pixels[split]])


def names(split):
    return [n for n, _ in pixels[split]]


def file_name(label, i):
    return "%s%08d.jpg" % (label, i + 1)


# --- mini-ImageNet

def write_csv_form(root, nested):
    for split, classes in data.items():
        lines = ["filename,label"]
        for label, files in classes:
            for i, content in enumerate(files):
                name = file_name(label, i)
                write(f"{root}/images/{label}/{name}" if nested else f"{root}/images/{name}", content)
                lines.append(f"{name},{label}")
        write(f"{root}/{split}.csv", "\r\n".join(lines) + "\r\n\r\n" if nested else "\n".join(lines) + "\n")
    add("images", root, "mini-imagenet", "images+csv")


def write_folders(root, dataset, form="split-folders", kind=None, group="images", size=84, source_pixels=None):
    for split, classes in data.items():
        for c, (label, files) in enumerate(classes):
            for i, content in enumerate(files):
                array = (source_pixels or pixels)[split][c][1][i]
                if kind == "npy":
                    buffer = io.BytesIO()
                    np.save(buffer, array if i % 2 else np.asfortranarray(array))
                    write(f"{root}/{split}/{label}/{i:04d}.npy", buffer.getvalue())
                elif kind == "npz":
                    np.savez_compressed(path(f"{root}/{split}/{label}/{i:04d}.npz"), image=array)
                elif kind == "png16":  # 16 bits: the pixel in the upper byte; PIL writes no 16-bit RGB, so by hand
                    write(f"{root}/{split}/{label}/{i:04d}.png", png16(array))
                elif kind:
                    write(f"{root}/{split}/{label}/{i:04d}.{kind.lower()}", encoded(array, kind))
                else:
                    write(f"{root}/{split}/{label}/{file_name(label, i)}", content)
    add(group, root, dataset, form, size)


def png16(array):
    import zlib
    h, w, _ = array.shape
    wide = (array.astype(">u2") << 8 | 0x5A).astype(">u2")
    rows = b"".join(b"\0" + wide[y].tobytes() for y in range(h))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) +
            chunk(b"IEND", b""))


def ren_content(split, key=str):
    rows, start = {}, 0
    for label, images in pixels[split]:
        rows[key(label)] = list(range(start, start + len(images)))
        start += len(images)
    return {key("image_data"): stacked(split), key("class_dict"): rows}


def as_python2(split):
    """What Python 2.7 with numpy 1.x wrote at protocol 2, assembled by hand: its strings are BINSTRING and
    SHORT_BINSTRING."""
    def text(s):
        return b"U" + bytes([len(s)]) + s.encode()

    def integer(i):
        if i < 256:
            return b"K" + bytes([i])
        return b"M" + struct.pack("<H", i) if i < 65536 else b"J" + struct.pack("<i", i)
    content, memo = ren_content(split), [0]

    def put():
        memo[0] += 1
        return b"q" + bytes([memo[0] - 1]) if memo[0] <= 256 else b"r" + struct.pack("<I", memo[0] - 1)
    array = content["image_data"]
    raw = array.tobytes()
    result = b"\x80\x02}" + put() + b"(" + text("image_data") + put()
    result += b"cnumpy.core.multiarray\n_reconstruct\n" + put() + b"cnumpy\nndarray\n" + put()
    result += b"K\x00\x85" + put() + text("b") + put()
    result += b"\x87" + put() + b"R" + put()
    result += b"(K\x01(" + b"".join(integer(n) for n in array.shape) + b"t" + put()
    result += b"cnumpy\ndtype\n" + put() + text("u1") + put() + b"K\x00K\x01\x87" + put() + b"R" + put()
    result += b"(K\x03" + text("|") + put() + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t" + put() + b"b\x89"
    result += b"T" + struct.pack("<i", len(raw)) + raw + put() + b"t" + put() + b"b"
    result += text("class_dict") + put() + b"}" + put() + b"("
    for label, rows in content["class_dict"].items():
        result += text(label) + put() + b"]" + put() + b"(" + b"".join(integer(i) for i in rows) + b"e"
    return result + b"uu."


def write_ren(root, dump, val_name="val"):
    for split in SPLITS:
        write(f"{root}/mini-imagenet-cache-{val_name if split == 'val' else split}.pkl", dump(split))
    add("images", root, "mini-imagenet", "pickle-ren")


def write_gidaris(root, protocol):
    start = 0
    for split, name in (("train", "train_phase_train"), ("val", "val"), ("test", "test")):
        labels = [start + c for c, (_, images) in enumerate(pixels[split]) for _ in images]
        content = {"data": stacked(split), "labels": labels,
                   "catname2label": {n: start + c for c, n in enumerate(names(split))}}
        start += len(names(split))
        write(f"{root}/miniImageNet_category_split_{name}.pickle", pickle.dumps(content, protocol))
    for name in ("train_phase_val", "train_phase_test"):
        write(f"{root}/miniImageNet_category_split_{name}.pickle",
            pickle.dumps({"data": stacked("train")[:1], "labels": [0]}, protocol))
    add("images", root, "mini-imagenet", "pickle-gidaris")


def write_hdf5(root, dataset, kind, group="images", named=None, **options):
    for split in SPLITS:
        with h5py.File(path(f"{root}/{split}_data.hdf5"), "w") as f:
            parent = f.create_group("datasets")
            for (label, images), (_, files) in zip(pixels[split], data[split]):
                label = named[label] if named else label
                if kind == "encoded":
                    d = parent.create_dataset(label, (len(files),), dtype=h5py.special_dtype(vlen=np.uint8))
                    for i, content in enumerate(files):
                        d[i] = np.frombuffer(content, np.uint8)
                    if dataset == "tiered-imagenet":
                        d.attrs["label_general"] = "super_" + split
                elif kind == "compressed":
                    parent.create_dataset(label, data=images, chunks=(1, 84, 84, 3), compression="gzip")
                else:
                    parent.create_dataset(label, data=images)
        write(f"{root}/{split}_labels.json", json.dumps([named[n] if named else n for n in names(split)]))
    add(group, root, dataset, "torchmeta-hdf5", **options)


write_csv_form("mini/csv-flat", nested=False)
write_csv_form("mini/csv-nested", nested=True)
write_folders("mini/split-folders", "mini-imagenet")
for protocol in range(6):
    write_ren(f"mini/ren-protocol{protocol}", lambda split: pickle.dumps(ren_content(split), protocol),
        "validation" if protocol % 2 else "val")
write_ren("mini/ren-bytes-keys", lambda split: pickle.dumps(ren_content(split, str.encode), 2))
write_ren("mini/ren-python2", as_python2)
for protocol in (2, 4):
    write_gidaris(f"mini/gidaris-protocol{protocol}", protocol)
for kind in ("raw", "compressed", "encoded"):
    write_hdf5(f"mini/hdf5-{kind}", "mini-imagenet", kind)

# --- archives, each with a folder of its own at the top

def files_below(root):
    for folder, _, found in sorted(os.walk(os.path.join(out, root))):
        for name in sorted(found):
            full = os.path.join(folder, name)
            yield full, os.path.join("mini-imagenet", os.path.relpath(full, os.path.join(out, root)))


def write_archives(name, root, form):
    for extension, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz")):
        with tarfile.open(path(f"archives/{name}{extension}"), mode) as archive:
            archive.add(os.path.join(out, root), "mini-imagenet")
        add("images", f"archives/{name}{extension}", "mini-imagenet", form)
    for suffix, method in (("", zipfile.ZIP_DEFLATED), ("-stored", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(path(f"archives/{name}{suffix}.zip"), "w", method) as archive:
            for full, inside in files_below(root):
                archive.write(full, inside)
            archive.writestr("__MACOSX/mini-imagenet/._x", b"junk")
        add("images", f"archives/{name}{suffix}.zip", "mini-imagenet", form)


write_archives("csv", "mini/csv-flat", "images+csv")
write_archives("ren", "mini/ren-protocol4", "pickle-ren")
write_archives("hdf5", "mini/hdf5-compressed", "torchmeta-hdf5")

# --- tieredImageNet

def tiered_labels(split, protocol):
    classes = names(split)
    write_to = {"label_specific": np.repeat(np.arange(len(classes)), IMAGES),
                "label_general": np.zeros(IMAGES * len(classes), np.int64),
                "label_specific_str": classes, "label_general_str": ["super_" + split]}
    return pickle.dumps(write_to, protocol)


for protocol in (2, 4):
    for split in SPLITS:
        write(f"tiered/png-protocol{protocol}/{split}_labels.pkl", tiered_labels(split, protocol))
        files = [np.frombuffer(encoded(p, "PNG"), np.uint8).reshape(-1, 1).copy() for p in stacked(split)]
        write(f"tiered/png-protocol{protocol}/{split}_images_png.pkl", pickle.dumps(files, protocol))
    add("images", f"tiered/png-protocol{protocol}", "tiered-imagenet", "pickle-png", groups=True)
for name, save in (("npz", np.savez), ("npz-compressed", np.savez_compressed)):
    for split in SPLITS:
        write(f"tiered/{name}/{split}_labels.pkl", tiered_labels(split, 3))
        save(path(f"tiered/{name}/{split}_images.npz"), images=stacked(split)[..., ::-1])
    add("images", f"tiered/{name}", "tiered-imagenet", "npz", groups=True)
write_hdf5("tiered/hdf5", "tiered-imagenet", "encoded", groups=True)
write_folders("tiered/folders", "tiered-imagenet")

# --- plain folders, filelists, class lists, arrays as images, other image formats

write_folders("folders/split", "folders")
write_folders("folders/npy", "folders", kind="npy")
write_folders("folders/npz", "folders", kind="npz")
for kind in ("PNG", "BMP", "TIFF", "PPM"):
    write_folders("folders/" + kind.lower(), "folders", kind=kind)
write_folders("folders/png16", "folders", kind="png16")


def write_class_folders(root, named=None):
    for split, classes in data.items():
        for label, files in classes:
            for i, content in enumerate(files):
                write(f"{root}/{named[label] if named else label}/{file_name(label, i)}", content)


def write_filelists(root, prefix, offset, dataset="folders", group="images", named=None):
    write_class_folders(f"{root}/images", named)
    everything = [n for s in SPLITS for n in names(s)]
    for split, name in (("train", "base"), ("val", "val"), ("test", "novel")):
        classes = names(split) if offset else everything
        start = 100 if offset else 0
        labels = [start + classes.index(n) for n in names(split) for _ in range(IMAGES)]
        images = [f"{prefix}images/{named[n] if named else n}/{file_name(n, i)}"
                  for n in names(split) for i in range(IMAGES)]
        label_names = [named[n] if named else n for n in classes]
        write(f"{root}/{name}.json",
              json.dumps({"label_names": label_names, "image_names": images, "image_labels": labels}))
    add(group, root, dataset, "filelist-json")


write_filelists("folders/filelist", "", offset=False)
write_filelists("mini/filelist", "", offset=False, dataset="mini-imagenet")
write_filelists("folders/filelist-elsewhere", "/home/somebody/filelists/birds/", offset=True)
for name, content in (("plain", lambda s: json.dumps(names(s))),
                      ("roots", lambda s: json.dumps({"class_names": names(s),
                                                       "class_roots": [f"./data/x/images/{n}" for n in names(s)]}))):
    write_class_folders(f"folders/classes-{name}/images")
    for split in SPLITS:
        write(f"folders/classes-{name}/{split}.json", content(split))
    add("images", f"folders/classes-{name}", "folders", "class-lists")

# --- CUB, with names by whose numbers the default rule splits them

numbers = {"train": [1, 3, 5, 7], "val": [2, 6, 10], "test": [4, 8, 12]}
bird = {n: "%03d.Bird_%s" % (numbers[s][i], n) for s in SPLITS for i, n in enumerate(names(s))}
write_class_folders("cub/class-folders", bird)
add("birds", "cub/class-folders", "cub", "class-folders")
write_class_folders("cub/class-folders-images/CUB_200_2011/images", bird)
add("birds", "cub/class-folders-images", "cub", "class-folders")
write_class_folders("cub/official/CUB_200_2011/images", bird)
lines = {"images": [], "image_class_labels": [], "classes": [], "bounding_boxes": []}
for split, classes in data.items():
    for label, files in classes:
        number = int(bird[label][:3])
        lines["classes"].append(f"{number} {bird[label]}")
        for i in range(len(files)):
            identity = len(lines["images"]) + 1
            lines["images"].append(f"{identity} {bird[label]}/{file_name(label, i)}")
            lines["image_class_labels"].append(f"{identity} {number}")
            lines["bounding_boxes"].append(f"{identity} 0.0 0.0 84.0 84.0")
for name, rows in lines.items():
    write(f"cub/official/CUB_200_2011/{name}.txt", "\n".join(rows) + "\n")
write("cub/official/attributes.txt", "beside the folder in the official archive\n")
add("birds", "cub/official", "cub", "official")
with tarfile.open(path("archives/CUB_200_2011.tgz"), "w:gz") as archive:
    archive.add(os.path.join(out, "cub/official/CUB_200_2011"), "CUB_200_2011")
    archive.add(os.path.join(out, "cub/official/attributes.txt"), "attributes.txt")
add("birds", "archives/CUB_200_2011.tgz", "cub", "official")
add("birds", "cub/official", "cub", "official", crop="bbox")
write_hdf5("cub/hdf5", "cub", "encoded", "birds", bird)
write_filelists("cub/filelist", "filelists/CUB/", offset=False, dataset="cub", group="birds", named=bird)

# --- CIFAR-FS and FC100: 32 x 32

small = {s: [(n, np.stack([np.asarray(Image.fromarray(i).resize((32, 32))) for i in images])) for n, images in classes]
         for s, classes in pixels.items()}
for dataset in ("cifar-fs", "fc100"):
    write_folders(f"{dataset}/folders", dataset, kind="PNG", group="small", size=32, source_pixels=small)
    with h5py.File(path(f"{dataset}/hdf5/data.hdf5"), "w") as f:
        for split, classes in small.items():
            for label, images in classes:
                f.require_group("super_" + split).create_dataset(label, data=images)
    for split in SPLITS:
        write(f"{dataset}/hdf5/{dataset}/{split}_labels.json",
              json.dumps([["super_" + split, n] for n in names(split)]))
    add("small", f"{dataset}/hdf5", dataset, "torchmeta-hdf5", 32, groups=True)
for dataset, stem in (("cifar-fs", "CIFAR_FS"), ("fc100", "FC100")):  # as Lee et al. published both, and with names
    for named in (True, False):
        start = 0
        for split, classes in small.items():
            content = {"data": np.concatenate([images for _, images in classes]),
                       "labels": [start + c for c, (_, images) in enumerate(classes) for _ in images]}
            if named:
                content["catname2label"] = {label: start + c for c, (label, _) in enumerate(classes)}
            start += len(classes)
            write(f"{dataset}/pickles{named}/{stem}_{split}.pickle", pickle.dumps(content, protocol=2))
    add("small", f"{dataset}/picklesTrue", dataset, "pickle-lee", 32)
    add("numbered", f"{dataset}/picklesFalse", dataset, "pickle-lee", 32)
for split in SPLITS:  # as CIFAR-FS is published
    for label, images in small[split]:
        for i, image in enumerate(images):
            write(f"cifar-fs/lists/data/{label}/{i:04d}.png", encoded(image, "PNG"))
    write(f"cifar-fs/lists/splits/bertinetto/{split}.txt", "\n".join(names(split)) + "\n")
add("small", "cifar-fs/lists", "cifar-fs", "class-lists", 32)

# --- Omniglot: folders and the two zip files

rng = np.random.RandomState(1)
for part, alphabets in (("background", ("Armenian", "Greek", "Latin")), ("evaluation", ("Angelic", "Keble"))):
    for alphabet in alphabets:
        for c in range(2):
            for i in range(6):
                strokes = np.kron(rng.randint(0, 2, (21, 21)), np.ones((5, 5))) > 0
                buffer = io.BytesIO()
                Image.fromarray(strokes).save(buffer, "PNG")  # one bit per pixel, as the original
                write(f"omniglot/folders/images_{part}/{alphabet}/character{c + 1:02d}/{c:04d}_{i + 1:02d}.png",
                    buffer.getvalue())
for part in ("background", "evaluation"):
    with zipfile.ZipFile(path(f"omniglot/zips/images_{part}.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        root = os.path.join(out, "omniglot/folders")
        for folder, _, found in sorted(os.walk(os.path.join(root, f"images_{part}"))):
            for name in sorted(found):
                archive.write(os.path.join(folder, name), os.path.relpath(os.path.join(folder, name), root))
with tarfile.open(path("archives/omniglot.tar"), "w") as archive:
    archive.add(os.path.join(out, "omniglot/folders"), "omniglot")
for rule in ("alphabets", "vinyals"):
    add("omniglot-" + rule, "omniglot/folders", "omniglot", "alphabet-folders", 28, split_rule=rule)
    add("omniglot-" + rule, "omniglot/zips", "omniglot", "zip-files", 28, split_rule=rule)
    add("omniglot-" + rule, "archives/omniglot.tar", "omniglot", "alphabet-folders", 28, split_rule=rule)

# --- Fashion-MNIST

for name, count in (("train", 70), ("t10k", 60)):
    images = rng.randint(0, 256, (count, 28, 28)).astype(np.uint8)
    contents = {f"{name}-images-idx3-ubyte": struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes(),
                f"{name}-labels-idx1-ubyte":
                struct.pack(">II", 0x801, count) + (np.arange(count) % 10).astype(np.uint8).tobytes()}
    for file, content in contents.items():
        write(f"fashion/gz/{file}.gz", gzip.compress(content))
        write(f"fashion/plain/{file}", content)
for name in ("gz", "plain"):
    add("fashion", f"fashion/{name}", "fashion-mnist", "idx", 28)

means = {"images": pixels, "birds": pixels, "small": small}
with open(path("forms.json"), "w") as f:
    json.dump({"forms": forms,
               "means": {g: {s: float(np.mean(np.concatenate([i for _, i in p[s]]))) for s in SPLITS}
                         for g, p in means.items()}}, f)
