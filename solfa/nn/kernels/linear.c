/* Products of a few rows with a matrix, in float32, bfloat16, eight or four bits. Reading the matrix is what takes the time, so it is read
   once, in the form it is kept in, for all rows; every sum has the same order whatever the number of rows.

   Whole numbers: a row is cut into groups of 64, each with a scale of its own, and rounded to eight bits; products and sums within a group
   are exact. The weights of sixteen outputs lie together, four inputs of each by turns, as the instruction takes them. They are kept
   without sign (128 or 8 is zero), since it takes one factor without; what that adds to a sum is taken off at its start. */
#define _GNU_SOURCE
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif
#include <stddef.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "linear.h"

/* Threads look for a short while, as long as a step's parts differ; then they sleep, for another process may have the core that all wait
   for. */
#define LOOKS 2000

#if defined(__linux__)
static void sleep_on(int32_t *round, int32_t value) { syscall(SYS_futex, round, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void wake(int32_t *round) { syscall(SYS_futex, round, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0); }
#else
static void sleep_on(int32_t *round, int32_t value) { (void)round, (void)value, sched_yield(); }
static void wake(int32_t *round) { (void)round; }
#endif

void meet(Meeting *meeting, int64_t threads) {
    if (threads == 1) return;
    int32_t round = __atomic_load_n(&meeting->round, __ATOMIC_SEQ_CST);
    if (__atomic_add_fetch(&meeting->arrived, 1, __ATOMIC_SEQ_CST) == threads) {
        __atomic_store_n(&meeting->arrived, 0, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&meeting->round, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&meeting->asleep, __ATOMIC_SEQ_CST)) wake(&meeting->round);
        return;
    }
    for (int i = 0; i < LOOKS; i++) {
        if (__atomic_load_n(&meeting->round, __ATOMIC_ACQUIRE) != round) return;
#if defined(__x86_64__)
        _mm_pause();
#endif
    }
    __atomic_fetch_add(&meeting->asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&meeting->round, __ATOMIC_SEQ_CST) == round) sleep_on(&meeting->round, round);
    __atomic_fetch_sub(&meeting->asleep, 1, __ATOMIC_SEQ_CST);
}

static inline float total(vec x) {
    float sum[4] = {0};
    for (int i = 0; i < 4; i++) sum[i] = (x[i] + x[i + 8]) + (x[i + 4] + x[i + 12]);
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

static inline float from_bfloat16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

/* Rows for whole numbers: int8 [in], float scales [in / 64], and what each group's sums begin with, int32 [in / 64]. */
#define SCALES(row, in) ((float *)((row) + (in)))
#define STARTS(row, in) ((int32_t *)((row) + (in) + (in) / 16))

static void quantize(const float *x, int64_t in, int32_t zero, char *row) {
    for (int64_t g = 0; g < in / GROUP; g++, x += GROUP) {
        int8_t *q = (int8_t *)row + g * GROUP;
        float most = 0;
        int32_t sum = 0;
#pragma omp simd reduction(max : most)
        for (int i = 0; i < GROUP; i++) {
            float size = x[i] < 0 ? -x[i] : x[i];
            most = size > most ? size : most;
        }
        float inverse = most > 1e-30f ? 127.0f / most : 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < GROUP; i++) {
            float value = x[i] * inverse;
            int32_t whole = (int32_t)(value + (value < 0 ? -0.5f : 0.5f));
            q[i] = (int8_t)whole;
            sum += whole;
        }
        SCALES(row, in)[g] = most / 127.0f;
        STARTS(row, in)[g] = -zero * sum;
    }
}

void prepare(int64_t kind, const Linear *linear, const float *x, int64_t rows, int64_t width, char *to) {
    int64_t in = linear->in;
    float padded[in] __attribute__((aligned(64)));
    for (int64_t r = 0; r < rows; r++, x += width, to += ROW(in)) {
        const float *from = x;
        if (width < in) {
            memcpy(padded, x, 4 * width);
            memset(padded + width, 0, 4 * (in - width));
            from = padded;
        }
        float *row = (float *)to;
        if (kind == FLOAT32) memcpy(row, from, 4 * in);
        else if (kind == BFLOAT16) { /* of 32, first those of even places, then of odd: so they come out of pairs of weights */
            for (int64_t i = 0; i < in; i += 32)
                for (int j = 0; j < 16; j++) row[i + j] = from[i + 2 * j], row[i + 16 + j] = from[i + 2 * j + 1];
        } else quantize(from, in, kind == INT8 ? 128 : 8, to);
    }
}

