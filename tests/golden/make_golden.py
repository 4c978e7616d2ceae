#!/usr/bin/env python3
"""Writes maml.json: ten outer-loop losses of small Conv-4 learners in plain PyTorch, float64.

tests/meta/golden_test.cpp runs the same through FewAtoms and compares. Weights and images come from an integer hash
that both programs compute alike. Needs PyTorch 1.13 or newer (Debian: python3-torch).

    python3 tests/golden/make_golden.py > tests/golden/maml.json
"""
import json

import torch
import torch.nn.functional as F

WIDTH, SIZE, ATOMS, ITERATIONS = 4, 28, 6, 10
WAYS, SHOTS, QUERIES, META_BATCH, STEPS = 3, 2, 3, 2, 3
OUTER_LR = 0.003
CLASSES = 8
CASES = [
    dict(name="maml", conv="standard", head="linear", scope="all", order="second",
        inner_lr={"kernel": 0.05, "norm": 0.05, "head": 0.05}),
    dict(name="fomaml", conv="standard", head="linear", scope="all", order="first",
        inner_lr={"kernel": 0.05, "norm": 0.05, "head": 0.05}),
    dict(name="anil", conv="standard", head="linear", scope="head", order="second", inner_lr={"head": 0.1}),
    dict(name="acdc-maml", conv="acdc", head="linear", scope="atom+head", order="second",
        inner_lr={"atom": 0.5, "head": 0.05}),
    dict(name="acdc-proto", conv="acdc", head="prototype", scope="atom", order="second", inner_lr={"atom": 0.05}),
    dict(name="meta-sgd", conv="standard", head="linear", scope="all", order="second",
        inner_lr={"kernel": 0.05, "norm": 0.05, "head": 0.05},
         learned_rates="tensor"),
    dict(name="maml++", conv="standard", head="linear", scope="kernel+head", order="second",
        inner_lr={"kernel": 0.05, "head": 0.05},
         learned_rates="tensor and step", norm="per-step"),
    dict(name="reptile", conv="standard", head="linear", scope="all", order="first",
        inner_lr={"kernel": 0.05, "norm": 0.05, "head": 0.05},
         displacement=True),
    dict(name="cosine", conv="standard", head="cosine", scope="all", order="second",
        inner_lr={"kernel": 0.05, "norm": 0.05, "head": 0.05},
         temperature=0.1),
    dict(name="protonet", conv="standard", head="prototype", scope="none", order="second", inner_lr={}, norm="running"),
    dict(name="r2d2", conv="standard", head="ridge", scope="none", order="second", inner_lr={}, norm="running",
        learned_head=True),
]

MASK = (1 << 64) - 1


def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def hashed(name, index):
    key = 0xCBF29CE484222325  # FNV-1a
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) & MASK
    return splitmix(key ^ splitmix(index))


def uniform(name, shape, low, high):
    """Numbers in [low, high), element i from the hash of (name, i)."""
    count = 1
    for n in shape:
        count *= n
    values = [low + (high - low) * ((hashed(name, i) >> 11) * 2.0**-53) for i in range(count)]
    return torch.tensor(values, dtype=torch.float64).view(shape)


def image(cls, number):
    """uint8 pixels: a pattern of the class and noise of the image."""
    pixels = [hashed("pattern", cls * 784 + i) % 200 + hashed("noise", (cls * 1000 + number) * 784 + i) % 56
              for i in range(784)]
    return torch.tensor(pixels, dtype=torch.float64).view(1, SIZE, SIZE) / 255


def task(index):
    support, query = [], []
    for label in range(WAYS):
        cls = (5 * index + 3 * label) % CLASSES
        support += [image(cls, 7 * index + k) for k in range(SHOTS)]
        query += [image(cls, 7 * index + SHOTS + k) for k in range(QUERIES)]
    labels = torch.arange(WAYS)
    return torch.stack(support), labels.repeat_interleave(SHOTS), torch.stack(query), labels.repeat_interleave(QUERIES)


