"""Writes resnets.json: outputs and gradients of small residual networks in plain PyTorch, float64.

    /usr/bin/python3 tests/golden/make_resnets.py

Parameters and images are formulas of their names and indices, so that only results are stored. The networks are
written with torch.nn.functional and share no code with the C++ ones.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def values(name, shape, scale=0.4, offset=0.0):
    phase = sum(map(ord, name)) % 97
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (offset + scale * torch.sin(0.37 * index + phase)).reshape(shape)


class Parameters(dict):
    def conv(self, name, out, inputs, k):
        return self.setdefault(name + ".kernel", values(name + ".kernel", (out, inputs, k, k)).requires_grad_())

    def norm(self, name, channels):
        return (self.setdefault(name + ".scale", values(name + ".scale", (channels,), 0.3, 1).requires_grad_()),
                self.setdefault(name + ".shift", values(name + ".shift", (channels,), 0.2).requires_grad_()))


def conv_norm(p, name, x, out, k, stride, padding):
    norm = name.replace("conv", "norm")
    x = F.conv2d(x, p.conv(name, out, x.shape[1], k), stride=stride, padding=padding)
    scale, shift = p.norm(norm, out)
    return F.batch_norm(x, None, None, scale, shift, training=True, eps=1e-5)


def resnet18(p, x, width):
    x = F.max_pool2d(F.relu(conv_norm(p, "stem.conv", x, width, 7, 2, 3)), 3, 2, 1)
    for stage in range(4):
        for block in range(2):
            name, out = f"stage{stage + 1}.block{block + 1}", width * 2**stage
            stride = 2 if stage > 0 and block == 0 else 1
            y = F.relu(conv_norm(p, name + ".conv1", x, out, 3, stride, 1))
            y = conv_norm(p, name + ".conv2", y, out, 3, 1, 1)
            if stride != 1 or x.shape[1] != out:
                x = conv_norm(p, name + ".shortcut.conv", x, out, 1, stride, 0)
            x = F.relu(x + y)
    return x.mean((2, 3))


def resnet12(p, x, width):
    for block, factor in enumerate((1, 2.5, 5, 10)):
        name, out = f"block{block + 1}", int(width * factor)
        y = F.leaky_relu(conv_norm(p, name + ".conv1", x, out, 3, 1, 1), 0.1)
        y = F.leaky_relu(conv_norm(p, name + ".conv2", y, out, 3, 1, 1), 0.1)
        y = conv_norm(p, name + ".conv3", y, out, 3, 1, 1)
        x = conv_norm(p, name + ".shortcut.conv", x, out, 1, 1, 0)
        x = F.max_pool2d(F.leaky_relu(x + y, 0.1), 2)
    return x.mean((2, 3))


def golden(network, width, size, images):
    p = Parameters()
    y = network(p, values("images", (images, 3, size, size), 1), width)
    loss = (y * values("weights", y.shape, 1)).sum()
    gradients = torch.autograd.grad(loss, list(p.values()))
    return {"width": width, "size": size, "images": images, "output": y.flatten().tolist(), "loss": loss.item(),
            "gradients": {name: [g.sum().item(), g.pow(2).sum().item(), g.flatten()[0].item()]
                          for name, g in zip(p, gradients)}}


result = {"resnet12": golden(resnet12, 4, 37, 3), "resnet18": golden(resnet18, 4, 61, 4)}
path = pathlib.Path(__file__).with_name("resnets.json")
path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