/* sums + the products of sixteen outputs' next four weights with four values of a row, each a byte of `four`. */
static inline ints four_more(ints sums, ints weights, int32_t four) {
#if defined(__AVX512VNNI__)
    return (ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)weights, _mm512_set1_epi32(four));
#elif defined(__AVX2__)
    union { ints all; __m256i half[2]; } w = {weights}, s = {sums};
    __m256i x = _mm256_set1_epi32(four);
    for (int i = 0; i < 2; i++) {
        __m256i even = _mm256_madd_epi16(_mm256_and_si256(w.half[i], _mm256_set1_epi16(255)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
        __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(w.half[i], 8), _mm256_srai_epi16(x, 8));
        s.half[i] = _mm256_add_epi32(s.half[i], _mm256_add_epi32(even, odd));
    }
    return s.all;
#else
    for (int i = 0; i < 32; i += 8) sums += ((weights >> i) & 255) * (int32_t)(int8_t)(four >> i);
    return sums;
#endif
}

/* The products of O rows of weights with R rows. O and R are constants where these are called. */
#define DOT static inline __attribute__((always_inline)) void
#define EACH for (int o = 0; o < O; o++) for (int r = 0; r < R; r++)

DOT dot_float32(const Linear *l, int64_t first, const char *rows, float *out, int64_t stride, int add, int O, int R) {
    vec sums[4][4] = {0};
    const float *w = (const float *)l->weight + first * l->in, *x = (const float *)rows;
    for (int64_t i = 0; i < l->in; i += 16) EACH sums[o][r] += *(loose *)(w + o * l->in + i) * *(loose *)(x + r * (ROW(l->in) / 4) + i);
    EACH out[r * stride + o] = total(sums[o][r]) + (add ? out[r * stride + o] : 0);
}

DOT dot_bfloat16(const Linear *l, int64_t first, const char *rows, float *out, int64_t stride, int add, int O, int R) {
    vec sums[4][4] = {0};
    const uint16_t *w = (const uint16_t *)l->weight + first * l->in;
    const float *x = (const float *)rows;
    for (int64_t i = 0; i < l->in; i += 32)
        for (int o = 0; o < O; o++) {
            ints pairs = *(loose_ints *)(w + o * l->in + i);
            vec even = (vec)(pairs << 16), odd = (vec)(pairs & (int32_t)0xffff0000);
            for (int r = 0; r < R; r++) {
                sums[o][r] += even * *(loose *)(x + r * (ROW(l->in) / 4) + i);
                sums[o][r] += odd * *(loose *)(x + r * (ROW(l->in) / 4) + i + 16);
            }
        }
    EACH out[r * stride + o] = total(sums[o][r]) + (add ? out[r * stride + o] : 0);
}

#define MULTIPLY(name)                                                                                                                \
    static void multiply_##name(const Linear *l, const char *rows, int64_t count, int64_t begin, int64_t end, float *out,             \
                                int64_t stride, int add) {                                                                            \
        for (int64_t o = begin; o < end; o += o + 4 <= end ? 4 : 1)                                                                   \
            for (int64_t r = 0; r < count;) {                                                                                         \
                const char *from = rows + r * ROW(l->in);                                                                              \
                float *to = out + r * stride + o;                                                                                     \
                if (o + 4 > end) dot_##name(l, o, from, to, stride, add, 1, 1), r += 1;                                               \
                else if (count - r >= 4) dot_##name(l, o, from, to, stride, add, 4, 4), r += 4;                                       \
                else if (count - r >= 2) dot_##name(l, o, from, to, stride, add, 4, 2), r += 2;                                       \
                else dot_##name(l, o, from, to, stride, add, 4, 1), r += 1;                                                           \
            }                                                                                                                         \
    }
MULTIPLY(float32)
MULTIPLY(bfloat16)

/* Sums [R][16] of the sixteen outputs of a block with R rows; their scales are still to come. */
DOT block_int8(const Linear *l, int64_t block, const char *rows, vec *out, int R) {
    int64_t in = l->in;
    const char *w = (const char *)l->weight + block * 16 * in;
    vec sums[4] = {0};
    for (int64_t g = 0; g < in / GROUP; g++, w += 16 * GROUP) {
        ints whole[4];
        for (int r = 0; r < R; r++) whole[r] = (ints){0} + STARTS(rows + r * ROW(in), in)[g];
        for (int i = 0; i < GROUP / 4; i++) {
            ints weights = *(loose_ints *)(w + 64 * i);
            for (int r = 0; r < R; r++) whole[r] = four_more(whole[r], weights, ((const int32_t *)(rows + r * ROW(in)))[g * 16 + i]);
        }
        for (int r = 0; r < R; r++) sums[r] += SCALES(rows + r * ROW(in), in)[g] * __builtin_convertvector(whole[r], vec);
    }
    vec scale = *(loose *)((const float *)l->scale + block * 16);
    for (int r = 0; r < R; r++) out[r] = sums[r] * scale;
}

