/* Steps of a decoder transformer: of a few sequences, each at a place of its own, through all layers in one call of each thread.

   Threads share the outputs of every product; attention heads stay with the thread that made their queries, keys and values. What is
   cheap (norms, rounding) every thread does for itself. A sequence's past lies in its own buffers, so rows do not see each other: a row
   gives the same bits whatever stands beside it. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "linear.h"

typedef struct {
    const float *norm_self[2], *norm_cross[2], *norm_feed[2]; /* weight and bias */
    Linear qkv, out, cross_q, cross_out, up, down;
} Block;

typedef struct {
    int64_t layers, width, heads, inner, kind;
    int64_t half; /* keys and values are kept in bfloat16 */
    const Block *blocks;
    const float *norm[2];
} Decoder;

/* Keys and values, [layers, heads, 2, capacity * d]. capacity: a multiple of 16. Keys lie in blocks of sixteen places, [d, 16]; in bfloat16
   [d / 2, 16, 2]; values one place after the other. */
typedef struct {
    char *data;
    int64_t capacity, length;
} Cache;

typedef struct {
    Cache past, memory;
} Sequence;

static void norm(const float *x, int64_t rows, int64_t width, const float *const weights[2], float *out) {
    for (int64_t r = 0; r < rows; r++, x += width, out += width) {
        float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++) sum += x[i];
        float mean = sum / (float)width;
#pragma omp simd reduction(+ : square)
        for (int64_t i = 0; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
        float scale = 1.0f / sqrtf(square / (float)width + 1e-5f);
#pragma omp simd
        for (int64_t i = 0; i < width; i++) out[i] = (x[i] - mean) * scale * weights[0][i] + weights[1][i];
    }
}

/* x / 2 (1 + erf(x / sqrt 2)), the error function as Abramowitz and Stegun 7.1.26, to 2 parts in 10^7. */
static void gelu(float *x, int64_t size) {
#pragma omp simd
    for (int64_t i = 0; i < size; i++) {
        float v = x[i], z = (v < 0 ? -v : v) * 0.70710678118654752f, t = 1.0f / (1.0f + 0.3275911f * z);
        float p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
        float rest = 0.5f * p * (exp_less_1(-z * z) + 1.0f); /* of the side of zero that v is not on */
        x[i] = v * (v < 0 ? rest : 1.0f - rest);
    }
}