def parameters(case):
    """name -> (tensor, role)"""
    made = {}

    def add(name, role, shape, low, high):
        made[name] = (uniform(name, shape, low, high).requires_grad_(True), role)

    if case["conv"] == "acdc":
        add("coefficients", "coefficient", (WIDTH, WIDTH, ATOMS), -0.5, 0.5)
    for block in range(1, 5):
        if case["conv"] == "acdc" and block > 1:
            add(f"block{block}.conv.atoms", "atom", (ATOMS, 3, 3), -0.6, 0.6)
        else:
            add(f"block{block}.conv.kernel", "kernel", (WIDTH, 1 if block == 1 else WIDTH, 3, 3), -0.4, 0.4)
    for block in range(1, 5):
        add(f"block{block}.norm.scale", "norm", (WIDTH,), -0.3, 1.2)  # a negative scale turns a largest into a smallest
        add(f"block{block}.norm.shift", "norm", (WIDTH,), -0.1, 0.4)
    if case["head"] == "linear":
        add("head.weight", "head", (WAYS, WIDTH), -0.5, 0.5)
        add("head.bias", "head", (WAYS,), -0.1, 0.1)
    if case["head"] == "cosine":
        add("head.weight", "head", (WAYS, WIDTH), -0.5, 0.5)
    if case.get("learned_head"):
        add("head.log_temperature", "meta", (1,), -0.5, 0.5)
        add("head.log_regulariser", "meta", (1,), -0.5, 0.5)
    if case.get("norm") == "per-step":  # norms of the second inner step and those behind it
        for block in range(1, 5):
            add(f"block{block}.norm.scale.later", "norm", (STEPS - 1, WIDTH), -0.3, 1.2)
            add(f"block{block}.norm.shift.later", "norm", (STEPS - 1, WIDTH), -0.1, 0.4)
    if "learned_rates" in case:
        for name in adapted_names(case, {n: role for n, (_, role) in made.items()}):
            shape = (STEPS, 1) if case["learned_rates"] == "tensor and step" else (1,)
            add("inner_lr." + name, "meta", shape, 0.02, 0.08)
    return made


def adapted_names(case, roles):
    scope = case["scope"].split("+")
    chosen = {"all": ["kernel", "norm", "head"], "none": []}.get(scope[0], scope)
    return [name for name, role in roles.items() if role in chosen]


def features(p, x, statistics=None):
    for block in range(1, 5):
        kernel = p.get(f"block{block}.conv.kernel")
        if kernel is None:
            kernel = torch.einsum("oim,mkl->oikl", p["coefficients"], p[f"block{block}.conv.atoms"])
        x = F.conv2d(x, kernel, padding=1)
        if statistics is not None:
            statistics[f"block{block}.norm.mean"] = x.detach().mean((0, 2, 3))
            statistics[f"block{block}.norm.variance"] = x.detach().var((0, 2, 3), unbiased=True)
        x = F.batch_norm(x, None, None, p[f"block{block}.norm.scale"], p[f"block{block}.norm.shift"], training=True,
                         eps=1e-5)
        x = F.max_pool2d(F.relu(x), 2)
    return x.flatten(1)


def distances(x, centres):
    return -((x.unsqueeze(1) - centres.unsqueeze(0)) ** 2).sum(2)


def class_means(x, y):
    return torch.stack([x[y == label].mean(0) for label in range(WAYS)])


def cosines(case, p, x):
    return F.normalize(x, dim=1) @ F.normalize(p["head.weight"], dim=1).t() / case["temperature"]


def inner_loss(case, p, x, y):
    if case["head"] == "cosine":
        return F.cross_entropy(cosines(case, p, features(p, x)), y)
    if case["head"] == "linear":
        return F.cross_entropy(F.linear(features(p, x), p["head.weight"], p["head.bias"]), y)
    f, rows = features(p, x), []
    for i in range(len(y)):  # each image against prototypes that leave it out
        rest = torch.arange(len(y)) != i
        rows.append(distances(f[i:i + 1], class_means(f[rest], y[rest])))
    return F.cross_entropy(torch.cat(rows), y)


