#include <stdint.h>
#include <string.h>

/* exp(x) - 1 for x <= 88, to 1 part in 10^7 of the larger of itself and x: x = n log 2 + r, then powers of r (Cephes). */
static inline float exp_less_1(float x) {
    const float round = 12582912.0f;
    x = x < -87.0f ? -87.0f : x;
    float n = (x * 1.44269504088896341f + round) - round;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 0.5f;
    float e = r + r * r * p;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power; /* 2^n */
    memcpy(&power, &bits, 4);
    return power * e + (power - 1.0f);
}