static inline uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float wide(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static char *head_of(const Cache *cache, const Decoder *d, int64_t layer, int64_t head) {
    int64_t size = d->width / d->heads, bytes = d->half ? 2 : 4;
    return cache->data + (layer * d->heads + head) * 2 * cache->capacity * size * bytes;
}

/* One key and one value [d] into a head's part of a cache. */
static void keep(char *at, int64_t half, int64_t capacity, int64_t size, int64_t place, const float *key, const float *value) {
    int64_t block = place / 16 * 16 * size, lane = place % 16;
    if (half) {
        uint16_t *keys = (uint16_t *)at + block, *values = (uint16_t *)at + (capacity + place) * size;
        for (int64_t i = 0; i < size; i++) keys[i / 2 * 32 + lane * 2 + i % 2] = to_bfloat16(key[i]);
        for (int64_t i = 0; i < size; i++) values[i] = to_bfloat16(value[i]);
    } else {
        float *keys = (float *)at + block, *values = (float *)at + (capacity + place) * size;
        for (int64_t i = 0; i < size; i++) keys[i * 16 + lane] = key[i];
        memcpy(values, value, 4 * size);
    }
}

/* scores [blocks * 16] of a query, already scaled. half is a constant where this is called, as in mix. */
static inline __attribute__((always_inline)) void score(const char *at, int half, int64_t size, int64_t blocks, const float *query, float *scores) {
    for (int64_t first = 0; first < blocks; first += 4) {
        vec sums[4] = {0};
        int64_t count = blocks - first < 4 ? blocks - first : 4;
        const char *of[4]; /* a block that is not there stands for the last one: its sums are not kept */
        for (int b = 0; b < 4; b++) of[b] = at + (first + (b < count ? b : count - 1)) * 16 * size * (half ? 2 : 4);
        if (half)
            for (int64_t i = 0; i < size; i += 2)
                for (int b = 0; b < 4; b++) {
                    ints pairs = *(loose_ints *)(of[b] + i * 32);
                    sums[b] += query[i] * (vec)(pairs << 16);
                    sums[b] += query[i + 1] * (vec)(pairs & (int32_t)0xffff0000);
                }
        else
            for (int64_t i = 0; i < size; i++)
                for (int b = 0; b < 4; b++) sums[b] += query[i] * *(loose *)(of[b] + i * 64);
        for (int b = 0; b < count; b++) *(loose *)(scores + (first + b) * 16) = sums[b];
    }
}

/* scores [length] to shares that sum to one. */
static void softmax(float *scores, int64_t length) {
    float most = scores[0], sum = 0;
#pragma omp simd reduction(max : most)
    for (int64_t t = 0; t < length; t++) most = scores[t] > most ? scores[t] : most;
#pragma omp simd reduction(+ : sum)
    for (int64_t t = 0; t < length; t++) {
        scores[t] = exp_less_1(scores[t] - most) + 1.0f;
        sum += scores[t];
    }
    float inverse = 1.0f / sum;
#pragma omp simd
    for (int64_t t = 0; t < length; t++) scores[t] *= inverse;
}

/* out [size] = the values of a head by their shares; 64 of its channels at a time, then what is left. */
static inline __attribute__((always_inline)) void mix(const char *at, int half, int64_t capacity, int64_t size, int64_t length,
                                                      const float *shares, float *out) {
    const uint16_t *halves = (const uint16_t *)at + capacity * size;
    const float *floats = (const float *)at + capacity * size;
    int64_t i = 0;
    for (; i + 64 <= size; i += 64) {
        vec sums[4] = {0};
        for (int64_t t = 0; t < length; t++) {
            if (half) {
                ints one = *(loose_ints *)(halves + t * size + i), two = *(loose_ints *)(halves + t * size + i + 32);
                sums[0] += shares[t] * (vec)(one << 16);
                sums[1] += shares[t] * (vec)(one & (int32_t)0xffff0000);
                sums[2] += shares[t] * (vec)(two << 16);
                sums[3] += shares[t] * (vec)(two & (int32_t)0xffff0000);
            } else
                for (int j = 0; j < 4; j++) sums[j] += shares[t] * *(loose *)(floats + t * size + i + 16 * j);
        }
        for (int j = 0; j < 4; j++)
            for (int n = 0; n < 16; n++) out[half ? i + 32 * (j / 2) + 2 * n + j % 2 : i + 16 * j + n] = sums[j][n];
    }
    for (; i < size; i++) {
        float sum = 0;
        for (int64_t t = 0; t < length; t++) sum += shares[t] * (half ? wide(halves[t * size + i]) : floats[t * size + i]);
        out[i] = sum;
    }
}

static void attend(const Decoder *d, const Cache *cache, int64_t layer, int64_t head, int64_t length, float *query, float *scores,
                   float *out) {
    int64_t size = d->width / d->heads;
    const char *at = head_of(cache, d, layer, head);
    float scale = 1.0f / sqrtf((float)size);
    for (int64_t i = 0; i < size; i++) query[i] *= scale;
    int64_t blocks = (length + 15) / 16, room = cache->capacity;
    if (d->half) {
        score(at, 1, size, blocks, query, scores);
        softmax(scores, length);
        mix(at, 1, room, size, length, scores, out);
    } else {
        score(at, 0, size, blocks, query, scores);
        softmax(scores, length);
        mix(at, 0, room, size, length, scores, out);
    }
}

/* Pairs (i, i + size / 2), turned by cosines and sines [2, size / 2]. */
static void turn(float *x, const float *turns, int64_t size) {
    int64_t half = size / 2;
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = x[half + i], c = turns[i], s = turns[half + i];
        x[i] = a * c - b * s, x[half + i] = b * c + a * s;
    }
}

typedef struct {
    const Decoder *d;
    const Sequence *sequences;
    int64_t steps, rows;
    float *x, *wide, *mixed, *inner; /* of all threads: [rows, D], [rows, 3 D], [rows, D], [rows, inner] */
    float *normed, *scores;          /* of this one: [rows, D] and a score for each place */
    char *ready;                     /* rows prepared for a product */
    const float *turns;
    Meeting *meeting;
    int64_t thread, threads;
} Run;

static void part(const Run *run, int64_t size, int64_t *begin, int64_t *end) {
    *begin = share(size, run->thread, run->threads), *end = share(size, run->thread + 1, run->threads);
}

/* x += the product of a thread's share of rows that all threads have made. */
static void back(const Run *run, const Linear *linear, const float *from, int64_t width) {
    int64_t begin, end;
    part(run, run->d->width, &begin, &end);
    meet(run->meeting, run->threads);
    prepare(run->d->kind, linear, from, run->rows, width, run->ready);
    multiply(run->d->kind, linear, run->ready, run->rows, begin, end, run->x, run->d->width, 1);
    meet(run->meeting, run->threads);
}

static void ready(const Run *run, const Linear *linear, const float *const weights[2]) {
    norm(run->x, run->rows, run->d->width, weights, run->normed);
    prepare(run->d->kind, linear, run->normed, run->rows, run->d->width, run->ready);
}