def query_loss(case, p, sx, sy, qx, qy, statistics):
    if case.get("norm") == "running":  # the whole episode is one batch
        both = features(p, torch.cat([sx, qx]), statistics)
        s, q = both[:len(sy)], both[len(sy):]
        if case["head"] == "prototype":
            return F.cross_entropy(distances(q, class_means(s, sy)), qy)
        one = torch.ones(len(both), 1, dtype=torch.float64)
        s, q = torch.cat([s, one[:len(s)]], 1), torch.cat([q, one[:len(q)]], 1)
        r = p["head.log_regulariser"].exp() * torch.eye(s.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(s.t() @ s + r, s.t() @ F.one_hot(sy, WAYS).double())
        return F.cross_entropy(q @ weight / p["head.log_temperature"].exp(), qy)
    if case["head"] == "cosine":
        return F.cross_entropy(cosines(case, p, features(p, qx)), qy)
    if case["head"] == "linear":
        return F.cross_entropy(F.linear(features(p, qx), p["head.weight"], p["head.bias"]), qy)
    return F.cross_entropy(distances(features(p, qx), class_means(features(p, sx), sy)), qy)


def train(case):
    made = parameters(case)
    roles = {name: role for name, (_, role) in made.items()}
    scope = case["scope"].split("+")
    adapted = [name for name in made if roles[name] in scope] if case["conv"] == "acdc" else adapted_names(case, roles)
    running = {f"block{b}.norm.{s}": uniform(f"block{b}.norm.{s}", (WIDTH,), -0.5, 0.5)
               for b in range(1, 5) for s in ("mean", "variance")}
    optimizer = torch.optim.Adam([tensor for tensor, _ in made.values()], OUTER_LR)
    losses = []
    for iteration in range(ITERATIONS):
        optimizer.zero_grad()
        total = 0
        for t in range(META_BATCH):
            sx, sy, qx, qy = task(iteration * META_BATCH + t)
            p = {name: tensor for name, (tensor, _) in made.items()}
            ix, iy = (torch.cat([sx, qx]), torch.cat([sy, qy])) if case.get("displacement") else (sx, sy)
            for step in range(STEPS if adapted else 0):
                second = case["order"] == "second"
                if case.get("norm") == "per-step" and step > 0:
                    for name in list(p):
                        if name.endswith(".later"):
                            p[name.removesuffix(".later")] = p[name][step - 1]
                grads = torch.autograd.grad(inner_loss(case, p, ix, iy), [p[name] for name in adapted],
                    create_graph=second)
                for name, g in zip(adapted, grads):
                    rate = made["inner_lr." + name][0] if "learned_rates" in case else case["inner_lr"][roles[name]]
                    if case.get("learned_rates") == "tensor and step":
                        rate = rate[step]
                    p[name] = p[name] - rate * g
            statistics = {}
            loss = query_loss(case, p, sx, sy, qx, qy, statistics) / META_BATCH
            if case.get("displacement"):
                for name, (tensor, _) in made.items():
                    change = (tensor - p[name]).detach() / META_BATCH
                    tensor.grad = change if tensor.grad is None else tensor.grad + change
            else:
                loss.backward()
            total += loss.item()
            for name, found in statistics.items():
                running[name] = 0.9 * running[name] + 0.1 * found
        optimizer.step()
        losses.append(total)
    return losses, {name: value.tolist() for name, value in running.items()} if case.get("norm") == "running" else {}


def main():
    torch.set_num_threads(1)
    cases = []
    for case in CASES:
        text = ",".join(f"{role}={rate}" for role, rate in case["inner_lr"].items())
        losses, statistics = train(case)
        # Numbers are written in the shortest exact form: 17 digits at most.
        cases.append({**case, "inner_lr": text, "losses": losses, "statistics": statistics})
    settings = dict(width=WIDTH, image_size=SIZE, channels=1, atoms=ATOMS, sharing="net", ways=WAYS, shots=SHOTS,
        queries=QUERIES,
                    meta_batch=META_BATCH, inner_steps=STEPS, outer_lr=OUTER_LR, classes=CLASSES, iterations=ITERATIONS)
    print(json.dumps({"made_by": "tests/golden/make_golden.py", "torch": torch.__version__, "settings": settings,
        "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
