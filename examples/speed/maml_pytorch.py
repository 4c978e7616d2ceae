"""Second-order MAML on Conv-4 in plain PyTorch on random images: seconds per meta-iteration, to compare with fewatoms.

The work is that of `fewatoms train --method maml --image-size 84 --width 32`: 5-way 1-shot, 15 queries, meta-batch 4, 5 steps.
Run it through compare.sh.
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--iterations", type=int, default=8)
parser.add_argument("--width", type=int, default=32)
parser.add_argument("--size", type=int, default=84)
parser.add_argument("--shots", type=int, default=1)
o = parser.parse_args()
torch.set_num_threads(o.threads)
torch.manual_seed(0)
WAYS, QUERIES, STEPS, META_BATCH = 5, 15, 5, 4

params, channels, size = [], 3, o.size
for _ in range(4):
    params += [torch.randn(o.width, channels, 3, 3) * (2 / (9 * channels)) ** 0.5, torch.ones(o.width), torch.zeros(o.width)]
    channels, size = o.width, size // 2
params += [torch.randn(WAYS, o.width * size * size) * 0.01, torch.zeros(WAYS)]
params = [p.requires_grad_(True) for p in params]


def forward(p, x):
    for block in range(4):
        kernel, scale, shift = p[3 * block : 3 * block + 3]
        x = F.batch_norm(F.conv2d(x, kernel, padding=1), None, None, scale, shift, training=True)
        x = F.max_pool2d(F.relu(x), 2)
    return F.linear(x.flatten(1), p[-2], p[-1])


optimizer = torch.optim.Adam(params, 1e-3)
seconds = []
for _ in range(o.iterations):
    start = time.time()
    optimizer.zero_grad()
    for _ in range(META_BATCH):
        support, query = torch.rand(WAYS * o.shots, 3, o.size, o.size), torch.rand(WAYS * QUERIES, 3, o.size, o.size)
        labels = torch.arange(WAYS)
        p = params
        for _ in range(STEPS):
            loss = F.cross_entropy(forward(p, support), labels.repeat_interleave(o.shots))
            p = [t - 0.05 * g for t, g in zip(p, torch.autograd.grad(loss, p, create_graph=True))]
        (F.cross_entropy(forward(p, query), labels.repeat_interleave(QUERIES)) / META_BATCH).backward()
    optimizer.step()
    seconds.append(time.time() - start)
print(f"PyTorch {torch.__version__}: median {statistics.median(seconds[2:]):.3f} s per meta-iteration, {o.threads} threads")
