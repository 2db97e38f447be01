"""Every family against its class in `transformers`, on little models with random weights: loss, logits, every gradient,
ten steps of AdamW, and the way back: what we export opens there and says the same. Run by tests/torch/check.py with a
Python that has torch; prints ok / not ok lines."""
import json
import math
import os
import sys
import tempfile
import traceback

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import transformers as hf

import pluralis

BATCH, SEQ, STEPS = 2, 24, 10
TRAIN = {"seq_len": SEQ, "micro_batch": BATCH, "micro_batches": 1, "optimizer": "adamw", "lr": 1e-3,
         "min_lr_ratio": 1.0, "beta1": 0.9, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1, "clip": 0, "z_loss": 0,
         "schedule": "constant", "warmup_steps": 0, "steps": 100, "data_seed": 0}
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, initializer_range=0.15)
GPT2 = dict(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
            initializer_range=0.15)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}

# name: (configuration class, its arguments, largest file of the checkpoint)
CASES = {
    "llama2": (hf.LlamaConfig, {}, "5GB"),
    "llama3, scaled rotary table": (hf.LlamaConfig, dict(rope_parameters=LLAMA3), "5GB"),
    "llama, YaRN": (hf.LlamaConfig, dict(rope_parameters=YARN), "5GB"),
    "llama, linear scaling": (hf.LlamaConfig, dict(rope_parameters=LINEAR), "5GB"),
    "llama with biases": (hf.LlamaConfig, dict(attention_bias=True, mlp_bias=True), "5GB"),
    "smollm2: tied, many files": (hf.LlamaConfig, dict(tie_word_embeddings=True, num_attention_heads=3,
                                                       num_key_value_heads=1, hidden_size=24), "8KB"),
    "mistral, window 7": (hf.MistralConfig, dict(sliding_window=7), "5GB"),
    "qwen2": (hf.Qwen2Config, {}, "5GB"),
    "qwen2, window in one layer": (hf.Qwen2Config, dict(use_sliding_window=True, sliding_window=5, max_window_layers=1),
                                   "5GB"),
    "qwen3, wide heads": (hf.Qwen3Config, dict(head_dim=16), "5GB"),
    "gpt2: tied": (hf.GPT2Config, dict(GPT2), "5GB"),
    "gpt2, exact gelu, many files": (hf.GPT2Config, dict(GPT2, activation_function="gelu", n_inner=40), "8KB"),
    "mixtral": (hf.MixtralConfig, dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=None), "5GB"),
    "qwen3-moe": (hf.Qwen3MoeConfig, dict(head_dim=8, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20,
                                          norm_topk_prob=True), "5GB"),
    "qwen3-moe, a dense layer, gates as they are": (
        hf.Qwen3MoeConfig, dict(head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=20,
                                norm_topk_prob=False, mlp_only_layers=[0]), "5GB"),
}


# ---- where our parameters are in theirs -----------------------------------------------------------------------------

LAYER = {"attn_norm": "input_layernorm", "attn.q": "self_attn.q_proj", "attn.k": "self_attn.k_proj",
         "attn.v": "self_attn.v_proj", "attn.o": "self_attn.o_proj", "attn.q_norm": "self_attn.q_norm",
         "attn.k_norm": "self_attn.k_norm", "mlp_norm": "post_attention_layernorm", "mlp.gate": "mlp.gate_proj",
         "mlp.up": "mlp.up_proj", "mlp.down": "mlp.down_proj"}
GPT2_LAYER = {"attn_norm": "ln_1", "attn.o": "attn.c_proj", "mlp_norm": "ln_2", "mlp.up": "mlp.c_fc",
              "mlp.down": "mlp.c_proj"}