static void attend_to_past(const Run *run, const Block *block, int64_t layer) {
    const Decoder *d = run->d;
    int64_t begin, end, size = d->width / d->heads, D = d->width;
    part(run, d->heads, &begin, &end);
    ready(run, &block->qkv, block->norm_self);
    for (int64_t i = 0; i < 3; i++)
        multiply(d->kind, &block->qkv, run->ready, run->rows, i * D + begin * size, i * D + end * size, run->wide, 3 * D, 0);
    for (int64_t r = 0; r < run->rows; r++) {
        const Cache *past = &run->sequences[r / run->steps].past;
        for (int64_t head = begin; head < end; head++) {
            float *query = run->wide + r * 3 * D + head * size, *key = query + D;
            if (run->turns) {
                turn(query, run->turns + r * size, size);
                turn(key, run->turns + r * size, size);
            }
            int64_t place = past->length + r % run->steps;
            keep(head_of(past, d, layer, head), d->half, past->capacity, size, place, key, key + D);
            attend(d, past, layer, head, place + 1, query, run->scores, run->mixed + r * D + head * size);
        }
    }
    back(run, &block->out, run->mixed, D);
}

static void attend_to_memory(const Run *run, const Block *block, int64_t layer) {
    const Decoder *d = run->d;
    int64_t begin, end, size = d->width / d->heads, D = d->width;
    part(run, d->heads, &begin, &end);
    ready(run, &block->cross_q, block->norm_cross);
    multiply(d->kind, &block->cross_q, run->ready, run->rows, begin * size, end * size, run->wide, D, 0);
    for (int64_t r = 0; r < run->rows; r++) {
        const Cache *memory = &run->sequences[r / run->steps].memory;
        for (int64_t head = begin; head < end; head++) {
            int64_t at = r * D + head * size;
            if (memory->length) attend(d, memory, layer, head, memory->length, run->wide + at, run->scores, run->mixed + at);
            else memset(run->mixed + at, 0, 4 * size); /* told nothing: zeros, which add nothing */
        }
    }
    back(run, &block->cross_out, run->mixed, D);
}

static void feed(const Run *run, const Block *block) {
    const Decoder *d = run->d;
    int64_t begin, end;
    part(run, d->inner, &begin, &end);
    ready(run, &block->up, block->norm_feed);
    multiply(d->kind, &block->up, run->ready, run->rows, begin, end, run->inner, d->inner, 0);
    for (int64_t r = 0; r < run->rows; r++) gelu(run->inner + r * d->inner + begin, end - begin);
    back(run, &block->down, run->inner, d->inner);
}

/* x [count * steps, D], the next steps of each sequence one after the other, to what the last norm gives of them. Writes the sequences'
   caches; their lengths stay. turns [count * steps, 2, d / 2] or none. shared: rows * (4 D + inner) floats; own: a part for each thread,
   `room` floats apart, of rows * D, then `longest`, the largest capacity of a cache, then rows * ROW(in) / 4 of the widest matrix. */
void solfa_decode(const Decoder *d, const Sequence *sequences, int64_t count, int64_t steps, float *x, const float *turns, float *shared,
                  float *own, int64_t room, int64_t longest, Meeting *meeting, int64_t thread, int64_t threads) {
    int64_t rows = count * steps, D = d->width, listening = 0;
    for (int64_t i = 0; i < count; i++) listening += sequences[i].memory.length;
    float *mixed = shared + rows * 3 * D, *normed = own + thread * room;
    float *scores = normed + rows * D, *ready = scores + longest;
    Run run = {d, sequences, steps, rows, x, shared, mixed, mixed + rows * D, normed, scores, (char *)ready, turns, meeting, thread, threads};
    for (int64_t layer = 0; layer < d->layers; layer++) {
        const Block *block = d->blocks + layer;
        attend_to_past(&run, block, layer);
        if (listening) attend_to_memory(&run, block, layer);
        feed(&run, block);
    }
    norm(x, rows, D, d->norm, normed);
    meet(meeting, threads); /* all have read x */
    if (thread == 0) memcpy(x, normed, 4 * rows * D);
    meet(meeting, threads);
}

/* Keys and values [rows, 2 D] of a layer, into a cache from its beginning. */
void solfa_remember(const Decoder *d, const Cache *cache, int64_t layer, const float *both, int64_t rows) {
    int64_t size = d->width / d->heads;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t head = 0; head < d->heads; head++) {
            const float *key = both + r * 2 * d->width + head * size;
            keep(head_of(cache, d, layer, head), d->half, cache->capacity, size, r, key, key + d->width);
        }
}

void solfa_decode_team(const Team *team) {
    const int64_t *a = team->with;
    solfa_decode((const Decoder *)a[0], (const Sequence *)a[1], a[2], a[3], (float *)a[4], (const float *)a[5], (float *)a[6], (float *)a[7],
                 a[8], a[9], (Meeting *)a[10], team->number(), team->count());
}