/* A byte is a weight of one four, low, and one of the next, high. */
DOT block_int4(const Linear *l, int64_t block, const char *rows, vec *out, int R) {
    int64_t in = l->in;
    const char *w = (const char *)l->weight + block * 8 * in;
    const uint16_t *scales = (const uint16_t *)l->scale + block * 16 * (in / GROUP);
    const ints low = (ints){0} + 0x0f0f0f0f;
    vec sums[4] = {0};
    for (int64_t g = 0; g < in / GROUP; g++, w += 8 * GROUP, scales += 16) {
        ints whole[4];
        for (int r = 0; r < R; r++) whole[r] = (ints){0} + STARTS(rows + r * ROW(in), in)[g];
        for (int i = 0; i < GROUP / 8; i++) {
            ints both = *(loose_ints *)(w + 64 * i), one = both & low, two = (both >> 4) & low;
            for (int r = 0; r < R; r++) {
                const int32_t *fours = (const int32_t *)(rows + r * ROW(in)) + g * 16 + 2 * i;
                whole[r] = four_more(four_more(whole[r], one, fours[0]), two, fours[1]);
            }
        }
        vec scale;
        for (int i = 0; i < 16; i++) scale[i] = from_bfloat16(scales[i]);
        for (int r = 0; r < R; r++) sums[r] += SCALES(rows + r * ROW(in), in)[g] * scale * __builtin_convertvector(whole[r], vec);
    }
    for (int r = 0; r < R; r++) out[r] = sums[r];
}

#define MULTIPLY_BLOCKS(name)                                                                                                         \
    static void multiply_##name(const Linear *l, const char *rows, int64_t count, int64_t begin, int64_t end, float *out,             \
                                int64_t stride, int add) {                                                                            \
        vec sums[4];                                                                                                                  \
        for (int64_t block = begin / 16; block * 16 < end; block++)                                                                   \
            for (int64_t r = 0, some; r < count; r += some) {                                                                         \
                const char *from = rows + r * ROW(l->in);                                                                              \
                some = count - r >= 4 ? 4 : count - r >= 2 ? 2 : 1;                                                                   \
                if (some == 4) block_##name(l, block, from, sums, 4);                                                                 \
                else if (some == 2) block_##name(l, block, from, sums, 2);                                                            \
                else block_##name(l, block, from, sums, 1);                                                                           \
                for (int i = 0; i < some; i++) place(sums[i], block * 16, begin, end, out + (r + i) * stride, add);                   \
            }                                                                                                                         \
    }

/* What of sixteen sums, from output `first` on, lies in begin .. end. */
static inline void place(vec sums, int64_t first, int64_t begin, int64_t end, float *out, int add) {
    if (begin <= first && first + 16 <= end) {
        loose *to = (loose *)(out + first);
        if (add) *to += sums;
        else *to = sums;
    } else
        for (int i = 0; i < 16; i++)
            if (begin <= first + i && first + i < end) out[first + i] = sums[i] + (add ? out[first + i] : 0);
}
MULTIPLY_BLOCKS(int8)
MULTIPLY_BLOCKS(int4)

void multiply(int64_t kind, const Linear *linear, const char *from, int64_t rows, int64_t begin, int64_t end, float *out,
              int64_t stride, int64_t add) {
    static void (*const of[])(const Linear *, const char *, int64_t, int64_t, int64_t, float *, int64_t, int) = {
        multiply_float32, multiply_bfloat16, multiply_int8, multiply_int4};
    of[kind](linear, from, rows, begin, end, out, stride, (int)add);
}

/* out [rows, linear.out] of x [rows, width]: a thread's share. scratch: ROW(in) bytes for each row and thread. */
void solfa_linear(int64_t kind, const Linear *linear, const float *x, int64_t rows, int64_t width, float *out, char *scratch,
                  Meeting *meeting, int64_t thread, int64_t threads) {
    char *mine = scratch + thread * rows * ROW(linear->in);
    prepare(kind, linear, x, rows, width, mine);
    int64_t begin = share(linear->out, thread, threads), end = share(linear->out, thread + 1, threads);
    multiply(kind, linear, mine, rows, begin, end, out, linear->out, 0);
    meet(meeting, threads);
}

void solfa_linear_team(const Team *team) {
    const int64_t *a = team->with;
    solfa_linear(a[0], (const Linear *)a[1], (const float *)a[2], a[3], a[4], (float *)a[5], (char *)a[6], (Meeting *)a[7],
                 team->number(), team->count());
}
