/* Snake and ELU over rows of channels, one pass over memory. Plain loops: the compiler makes vectors of them. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

static const float ROUND = 12582912.0f; /* 1.5 * 2^23: adding it and taking it away rounds to an integer */

/* sin(v)^2 for |v| <= 8192: v less the nearest multiple of pi, that in three parts (Cody and Waite); then odd minimax powers to 11. */
static inline float sine_squared(float v) {
    float turns = (v * 0.318309886183790672f + ROUND) - ROUND;
    float r = v - turns * 3.140625f;
    r = r - turns * 9.67502593994140625e-4f;
    r = r - turns * 1.509957990978376432e-7f;
    float s = r * r;
    float p = (((-2.3846693e-8f * s + 2.7521557e-6f) * s - 1.9840874e-4f) * s + 8.3333310e-3f) * s - 1.6666667e-1f;
    float y = r + r * s * p;
    return y * y;
}

/* out = in + sin(alpha in)^2 / alpha on [rows, channels]; inverse holds 1 / alpha. out may be in. */
void solfa_snake(float *out, const float *in, const float *alpha, const float *inverse, int64_t rows, int64_t channels) {
    for (int64_t row = 0; row < rows; row++, in += channels, out += channels) {
        int32_t far = 0; /* beyond 8192, infinite or NaN */
#pragma omp simd reduction(| : far)
        for (int64_t c = 0; c < channels; c++) {
            float v = in[c] * alpha[c];
            int32_t bits;
            memcpy(&bits, &v, 4);
            far |= (bits & 0x7fffffff) > 0x46000000;
        }
        if (far) {
            for (int64_t c = 0; c < channels; c++) {
                float s = sinf(in[c] * alpha[c]);
                out[c] = in[c] + s * s * inverse[c];
            }
        } else {
#pragma omp simd
            for (int64_t c = 0; c < channels; c++) out[c] = in[c] + sine_squared(in[c] * alpha[c]) * inverse[c];
        }
    }
}

/* out = in where in > 0, else exp(in) - 1; NaN stays NaN. out may be in. */
void solfa_elu(float *out, const float *in, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float x = in[i], below = exp_less_1(x < 0 ? x : 0);
        out[i] = x <= 0 ? below : x;
    }
}
