"""Writes imports.json: what networks of PyTorch modules, named as their authors name them, give in evaluation, float64.

    /usr/bin/python3 tests/golden/make_imports.py

Parameters and images are formulas of their names and indices; the file holds names, shapes and features. The modules
are small (few channels) and written here; only their names and structure are those of the sources.
"""

import json
import pathlib

import torch
from torch import nn

torch.set_default_dtype(torch.float64)


def values(name, shape, scale=0.4, offset=0.0):
    phase = sum(map(ord, name)) % 97
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (offset + scale * torch.sin(0.37 * index + phase)).reshape(shape)


class CloserLookBlock(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.C = nn.Conv2d(inputs, width, 3, padding=1)
        self.BN = nn.BatchNorm2d(width)
        self.trunk = nn.Sequential(self.C, self.BN, nn.ReLU(), nn.MaxPool2d(2))

    def forward(self, x):
        return self.trunk(x)


class CloserLookConv4(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.trunk = nn.Sequential(*[CloserLookBlock(3 if i == 0 else width, width) for i in range(4)], nn.Flatten())

    def forward(self, x):
        return self.trunk(x)


class CloserLookResBlock(nn.Module):
    def __init__(self, inputs, width, half):
        super().__init__()
        stride = 2 if half else 1
        self.C1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.BN1 = nn.BatchNorm2d(width)
        self.C2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.BN2 = nn.BatchNorm2d(width)
        self.identity = inputs == width
        if not self.identity:
            self.shortcut = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.BNshortcut = nn.BatchNorm2d(width)

    def forward(self, x):
        y = self.BN2(self.C2(torch.relu(self.BN1(self.C1(x)))))
        return torch.relu(y + (x if self.identity else self.BNshortcut(self.shortcut(x))))


class CloserLookResNet(nn.Module):
    def __init__(self, width, counts):
        super().__init__()
        blocks, inputs = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                          nn.MaxPool2d(3, 2, 1)], width
        for stage, count in enumerate(counts):
            for i in range(count):
                blocks.append(CloserLookResBlock(inputs, width * 2**stage, stage > 0 and i == 0))
                inputs = width * 2**stage
        self.trunk = nn.Sequential(*blocks)

    def forward(self, x):
        return self.trunk(x).mean((2, 3))


class BasicBlock(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchvisionNames(nn.Module):
    """conv1, bn1, layer1 .. layer4, fc: torchvision's resnet18, or with a small stem easyfsl's resnet12."""

    def __init__(self, widths, counts, small):
        super().__init__()
        kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
        self.conv1 = nn.Conv2d(3, widths[0], kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.pool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        inputs = widths[0]
        for stage, (width, count) in enumerate(zip(widths, counts)):
            blocks = []
            for i in range(count):
                blocks.append(BasicBlock(inputs, width, 2 if stage > 0 and i == 0 else 1))
                inputs = width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 7)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class FeatBlock(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        for k in (1, 2, 3):
            setattr(self, f"conv{k}", nn.Conv2d(inputs if k == 1 else width, width, 3, 1, 1, bias=False))
            setattr(self, f"bn{k}", nn.BatchNorm2d(width))
        self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = nn.functional.leaky_relu(self.bn1(self.conv1(x)), 0.1)
        y = nn.functional.leaky_relu(self.bn2(self.conv2(y)), 0.1)
        y = nn.functional.leaky_relu(self.bn3(self.conv3(y)) + self.downsample(x), 0.1)
        return nn.functional.max_pool2d(y, 2)


class FeatResNet12(nn.Module):
    def __init__(self, widths):
        super().__init__()
        for i, width in enumerate(widths):
            setattr(self, f"layer{i + 1}", nn.Sequential(FeatBlock(widths[i - 1] if i else 3, width)))

    def forward(self, x):
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class Wrapped(nn.Module):
    """A prefix, as trained methods put before their network's names."""

    def __init__(self, name, network):
        super().__init__()
        setattr(self, name, network)
        self.network = [network]

    def forward(self, x):
        return self.network[0](x)


def record(network, size):
    network.eval()
    tensors, seen = {}, {}
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            if tensor.data_ptr() in seen:
                tensors[name] = {"copy_of": seen[tensor.data_ptr()]}
                continue
            seen[tensor.data_ptr()] = name
            scale, offset = 0.4, 0.0
            if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
                scale, offset = 0.3, 1.0
            tensor.copy_(values(name, tensor.shape, scale, offset))
            tensors[name] = {"shape": list(tensor.shape), "scale": scale, "offset": offset}
        features = network(values("images", (2, 3, size, size), 1.0))
    return {"size": size, "tensors": tensors, "features": features.flatten().tolist()}


def main():
    result = {
        "torch-conv4": record(Wrapped("feature", CloserLookConv4(4)), 32),
        "torch-resnet10": record(CloserLookResNet(2, (1, 1, 1, 1)), 64),
        "torch-resnet18": record(Wrapped("feature", CloserLookResNet(2, (2, 2, 2, 2))), 64),
        "torchvision-resnet18": record(TorchvisionNames((2, 4, 8, 16), (2, 2, 2, 2), False), 64),
        "easyfsl-resnet12": record(TorchvisionNames((2, 5, 10, 20), (1, 1, 2, 1), True), 32),
        "feat-resnet12": record(FeatResNet12((2, 5, 10, 20)), 32),
    }
    path = pathlib.Path(__file__).with_name("imports.json")
    path.write_text(json.dumps(result) + "\n")


main()
