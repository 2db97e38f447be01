"""PyTorch's side of bench_train.py: the stage of bench_train.c (4 blocks of a Llama, d 768, 12 heads, ff 2048) written
with torch.nn, the fused AdamW and the fused causal attention. Prints "ready NAME"; then for each line of input takes a
step and prints its seconds."""
import sys
import time

import torch
import torch.nn.functional as F

WIDTH, HEADS, FF, BLOCKS = 768, 12, 2048, 4


def rotate(x, cos, sin):
    low, high = x.chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = torch.nn.RMSNorm(WIDTH, eps=1e-5)
        self.norm2 = torch.nn.RMSNorm(WIDTH, eps=1e-5)
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate_up = torch.nn.Linear(WIDTH, 2 * FF, bias=False)
        self.down = torch.nn.Linear(FF, WIDTH, bias=False)

    def forward(self, x, cos, sin):
        batch, seq, _ = x.shape
        q, k, v = (t.view(batch, seq, HEADS, -1).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, seq, WIDTH))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Stage(torch.nn.Module):
    def __init__(self, seq):
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(BLOCKS))
        half = WIDTH // HEADS // 2
        angle = torch.arange(seq)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, x):
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return x


def main():
    seq, batch, mode, threads = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    idle = peak()
    stage = Stage(seq)
    optimizer = torch.optim.AdamW(stage.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    run = torch.compile(stage) if mode == "compiled" else stage
    x = torch.rand(batch, seq, WIDTH, requires_grad=True)
    gradient = torch.rand(batch, seq, WIDTH)

    def step():
        optimizer.zero_grad(set_to_none=True)
        x.grad = None
        run(x).backward(gradient)
        for block in stage.blocks:
            torch.nn.utils.clip_grad_norm_(block.parameters(), 1.0)
        optimizer.step()

    for _ in range(3):
        step()
    print("ready %d PyTorch %s" % (idle, torch.__version__.split("+")[0]), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print("%.6f" % (time.perf_counter() - start), flush=True)


def peak():
    """kB of resident memory at most so far; 0 where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


main()
