/* Products of a few rows with a matrix that is read once; see linear.c. */
#include <stdint.h>

enum { FLOAT32, BFLOAT16, INT8, INT4 };
#define GROUP 64 /* values of a row that share a scale */

typedef float vec __attribute__((vector_size(64)));
typedef float loose __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(64)));
typedef int32_t loose_ints __attribute__((vector_size(64), aligned(1), may_alias));

/* A matrix [out, in], by kind: float or bfloat16 rows, in a multiple of 16 or 32; INT8, uint8 [out / 16, in / 4, 16, 4] and float scales
   [out]; INT4, the same with two bytes in one, [out / 16, in / 8, 16, 4], and bfloat16 scales [out / 16, in / 64, 16], in a multiple of
   64. Padding, of rows and of outputs to sixteen, is zeros. */
typedef struct {
    const void *weight, *scale;
    int64_t out, in;
} Linear;

#define INSIDE __attribute__((visibility("hidden"))) /* a function of ours alone */

/* Bytes of a row prepared for a product: never a multiple of 4 KiB, or all rows would want the same few lines of the cache. */
#define ROW(in) (4 * (in) + 64)

INSIDE void prepare(int64_t kind, const Linear *linear, const float *x, int64_t rows, int64_t width, char *to);

/* out[r, begin .. end), or out += where `add`, of prepared rows. stride: floats from row to row of out. */
INSIDE void multiply(int64_t kind, const Linear *linear, const char *from, int64_t rows, int64_t begin, int64_t end, float *out,
              int64_t stride, int64_t add);

/* Where threads wait for each other; zeros at first. */
typedef struct {
    int32_t arrived, round, asleep;
} Meeting;

/* Wait until all threads are here. */
INSIDE void meet(Meeting *meeting, int64_t threads);

/* A call that a team of OpenMP makes: its arguments, and what tells a thread its number and how many they are. */
typedef struct {
    int (*number)(void), (*count)(void);
    const int64_t *with;
} Team;

/* What a thread does of `size` things: from, and up to. */
static inline int64_t share(int64_t size, int64_t thread, int64_t threads) { return size * thread / threads; }
