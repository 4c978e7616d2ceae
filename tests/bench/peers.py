"""Seconds per meta-iteration of few-shot training on the CPU, in plain PyTorch and in learn2learn.

Conv-4 with batch-statistics norm, 5 ways, 15 queries, 5 inner steps, meta-batch 4, on random images: the jobs of
`fewatoms bench iteration`. learn2learn is used when the path of its checkout is given; only its algorithms are
imported, so that its other requirements need not be installed. Run it with tcmalloc preloaded (tests/bench/run.sh
does): with glibc's allocator both are several times slower.
"""

import argparse
import json
import resource
import statistics
import sys
import time
import types

import torch
import torch.nn.functional as F

WAYS, QUERIES, STEPS, META_BATCH, INNER_RATE = 5, 15, 5, 4, 0.05


class Block(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(outputs, track_running_stats=False)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


def body(width):
    blocks = [Block(3 if i == 0 else width, width) for i in range(4)]
    return torch.nn.Sequential(*blocks, torch.nn.Flatten())


def head(width, size):
    return torch.nn.Linear(width * (size // 16) ** 2, WAYS)


def episode(shots, size):
    images = [torch.rand(n, 3, size, size) for n in (WAYS * shots, WAYS * QUERIES)]
    labels = torch.arange(WAYS)
    return images[0], labels.repeat_interleave(shots), images[1], labels.repeat_interleave(QUERIES)


def plain_task(model, names, parameters, task, order):
    """MAML with a functional forward pass: the outer loss of one task."""
    support, support_labels, query, query_labels = task

    def forward(p, x):
        for i in range(4):
            x = F.conv2d(x, p[f"0.{i}.conv.weight"], padding=1)
            x = F.batch_norm(x, None, None, p[f"0.{i}.norm.weight"], p[f"0.{i}.norm.bias"], training=True)
            x = F.max_pool2d(F.relu(x), 2)
        return F.linear(x.flatten(1), p["1.weight"], p["1.bias"])

    p = dict(zip(names, parameters))
    for _ in range(STEPS):
        loss = F.cross_entropy(forward(p, support), support_labels)
        gradients = torch.autograd.grad(loss, list(p.values()), create_graph=order == "second")
        p = {name: value - INNER_RATE * g for (name, value), g in zip(p.items(), gradients)}
    return F.cross_entropy(forward(p, query), query_labels)


def plain_anil_task(features, last, task):
    support, support_labels, query, query_labels = task
    support, query = features(support), features(query)
    weight, bias = last.weight, last.bias
    for _ in range(STEPS):
        loss = F.cross_entropy(F.linear(support, weight, bias), support_labels)
        gw, gb = torch.autograd.grad(loss, [weight, bias], create_graph=True)
        weight, bias = weight - INNER_RATE * gw, bias - INNER_RATE * gb
    return F.cross_entropy(F.linear(query, weight, bias), query_labels)


def learn2learn_maml(path):
    """Its MAML class, without running the package's own __init__, which wants far more than PyTorch."""
    for name in ("learn2learn", "learn2learn.algorithms"):
        package = types.ModuleType(name)
        package.__path__ = [f"{path}/{name.replace('.', '/')}"]
        sys.modules[name] = package
    from learn2learn.algorithms.maml import MAML

    return MAML


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--method", choices=["maml", "fomaml", "anil"], default="maml")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=84)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--learn2learn", metavar="CHECKOUT",
                        help="use learn2learn from this folder instead of plain PyTorch")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    features, last = body(o.width), head(o.width, o.image_size)
    model = torch.nn.Sequential(features, last)
    order = "first" if o.method == "fomaml" else "second"

    if o.learn2learn:
        MAML = learn2learn_maml(o.learn2learn)
        if o.method == "anil":
            wrapped = MAML(last, lr=INNER_RATE)

            def task_loss(task):
                learner = wrapped.clone()
                support, query = features(task[0]), features(task[2])
                for _ in range(STEPS):
                    learner.adapt(F.cross_entropy(learner(support), task[1]))
                return F.cross_entropy(learner(query), task[3])
        else:
            wrapped = MAML(model, lr=INNER_RATE, first_order=order == "first")

            def task_loss(task):
                learner = wrapped.clone()
                for _ in range(STEPS):
                    learner.adapt(F.cross_entropy(learner(task[0]), task[1]))
                return F.cross_entropy(learner(task[2]), task[3])
    elif o.method == "anil":
        def task_loss(task):
            return plain_anil_task(features, last, task)
    else:
        names, parameters = zip(*model.named_parameters())

        def task_loss(task):
            return plain_task(model, names, parameters, task, order)

    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    tasks = [episode(o.shots, o.image_size) for _ in range(META_BATCH)]
    seconds = []
    for _ in range(o.repeat + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        for task in tasks:
            (task_loss(task) / META_BATCH).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    seconds = seconds[2:]  # the first two warm up
    print(json.dumps({
        "name": "learn2learn" if o.learn2learn else "pytorch", "version": torch.__version__, "method": o.method,
        "width": o.width, "shots": o.shots, "threads": o.threads, "median_s": statistics.median(seconds),
        "min_s": min(seconds), "max_s": max(seconds),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


main()