def theirs(tensors, name, experts):
    """The value of our parameter `name` (inputs x outputs), taken from their tensors by name."""
    gpt2 = any(key.startswith("transformer.") for key in tensors)
    get = lambda key: tensors[key]
    turned = lambda value: value.t() if value.dim() == 2 else value.reshape(1, -1)
    if name == "embed.weight":
        return get("transformer.wte.weight" if gpt2 else "model.embed_tokens.weight")
    if name == "positions.weight":
        return get("transformer.wpe.weight")
    if name == "head.weight":
        return turned(get("lm_head.weight"))
    if not name.startswith("blocks."):
        return get(("transformer.ln_f." if gpt2 else "model.norm.") + name.split(".")[-1]).reshape(1, -1)
    _, block, rest = name.split(".", 2)
    part, kind = rest.rsplit(".", 1)
    if gpt2:
        layer = "transformer.h.%s." % block
        if part in ("attn.q", "attn.k", "attn.v"):
            value = get(layer + "attn.c_attn." + kind)
            return value.chunk(3, dim=-1)["qkv".index(part[-1])].reshape(-1, value.shape[-1] // 3)
        value = get(layer + GPT2_LAYER[part] + "." + kind)
        return value if value.dim() == 2 else value.reshape(1, -1)
    layer = "model.layers.%s." % block
    if part == "moe.router":
        return get(layer + "mlp.gate.weight").t()
    if part.startswith("moe.experts."):
        experts_of = layer + "mlp.experts."
        down = get(experts_of + "down_proj")                                 # experts x hidden x inner
        if part.endswith("down"):
            return torch.cat([down[e].t() for e in range(experts)])
        gate_up = get(experts_of + "gate_up_proj")                           # experts x 2 inner x hidden
        half = 0 if part.endswith("gate") else 1
        return torch.cat([gate_up[e].chunk(2)[half].t() for e in range(experts)])
    return turned(get(layer + LAYER[part] + "." + kind))


# ---- one family -----------------------------------------------------------------------------------------------------

def tensor_of(value):
    return torch.tensor(value.tolist(), dtype=torch.float64)


def far(ours, reference, whole=None):
    """The largest difference, relative to the largest value (of `whole`, where the reference is a part of a tensor)."""
    reference = reference.detach().double()
    scale = (reference if whole is None else whole.detach()).abs().max().clamp_min(1e-12)
    return float((ours - reference).abs().max() / scale)


def fused(tensors, name):
    """GPT-2's q, k and v are one tensor: there k's bias has a gradient of zero, and its rounding is no measure."""
    _, block, rest = (name + "..").split(".", 2)
    key = "transformer.h.%s.attn.c_attn.%s" % (block, name.rsplit(".", 1)[-1])
    return tensors.get(key) if rest.startswith(("attn.q.", "attn.k.", "attn.v.")) else None


class Case:
    def __init__(self, name, folder):
        kind, arguments, largest = CASES[name]
        merged = arguments if kind is hf.GPT2Config else dict(SHAPE, **arguments)
        torch.manual_seed(1)
        self.config = kind(**merged)
        self.model = hf.AutoModelForCausalLM.from_config(self.config, attn_implementation="eager").float().eval()
        with torch.no_grad():  # gains of one and biases of zero would hide what they do
            for parameter in self.model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        self.model.save_pretrained(folder, max_shard_size=largest)
        self.folder, self.ctx = folder, pluralis.Context(threads=2)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            self.ours = pluralis.Model.from_config(self.ctx, f.read(), train=TRAIN)
        self.shard = pluralis.Shard(self.ctx, self.ours, weights=pluralis.Weights(self.ctx, folder))
        self.tokens = torch.randint(0, self.config.vocab_size, (STEPS, BATCH, SEQ + 1))
        self.experts = getattr(self.config, "num_local_experts", 0) or getattr(self.config, "num_experts", 0) or 0
        self.tied = bool(self.config.tie_word_embeddings)

    def loss(self, model, step):
        logits = model(self.tokens[step][:, :-1]).logits
        labels = self.tokens[step][:, 1:].reshape(-1)
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels), logits

    def our_loss(self, step):
        return self.shard.forward(0, self.tokens[step].flatten().tolist()) / (BATCH * SEQ)

    def our_logits(self):
        flat = self.tokens[0][:, :-1].flatten().tolist()
        return tensor_of(self.shard.infer(flat, rows=BATCH)).reshape(BATCH, SEQ, -1)

    def check_gradients(self):
        loss, logits = self.loss(self.model, 0)
        loss.backward()
        worst = {"logits": far(self.our_logits(), logits)}
        ours = self.our_loss(0)
        worst["loss"] = abs(ours - loss.item()) / loss.item()
        self.shard.backward(0)
        gradients = {name: p.grad for name, p in self.model.named_parameters()}
        for p in self.shard.parameters:
            got = tensor_of(self.shard.read(p.name, gradient=True))
            if self.tied and p.name == "head.weight":
                continue
            if self.tied and p.name == "embed.weight":  # theirs is the sum of what our two ends got
                got = got + tensor_of(self.shard.read("head.weight", gradient=True)).t()
            worst[p.name] = far(got, theirs(gradients, p.name, self.experts), fused(gradients, p.name))
        name = max(worst, key=worst.get)
        assert worst[name] < 1e-4, "%s is off by %.2g" % (name, worst[name])
        return "loss %.5f; logits, loss and %d gradients within %.1g (%s)" % (ours, len(worst) - 2, worst[name], name)

    def check_steps(self):
        """Ten steps of AdamW from the same weights. Ours is untied, so theirs is untied first."""
        if self.tied:
            embedding = self.model.get_input_embeddings().weight
            self.model.config.tie_word_embeddings = False
            self.model.lm_head.weight = torch.nn.Parameter(embedding.detach().clone())
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() == 1]
        optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": TRAIN["weight_decay"]},
                                       {"params": vectors, "weight_decay": 0}], lr=TRAIN["lr"],
                                      betas=(TRAIN["beta1"], TRAIN["beta2"]), eps=TRAIN["eps"])
        self.shard = pluralis.Shard(self.ctx, self.ours, weights=pluralis.Weights(self.ctx, self.folder))
        worst = 0.0
        for step in range(STEPS):
            optimizer.zero_grad()
            loss, _ = self.loss(self.model, step)
            loss.backward()
            optimizer.step()
            ours = self.our_loss(step)
            self.shard.backward(0)
            self.shard.step()
            worst = max(worst, abs(ours - loss.item()) / loss.item())
        tensors = dict(self.model.named_parameters())
        for p in self.shard.parameters:
            worst = max(worst, far(tensor_of(self.shard.read(p.name)), theirs(tensors, p.name, self.experts),
                                   fused(tensors, p.name)))
        assert worst < 1e-3, "after %d steps weights or losses are off by %.2g" % (STEPS, worst)
        return "%d steps of AdamW within %.1g" % (STEPS, worst)

    def check_export(self):
        folder = os.path.join(self.folder, "back")
        os.mkdir(folder)
        self.shard.export(os.path.join(folder, "model.safetensors"))
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            f.write(self.ours.config)
        again, report = hf.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager",
                                                                output_loading_info=True)
        bad = {key: value for key, value in report.items() if value and key != "conversion_errors"}
        assert not bad, "opening what was exported: %s" % bad
        with torch.no_grad():
            logits = again.eval()(self.tokens[0][:, :-1]).logits
        off = far(self.our_logits(), logits)
        assert off < 1e-5, "logits of the exported model are off by %.2g" % off
        return "export opens, logits within %.1g" % off


def run(name):
    with tempfile.TemporaryDirectory() as folder:
        case = Case(name, folder)
        return "; ".join([case.check_gradients(), case.check_steps(), case.check_export()])


def main():
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(2)
    failed = 0
    for name in CASES:
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        try:
            print("ok %s: %s" % (name, run(name)), flush=True)
        except Exception as error:  # the next family is still worth a look
            traceback.print_exc()
            print("not ok %s: %s" % (name, error), flush=True)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
