/* A convolution with seven taps, ten outputs at a time, by real Fourier transforms of sixteen inputs.

   Multiplied bin by bin, and each complex product made of three real ones (Gauss), ten outputs take 23 products for each pair of channels
   instead of 70. The products are 23 matrix products [tiles, in] x [in, out]; here are the sums before and after them. The bins of a
   tile lie in planes: 0 and 1 are the real bins 0 and 8; bin k = 1..7, r - i s, is r + s, r, s in 3 k - 1, 3 k, 3 k + 1. Round-off is
   that of the direct sum, within a factor of two: unlike Winograd's points, roots of unity do not enlarge it. */
#include <stdint.h>

#define C1 0.92387953251128674f /* cos(pi / 8) */
#define C3 0.38268343236508977f /* cos(3 pi / 8) */
#define HALF 0.70710678118654752f /* sqrt(1 / 2) */

/* Tile m reads the rows first(m) + dilation * (0 .. 15) of [rows, channels], and writes ten of the same. */
static inline int64_t first(int64_t m, int64_t dilation) { return m / dilation * 10 * dilation + m % dilation; }

/* out [23, tiles, channels], the planes `plane` floats apart, of in [rows, channels]. */
void solfa_fourier(float *out, const float *in, int64_t tiles, int64_t channels, int64_t dilation, int64_t plane) {
    int64_t step = dilation * channels;
    for (int64_t m = 0; m < tiles; m++) {
        const float *x = in + first(m, dilation) * channels;
        float *o = out + m * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) {
#define X(j) x[(j) * step + c]
#define O(k) o[(k) * plane + c]
#define BIN(k, r, s) O(3 * k - 1) = r + s; O(3 * k) = r; O(3 * k + 1) = s;
            float s0 = X(0) + X(8), s1 = X(1) + X(9), s2 = X(2) + X(10), s3 = X(3) + X(11);
            float s4 = X(4) + X(12), s5 = X(5) + X(13), s6 = X(6) + X(14), s7 = X(7) + X(15);
            float d0 = X(0) - X(8), d1 = X(1) - X(9), d2 = X(2) - X(10), d3 = X(3) - X(11);
            float d4 = X(4) - X(12), d5 = X(5) - X(13), d6 = X(6) - X(14), d7 = X(7) - X(15);
            /* odd bins, from the differences */
            float e1 = d1 - d7, e2 = HALF * (d2 - d6), e3 = d3 - d5, f1 = d1 + d7, f2 = HALF * (d2 + d6), f3 = d3 + d5;
            float p = d0 + e2, q = d0 - e2, u = C1 * e1 + C3 * e3, v = C3 * e1 - C1 * e3;
            float g = C3 * f1 + C1 * f3, h = C1 * f1 - C3 * f3;
            BIN(1, (p + u), (f2 + g + d4))
            BIN(7, (p - u), (g - f2 - d4))
            BIN(3, (q + v), (f2 + h - d4))
            BIN(5, (q - v), (h - f2 + d4))
            /* even bins: a transform of eight, from the sums */
            float a0 = s0 + s4, a1 = s1 + s5, a2 = s2 + s6, a3 = s3 + s7;
            float b0 = s0 - s4, b1 = s1 - s5, b2 = s2 - s6, b3 = s3 - s7;
            float w = HALF * (b1 - b3), z = HALF * (b1 + b3);
            BIN(2, (b0 + w), (z + b2))
            BIN(6, (b0 - w), (z - b2))
            BIN(4, (a0 - a2), (a1 - a3))
            O(0) = (a0 + a2) + (a1 + a3);
            O(1) = (a0 + a2) - (a1 + a3);
        }
    }
}

/* out [rows, channels] and bias of the products in [23, tiles, channels]: of sixteen values the last ten, which no wrap has reached. */
void solfa_fourier_back(float *out, const float *in, const float *bias, int64_t tiles, int64_t channels, int64_t dilation,
                        int64_t plane) {
    int64_t step = dilation * channels;
    for (int64_t m = 0; m < tiles; m++) {
        float *y = out + first(m, dilation) * channels;
        const float *o = in + m * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) {
#define RE(k) (O(3 * k - 1) - O(3 * k + 1))
#define IM(k) (O(3 * k - 1) + O(3 * k))
            float r0 = O(0) + bias[c], r8 = O(1);
            float r1 = RE(1), r2 = RE(2), r3 = RE(3), r4 = RE(4), r5 = RE(5), r6 = RE(6), r7 = RE(7);
            float i1 = IM(1), i2 = IM(2), i3 = IM(3), i4 = IM(4), i5 = IM(5), i6 = IM(6), i7 = IM(7);
            /* odd bins: cosines p, sines q; place n is p + q, place 8 - n is q - p, eight places on the sign changes */
            float a = r1 - r7, b = r3 - r5, s = r1 + r7, u = r3 + r5, v = i1 + i7, w = i3 + i5, x = i1 - i7, z = i3 - i5;
            float p0 = s + u, p1 = C1 * a + C3 * b, p2 = HALF * (s - u), p3 = C3 * a - C1 * b;
            float q1 = C3 * v + C1 * w, q2 = HALF * (x + z), q3 = C1 * v - C3 * w, q4 = x - z;
            /* even bins: the same for eight */
            float t = r2 + r6, k = HALF * (r2 - r6), l = HALF * (i2 + i6), n = i2 - i6;
            float even = r0 + r8, odd = r0 - r8;
            float g0 = even + r4, g1 = odd + i4, g2 = even - r4, g3 = odd - i4;
#define Y(n) y[(n) * step + c]
            Y(0) = (g2 - n) + (q2 - p2);
            Y(1) = (g3 - (l - k)) + (q1 - p1);
            Y(2) = (g0 + t) - p0;
            Y(3) = (g1 + (k + l)) - (p1 + q1);
            Y(4) = (g2 + n) - (p2 + q2);
            Y(5) = (g3 + (l - k)) - (p3 + q3);
            Y(6) = (g0 - t) - q4;
            Y(7) = (g1 - (k + l)) - (q3 - p3);
            Y(8) = (g2 - n) - (q2 - p2);
            Y(9) = (g3 - (l - k)) - (q1 - p1);
        }
    }
}
