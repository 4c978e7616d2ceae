#!/usr/bin/env python3
"""loader.py MINI_IMAGENET [PROGRAM]: images per second by form, beside cv::imread in a loop and Python's usual loaders.

The same 2,560 training images (40 of each of 64 classes of MINI_IMAGENET, a folder with images/ and train.csv) as
files, archives, pickle, HDF5 and pack; `fewatoms bench loader` reads each with 1 and 2 threads. Python reads the files
by PIL in a loop, and by a torch DataLoader with 2 workers, to float tensors. Needs python3-h5py, python3-numpy,
python3-pil and, for the last row, python3-torch.
"""
import csv, io, json, os, pickle, subprocess, sys, tarfile, tempfile, time, zipfile

import h5py
import numpy as np
from PIL import Image

SIZE, PER_CLASS = 84, 40
source = sys.argv[1]
program = sys.argv[2] if len(sys.argv) > 2 else "build/release/apps/fewatoms"
work = tempfile.TemporaryDirectory()
root = os.path.join(work.name, "files")
os.makedirs(os.path.join(root, "images"))

by_class = {}
for row in csv.DictReader(open(os.path.join(source, "train.csv"))):
    by_class.setdefault(row["label"], []).append(row["filename"])
by_class = {label: sorted(names)[:PER_CLASS] for label, names in sorted(by_class.items())}
files = []
with open(os.path.join(root, "train.csv"), "w") as table:
    table.write("filename,label\n")
    for label, names in by_class.items():
        for name in names:
            table.write(f"{name},{label}\n")
            files.append(os.path.join(root, "images", name))
            with open(os.path.join(source, "images", name), "rb") as picture, open(files[-1], "wb") as copy:
                copy.write(picture.read())


def to_array(file):
    picture = Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
    return np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255


# --- the other forms

pixels = np.stack([np.asarray(Image.open(f).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)) for f in files])


def archive(name, add):
    for folder, _, found in os.walk(root):
        for file in sorted(found):
            full = os.path.join(folder, file)
            add(full, os.path.relpath(full, root))
    return os.path.join(work.name, name)


roots = [("files", root)]
with tarfile.open(os.path.join(work.name, "mini.tar"), "w") as out:
    roots.append(("tar", archive("mini.tar", out.add)))
with tarfile.open(os.path.join(work.name, "mini.tar.gz"), "w:gz") as out:
    roots.append(("tar.gz", archive("mini.tar.gz", out.add)))
with zipfile.ZipFile(os.path.join(work.name, "mini.zip"), "w", zipfile.ZIP_DEFLATED) as out:
    roots.append(("zip", archive("mini.zip", out.write)))
for name in ("pickle", "hdf5"):
    os.makedirs(os.path.join(work.name, name))
    roots.append((name, os.path.join(work.name, name)))
with open(os.path.join(work.name, "pickle", "mini-imagenet-cache-train.pkl"), "wb") as out:
    rows = {label: list(range(i * PER_CLASS, (i + 1) * PER_CLASS)) for i, label in enumerate(by_class)}
    pickle.dump({"image_data": pixels, "class_dict": rows}, out, protocol=4)
with h5py.File(os.path.join(work.name, "hdf5", "train_data.hdf5"), "w") as out:
    group = out.create_group("datasets")
    for i, label in enumerate(by_class):
        group.create_dataset(label, data=pixels[i * PER_CLASS:(i + 1) * PER_CLASS])
with open(os.path.join(work.name, "hdf5", "train_labels.json"), "w") as out:
    json.dump(sorted(by_class), out)
subprocess.run([program, "dataset", "pack", "mini-imagenet", "--data-root", root,
                "--out", os.path.join(work.name, "mini.pack")],
               check=True, capture_output=True)
roots.append(("pack", os.path.join(work.name, "mini.pack")))

# --- who reads them how fast

print(f"{len(files)} images as {SIZE}x{SIZE} float tensors, images/s  (first: when just opened; again: in its cache)\n")
print(f"{'form':10} {'first, 1 thread':>16} {'2 threads':>10} {'again, 1 thread':>16} {'cv::imread loop':>16}")
for name, place in roots:
    numbers = []
    for threads in (1, 2):
        result = os.path.join(work.name, "result.json")
        subprocess.run([program, "bench", "loader", "--dataset", "mini-imagenet", "--data-root", place,
                        "--threads", str(threads), "--repeat", "3", "--width", "4", "--queries", "1",
                        "--inner-steps", "1", "--order", "first", "--json", result], check=True, capture_output=True)
        numbers.append(json.load(open(result)))
    one, two = numbers
    print(f"{name:10} {one['images_per_s_first']:16.0f} {two['images_per_s_first']:10.0f} "
          f"{one['images_per_s_again']:16.0f} "
          f"{one['images_per_s_imread'] if 'images_per_s_imread' in one else float('nan'):16.0f}".replace("nan", "   "))

start = time.perf_counter()
for file in files:
    to_array(file)
print(f"{'PIL loop':10} {len(files) / (time.perf_counter() - start):16.0f}")
try:
    import torch.utils.data
except ImportError:
    print("python3-torch is not there: no row for its DataLoader")
else:
    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, index):
            return torch.from_numpy(to_array(files[index]))

    start = time.perf_counter()
    for _ in torch.utils.data.DataLoader(Files(), batch_size=80, num_workers=2):
        pass
    print(f"{'DataLoader':10} {'':16} {len(files) / (time.perf_counter() - start):10.0f}")
