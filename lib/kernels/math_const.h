/* Constants of the profile's elementary functions, shared by the scalar and the vector form (EXACT.md section 3).
 * The polynomials are weighted minimax fits (Lawson iteration at Chebyshev nodes, coefficients rounded one after
 * the other and the rest refitted), lowest degree first. */
#ifndef PLR_KERNELS_MATH_CONST_H
#define PLR_KERNELS_MATH_CONST_H

#define PLR_LOG2E_F   0x1.715476p+0f
#define PLR_LN2_HI_F  0x1.62e4p-1f /* 15 bits: a multiple by |k| < 2^9 is exact */
#define PLR_LN2_LO_F  0x1.7f7d1cp-20f
#define PLR_MAGIC_F   12582912.0f /* 1.5 * 2^23 */
#define PLR_EXP_MAX_F 89.0f
#define PLR_EXP_MIN_F (-104.5f)

/* e^r = 1 + r + r^2 E(r), |r| <= ln2 / 2 */
#define PLR_EXPF_POLY                                                                              \
  { 0x1.fffffcp-2f, 0x1.55549p-3f, 0x1.55589ep-5f, 0x1.123ab6p-7f, 0x1.6a622ap-10f }
#define PLR_EXPF_TERMS 5

/* log(1 + f) = f - f^2/2 + f^3 L(f), sqrt(1/2) <= 1 + f < sqrt(2) */
#define PLR_LOGF_POLY                                                                              \
  {                                                                                                \
    0x1.555548p-2f, -0x1.000008p-2f, 0x1.99a478p-3f, -0x1.555b8ep-3f, 0x1.233af8p-3f,              \
        -0x1.fc3dccp-4f, 0x1.e6dc7ep-4f, -0x1.dd9c0cp-4f, 0x1.13c38p-4f                            \
  }
#define PLR_LOGF_TERMS 9

/* Upper tail of the normal distribution over its density shape: e^(x^2/2) tail(x) = k T(k), k = 1 / (1 + s x),
 * 0 <= x <= 14.6; the tail is 0 in fp32 from there on. */
#define PLR_TAIL_MAX_F   15.0f
#define PLR_TAIL_SLOPE_F 0.34375f
#define PLR_TAILF_POLY                                                                             \
  {                                                                                                \
    0x1.18d2bep-3f, 0x1.19a57ep-3f, 0x1.decc7ap-4f, 0x1.cac2eep-4f, -0x1.345aap-5f, 0x1.81b24p-3f, \
        -0x1.13c1b4p-2f, 0x1.240e56p-3f, -0x1.c333a2p-6f                                           \
  }
#define PLR_TAILF_TERMS 9
#define PLR_DENSITY_F   0x1.988454p-2f /* 1 / sqrt(2 pi) */

/* GELU's tanh form as x / (1 + e^-u): 2 sqrt(2/pi) and that times 0.044715. */
#define PLR_GELU_C1_F 0x1.988454p+0f
#define PLR_GELU_C3_F 0x1.2444f2p-4f

#define PLR_LOG2E   0x1.71547652b82fep+0
#define PLR_LN2_HI  0x1.62e42fefa4p-1 /* 40 bits */
#define PLR_LN2_LO  (-0x1.8432a1b0e2634p-43)
#define PLR_MAGIC   6755399441055744.0 /* 1.5 * 2^52 */
#define PLR_EXP_MAX 710.0
#define PLR_EXP_MIN (-746.0)

/* e^r = 1 + r + r^2 E(r), |r| <= ln2 / 2 */
#define PLR_EXP_POLY                                                                               \
  {                                                                                                \
    0x1p-1, 0x1.555555555555bp-3, 0x1.555555555553ep-5, 0x1.111111110edcp-7,                       \
        0x1.6c16c16c2131fp-10, 0x1.a01a01b30bcbcp-13, 0x1.a01a016e92c37p-16,                       \
        0x1.71ddf1170c774p-19, 0x1.27e5535e51199p-22, 0x1.af6a6d96cf601p-26, 0x1.1ebc311ecc675p-29 \
  }
#define PLR_EXP_TERMS 11

/* 2 atanh(s) = 2 s + s z R(z), z = s^2, s = f / (2 + f) */
#define PLR_LOG_POLY                                                                               \
  {                                                                                                \
    0x1.5555555555592p-1, 0x1.999999997ff19p-2, 0x1.24924941e1a63p-2, 0x1.c71c5213c0ceap-3,        \
        0x1.74663d1b4704dp-3, 0x1.39a1e295e75f5p-3, 0x1.2f0407c0cbb54p-3                           \
  }
#define PLR_LOG_TERMS 7

/* sin x = x + x^3 S(z), cos x = 1 - z/2 + z^2 C(z), z = x^2, |x| <= pi/4 */
#define PLR_SIN_POLY                                                                               \
  {                                                                                                \
    -0x1.5555555555549p-3, 0x1.111111110f8a7p-7, -0x1.a01a019c163eap-13, 0x1.71de357b38c8p-19,     \
        -0x1.ae5e68b14f685p-26, 0x1.5d93a8571b30cp-33                                              \
  }
#define PLR_COS_POLY                                                                               \
  {                                                                                                \
    0x1.555555555554cp-5, -0x1.6c16c16c15225p-10, 0x1.a01a019cc0411p-16, -0x1.27e4f8137108dp-22,   \
        0x1.1ee9f1d99edecp-29, -0x1.8fb178797cb7p-37                                               \
  }
#define PLR_TRIG_TERMS 6

#define PLR_TWO_OVER_PI 0x1.45f306dc9c883p-1
#define PLR_PI_2_HI     0x1.921fb54442d18p+0
#define PLR_PI_2_MID    0x1.1a62633145c07p-54
#define PLR_PI_2_LO     (-0x1.f1976b7ed8fbcp-110)
#define PLR_TAU         0x1.921fb54442d18p+2
#define PLR_TRIG_MAX    2147483648.0 /* 2^31: the reduction is exact up to here */

#endif
