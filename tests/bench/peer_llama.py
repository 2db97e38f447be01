"""The peer of bench_decode: llama-cpp-python on a model of the same shape, whose GGUF file with random weights it
writes itself. Run by the Python that PLR_PEERS_PYTHON names; speaks lines on stdin and stdout:

    peer_llama.py FORMAT THREADS VOCAB D BLOCKS HEADS HEAD_DIM FF CONTEXT
    -> ready VERSION        <- prefill N   -> seconds of N tokens into an empty cache
                            <- decode N    -> seconds of N tokens, one by one
"""
import os
import sys
import tempfile
import time

FORMATS = {"f32": "F32", "bf16": "BF16", "f16": "F16", "q8": "Q8_0", "q4": "Q4_0"}


def write(path, kind, vocab, d, blocks, heads, head_dim, ff, context):
    import gguf
    import numpy as np
    from gguf import quants

    kind = getattr(gguf.GGMLQuantizationType, FORMATS[kind])
    rng, cache = np.random.default_rng(1), {}

    def matrix(rows, cols):  # the values do not matter for the speed: one of each shape
        if (rows, cols) not in cache:
            x = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(0.02)
            cache[rows, cols] = x if kind == gguf.GGMLQuantizationType.F32 else quants.quantize(x, kind)
        return cache[rows, cols]

    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(context)
    out.add_embedding_length(d)
    out.add_block_count(blocks)
    out.add_feed_forward_length(ff)
    out.add_head_count(heads)
    out.add_head_count_kv(heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(head_dim)
    out.add_vocab_size(vocab)
    out.add_tokenizer_model("no_vocab")
    shapes = [("token_embd", vocab, d), ("output", vocab, d)]
    for i in range(blocks):
        shapes += [("blk.%d.%s" % (i, name), rows, cols) for name, rows, cols in (
            ("attn_q", heads * head_dim, d), ("attn_k", heads * head_dim, d), ("attn_v", heads * head_dim, d),
            ("attn_output", d, heads * head_dim), ("ffn_gate", ff, d), ("ffn_up", ff, d), ("ffn_down", d, ff))]
    for name, rows, cols in shapes:
        out.add_tensor(name + ".weight", matrix(rows, cols), raw_dtype=kind)
    ones = np.ones(d, dtype=np.float32)
    for name in ["output_norm"] + ["blk.%d.%s" % (i, n) for i in range(blocks) for n in ("attn_norm", "ffn_norm")]:
        out.add_tensor(name + ".weight", ones)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


class Peer:
    def __init__(self, path, threads, context):
        import llama_cpp as L

        self.L = L
        self.quiet = L.llama_log_callback(lambda level, text, user: None)
        L.llama_log_set(self.quiet, None)
        L.llama_backend_init()
        self.model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
        if not self.model:
            sys.exit("the model cannot be loaded")
        params = L.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context, context, 512
        params.n_threads = params.n_threads_batch = threads
        self.ctx = L.llama_init_from_model(self.model, params)
        if not self.ctx:
            sys.exit("no context")

    def clear(self):
        if hasattr(self.L, "llama_memory_clear"):
            self.L.llama_memory_clear(self.L.llama_get_memory(self.ctx), True)
        else:
            self.L.llama_kv_self_clear(self.ctx)

    def feed(self, tokens):
        ids = (self.L.llama_token * len(tokens))(*tokens)
        if self.L.llama_decode(self.ctx, self.L.llama_batch_get_one(ids, len(tokens))):
            sys.exit("llama_decode failed")
        return self.L.llama_get_logits_ith(self.ctx, -1)[0]  # waits

    def prefill(self, n, vocab):
        self.clear()
        tokens = [(7 * i + 3) % vocab for i in range(n)]
        start = time.perf_counter()
        self.feed(tokens)
        return time.perf_counter() - start

    def decode(self, n, vocab):
        start = time.perf_counter()
        for i in range(n):
            self.feed([(5 * i + 1) % vocab])
        return time.perf_counter() - start


def main():
    kind, (threads, vocab, d, blocks, heads, head_dim, ff, context) = sys.argv[1], map(int, sys.argv[2:])
    import llama_cpp

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "peer.gguf")
        write(path, kind, vocab, d, blocks, heads, head_dim, ff, context)
        peer = Peer(path, threads, context)
        peer.prefill(16, vocab)
        print("ready %s" % llama_cpp.__version__, flush=True)
        for line in sys.stdin:
            command, n = line.split()
            print("%.9f" % getattr(peer, command)(int(n), vocab), flush=True)


if __name__ == "__main__":
    main()
