"""python_page.py PAGE: runs the page's Python blocks in the current folder as they stand, then compares what they
computed with the program."""

import json
import re
import sys

import torch

blocks = re.findall(r"^```python\n(.*?)^```", open(sys.argv[1]).read(), re.S | re.M)
page = {}
for i, block in enumerate(blocks):
    exec(compile(block, f"block {i + 1}", "exec"), page)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


plain = page["load_file"]("plain.safetensors")  # composed by the program
for layer, kernel in page["kernels"].items():
    assert close(kernel, plain[layer + ".weight"]), layer
network = torch.jit.load("net.pt")
images = torch.rand(3, network.channels, network.image_size, network.image_size)
with torch.no_grad():
    assert close(page["conv4"](page["parameters"], page["kernels"], images), network.embed(images)), "features"
    kernels = {name: tensor if name == "block1.conv" else page["kernel"](page["adapted"], name, page["width"])
               for name, tensor in page["kernels"].items()}
    x = page["conv4"](page["adapted"], kernels, page["pixels"])
    scores = x @ page["adapted"]["head.weight"].T + page["adapted"]["head.bias"]
    assert close(scores, page["network"](page["pixels"])), "scores of the adapted network"
predicted = json.load(open("predict.json"))[0]["probabilities"]
assert list(predicted) == page["network"].classes
assert close(page["probabilities"], torch.tensor(list(predicted.values()))), f"probabilities: predict has {predicted}"
assert page["atoms_moved"] > 0
assert open("curve.png", "rb").read(8) == b"\x89PNG\r\n\x1a\n"
print(f"{len(blocks)} blocks ran; kernels, features and probabilities agree")
