/* Matrix products of rows as they lie in memory: they may overlap, and a row may consist of several parts. That makes a convolution one
   product, whose rows are the channels of all its taps.

   Few columns at a time, and as many rows as leave all their sums in registers. Each sum runs over one part after the other, in blocks of
   DEEP values that are added up, and depends on nothing but its row and column. */
#include <stdint.h>

#define PANEL 32 /* columns of the packed weights, computed at a time */
#define DEEP 128
#if defined(__AVX512F__)
#define LANES 16
#define TALL 12
#elif defined(__AVX__)
#define LANES 8
#define TALL 3
#elif defined(__aarch64__)
#define LANES 4
#define TALL 3
#else
#define LANES 4
#define TALL 1
#endif
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Rows of `parts` times `width` values. */
typedef struct {
    const float *data;
    int64_t step, parts, apart, width;
} Rows;

/* Where sums begin: `step` apart, the bias (0), or what is there already. */
typedef struct {
    const float *data;
    int64_t step;
} Base;

/* out [tall, wide vectors] = base + columns [width, PANEL] times each row's values in. */
INLINE void add(const int tall, const int wide, float *out, int64_t out_step, Base base, const float *in, int64_t step,
                const float *columns, int64_t width) {
    vec sums[TALL][PANEL / LANES];
    UNROLL for (int i = 0; i < tall; i++) UNROLL for (int j = 0; j < wide; j++) sums[i][j] = (vec){0};
    for (int64_t k = 0; k < width; k++, columns += PANEL) {
        vec weights[PANEL / LANES];
        UNROLL for (int j = 0; j < wide; j++) weights[j] = ((const loose *)columns)[j];
        UNROLL for (int i = 0; i < tall; i++) UNROLL for (int j = 0; j < wide; j++) sums[i][j] += weights[j] * in[i * step + k];
    }
    UNROLL for (int i = 0; i < tall; i++) UNROLL for (int j = 0; j < wide; j++)
        ((loose *)(out + i * out_step))[j] = ((const loose *)(base.data + i * base.step))[j] + sums[i][j];
}

/* Some rows of `wide` vectors of columns, the first `kept` of which are wanted. */
INLINE void tile(const int tall, const int wide, float *out, int64_t out_step, int64_t kept, int64_t row, const Rows *x, int sources,
                 const float *beside, int64_t beside_step, const float *columns, const float *bias) {
    float spare[TALL * PANEL], *to = kept == wide * LANES ? out + row * out_step : spare;
    Base base = {bias, 0}, there = {to, kept == wide * LANES ? out_step : PANEL};
    if (beside) {
        beside += row * beside_step;
        if (to != spare) {
            UNROLL for (int i = 0; i < tall; i++) UNROLL for (int j = 0; j < wide; j++)
                ((loose *)(to + i * out_step))[j] = ((const loose *)bias)[j] + ((const loose *)(beside + i * beside_step))[j];
        } else {
            for (int i = 0; i < tall; i++)
                for (int64_t j = 0; j < kept; j++) to[i * PANEL + j] = bias[j] + beside[i * beside_step + j];
        }
        base = there;
    }
    for (; sources; sources--, x++)
        for (int64_t part = 0; part < x->parts; part++) {
            const float *in = x->data + row * x->step + part * x->apart;
            for (int64_t k = 0; k < x->width; k += DEEP, base = there) {
                int64_t width = x->width - k < DEEP ? x->width - k : DEEP;
                add(tall, wide, to, there.step, base, in + k, x->step, columns, width);
                columns += width * PANEL;
            }
        }
    if (to == spare)
        for (int i = 0; i < tall; i++)
            for (int64_t j = 0; j < kept; j++) out[(row + i) * out_step + j] = spare[i * PANEL + j];
}

/* out [rows, wide] = bias + x w + more v, and + beside [rows, wide] where that is not 0. weights: w, below it v, in panels
   [wide / PANEL, values of a row of x and of more, PANEL], filled up with zeros like bias. */
void solfa_products(float *out, int64_t out_step, int64_t rows, int64_t wide, const float *weights, const float *bias,
                    const float *in, int64_t in_step, int64_t parts, int64_t apart, int64_t width, const float *in_more,
                    int64_t more_step, int64_t more_width, const float *beside, int64_t beside_step) {
    Rows x[2] = {{in, in_step, parts, apart, width}, {in_more, more_step, 1, 0, more_width}};
    int sources = more_width ? 2 : 1;
    for (int64_t c = 0; c < wide; c += PANEL, out += PANEL, bias += PANEL, weights += (parts * width + more_width) * PANEL) {
        int64_t kept = wide - c < PANEL ? wide - c : PANEL, row = 0;
        for (; row < rows; row += TALL) {
            if (rows < TALL) break;
            if (row + TALL > rows) row = rows - TALL; /* some rows once more: the same again */
            if (kept > PANEL / 2)
                tile(TALL, PANEL / LANES, out, out_step, kept, row, x, sources, beside, beside_step, weights, bias);
            else
                tile(TALL, PANEL / LANES / 2, out, out_step, kept, row, x, sources, beside, beside_step, weights, bias);
        }
        for (; row < rows; row++)
            tile(1, PANEL / LANES, out, out_step, kept, row, x, sources, beside, beside_step, weights, bias);
        beside = beside ? beside + PANEL : 0;
    }
}

/* out [rows] = bias + the sum of the products of a row's values and the weights: a column by itself. */
void solfa_column(float *out, int64_t out_step, int64_t rows, const float *weights, float bias, const float *in, int64_t in_step,
                  int64_t parts, int64_t apart, int64_t width) {
    for (int64_t row = 0; row < rows; row++) {
        float sum = 0;
        for (int64_t part = 0; part < parts; part++) {
            const float *x = in + row * in_step + part * apart, *w = weights + part * width;
            vec a = {0}, b = {0};
            int64_t k = 0;
            for (; k + 2 * LANES <= width; k += 2 * LANES) {
                a += *(const loose *)(x + k) * *(const loose *)(w + k);
                b += *(const loose *)(x + k + LANES) * *(const loose *)(w + k + LANES);
            }
            a += b;
            for (int j = 0; j < LANES; j++) sum += a[j];
            for (; k < width; k++) sum += x[k] * w[k];
        }
        out[row * out_step] = bias + sum;
    }
}
