/* Each operation in a block, against float64: loss, gradients by differences, the same bits from every split. */
#include "ops_reference.h"

#define CASE(name, ops)                                                                            \
  static void name(void **state) {                                                                 \
    (void)state;                                                                                   \
    ref_check(OPS_MODEL(ops));                                                                     \
  }

#define ACT(op)                                                                                    \
  OPS_LINEAR("x", "h", "up", 10)                                                                   \
  ", {\"op\": \"" op "\", \"in\": \"h\", \"out\": \"h\"}, " OPS_LINEAR(                            \
      "h", "o", "down", 12) ", " OPS_ADD("x", "o", "x")

CASE(test_silu, ACT("silu"))
CASE(test_gelu, ACT("gelu"))
CASE(test_gelu_tanh, ACT("gelu_tanh"))
CASE(test_relu2, ACT("relu2"))

CASE(test_swiglu,
     OPS_LINEAR("x", "g", "gate", 10) ", " OPS_LINEAR(
         "x", "u", "up",
         10) ", "
             "{\"op\": \"swiglu\", \"gate\": \"g\", \"up\": \"u\", \"out\": \"h\"}, " OPS_LINEAR(
                 "h", "o", "down", 12) ", " OPS_ADD("x", "o", "x"))
CASE(test_mul_scale,
     OPS_LINEAR("x", "g", "gate",
                12) ", "
                    "{\"op\": \"mul\", \"a\": \"x\", \"b\": \"g\", \"out\": \"h\"}, "
                    "{\"op\": \"scale\", \"in\": \"h\", \"out\": \"h\", \"by\": -0.75}, " OPS_ADD(
                        "h", "x", "x"))
CASE(test_bias,
     "{\"op\": \"linear\", \"in\": \"x\", \"out\": \"h\", \"name\": \"a\", \"cols\": 9, "
     "\"std\": 0.4, \"bias\": true}, {\"op\": \"silu\", \"in\": \"h\", \"out\": \"h\"}, "
     "{\"op\": \"linear\", \"in\": \"h\", \"out\": \"x\", \"name\": \"b\", \"cols\": 12, "
     "\"std\": 0.4, \"bias\": true}")
CASE(test_layernorm,
     "{\"op\": \"layernorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"ln\", \"eps\": 1e-3, "
     "\"bias\": true}, " OPS_LINEAR("n", "o", "w", 12) ", " OPS_ADD(
         "x", "o", "x") ", "
                        "{\"op\": \"layernorm\", \"in\": \"x\", \"out\": \"x\", \"name\": "
                        "\"post\", \"eps\": 1e-3, "
                        "\"bias\": false}")
CASE(test_rmsnorm_parts,
     "{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"rms\", \"eps\": 1e-3, "
     "\"heads\": 3}, " OPS_LINEAR("n", "o", "w", 12) ", " OPS_ADD("x", "o", "x"))
CASE(test_positions,
     "{\"op\": \"positions\", \"in\": \"x\", \"out\": \"x\", \"name\": \"pos\", \"std\": 0.5, "
     "\"count\": 6}, " OPS_LINEAR("x", "o", "w", 12) ", " OPS_ADD("x", "o", "x"))

#define QKV                                                                                        \
  OPS_LINEAR("x", "q", "q", 16) ", " OPS_LINEAR("x", "k", "k", 8) ", " OPS_LINEAR("x", "v", "v", 8)
#define ROPE(x, more)                                                                              \
  "{\"op\": \"rope\", \"in\": \"" x "\", \"out\": \"" x "\", \"head_dim\": 4, \"theta\": 100" more \
  "}"
#define ATTENTION(more)                                                                            \
  "{\"op\": \"attention\", \"q\": \"q\", \"k\": \"k\", \"v\": \"v\", \"out\": \"a\", "             \
  "\"heads\": 4, \"kv_heads\": 2, \"head_dim\": 4" more                                            \
  "}, " OPS_LINEAR("a", "o", "o", 12) ", " OPS_ADD("x", "o", "x")
#define SCALED(scaling)                                                                            \
  QKV ", " ROPE("q", ", \"scaling\": " scaling) ", " ROPE(                                         \
      "k", ", \"scaling\": " scaling) ", " ATTENTION("")

CASE(test_attention, QKV ", " ROPE("q", "") ", " ROPE("k", "") ", " ATTENTION(""))
CASE(test_window, QKV ", " ATTENTION(", \"window\": 3, \"scale\": 0.8"))
CASE(test_rope_linear, SCALED("{\"type\": \"linear\", \"factor\": 2.5}"))
CASE(test_rope_llama3, SCALED("{\"type\": \"llama3\", \"factor\": 8, \"low_freq\": 1, "
                              "\"high_freq\": 4, \"original\": 24}"))
CASE(test_rope_yarn,
     SCALED("{\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 3, \"beta_slow\": 1, "
            "\"attention_factor\": 1.2, \"original\": 64}"))
/* q and k are normalised head by head, as in Qwen3; two rotary tables in one block. */
CASE(test_qk_norm, QKV
     ", "
     "{\"op\": \"rmsnorm\", \"in\": \"q\", \"out\": \"q\", \"name\": \"qn\", \"eps\": 1e-3, "
     "\"heads\": 4}, {\"op\": \"rmsnorm\", \"in\": \"k\", \"out\": \"k\", \"name\": \"kn\", "
     "\"eps\": 1e-3, \"heads\": 2}, " ROPE("q",
                                           "") ", "
                                               "{\"op\": \"rope\", \"in\": \"k\", \"out\": \"k\", "
                                               "\"head_dim\": 4, \"theta\": 50}, " ATTENTION(""))

#define MOE(act, renormalise)                                                                      \
  "{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"norm\", \"eps\": 1e-3}, "      \
  "{\"op\": \"moe\", \"in\": \"n\", \"out\": \"o\", \"name\": \"moe\", \"experts\": 4, "           \
  "\"top_k\": 2, \"cols\": 6, \"act\": \"" act "\", \"std\": 0.6, \"down_std\": 0.5, "             \
  "\"balance\": 0.05, \"renormalise\": " renormalise "}, " OPS_ADD("x", "o", "x")

CASE(test_moe, MOE("silu", "true"))
CASE(test_moe_gelu, MOE("gelu", "false"))

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_silu),          cmocka_unit_test(test_gelu),
      cmocka_unit_test(test_gelu_tanh),     cmocka_unit_test(test_relu2),
      cmocka_unit_test(test_swiglu),        cmocka_unit_test(test_mul_scale),
      cmocka_unit_test(test_bias),          cmocka_unit_test(test_layernorm),
      cmocka_unit_test(test_rmsnorm_parts), cmocka_unit_test(test_positions),
      cmocka_unit_test(test_attention),     cmocka_unit_test(test_window),
      cmocka_unit_test(test_rope_linear),   cmocka_unit_test(test_rope_llama3),
      cmocka_unit_test(test_rope_yarn),     cmocka_unit_test(test_qk_norm),
      cmocka_unit_test(test_moe),           cmocka_unit_test(test_moe_gelu),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
