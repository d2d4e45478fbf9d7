/* The recurrent half of an LSTM layer, step after step. What limits it is reading the weights: they lie in the order of use. */
#include <stdint.h>

#include "kernels.h"

#define LANES 16
#define ROWS 64 /* gate rows computed at a time */
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* sigmoid and tanh by exp of a value <= 0: no overflow at either end */
static inline float sigmoid(float x) {
    float e = exp_less_1(x < 0 ? x : -x) + 1.0f, y = e / (1.0f + e);
    return x < 0 ? y : 1.0f - y;
}

static inline float tangent(float x) {
    float e = exp_less_1(x < 0 ? 2 * x : -2 * x), y = -e / (2.0f + e);
    return x < 0 ? -y : y;
}

/* gates [steps, 4 width], input, forget, cell and output: in, what the inputs and biases give; overwritten.
   weights [4 width / 64, width, 64]; hidden, cell [width], changed; out [steps, width]. width: a multiple of 16. */
void solfa_lstm(float *out, float *gates, const float *weights, float *hidden, float *cell, int64_t steps, int64_t width) {
    for (int64_t t = 0; t < steps; t++, gates += 4 * width, out += width) {
        const float *w = weights;
        for (int64_t row = 0; row < 4 * width; row += ROWS) {
            loose *to = (loose *)(gates + row);
            vec a = to[0], b = to[1], c = to[2], d = to[3];
            for (int64_t k = 0; k < width; k++, w += ROWS) {
                const loose *from = (const loose *)w;
                a += from[0] * hidden[k];
                b += from[1] * hidden[k];
                c += from[2] * hidden[k];
                d += from[3] * hidden[k];
            }
            to[0] = a, to[1] = b, to[2] = c, to[3] = d;
        }
#pragma omp simd
        for (int64_t k = 0; k < width; k++) {
            float next = sigmoid(gates[width + k]) * cell[k] + sigmoid(gates[k]) * tangent(gates[2 * width + k]);
            cell[k] = next;
            out[k] = hidden[k] = sigmoid(gates[3 * width + k]) * tangent(next);
        }
    }
}
