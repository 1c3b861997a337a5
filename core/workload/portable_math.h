// Logarithm and power from additions, multiplications and divisions alone. The C library's may differ in the last bit
// from one processor to the next, which is enough to make two machines draw different keys from the same seed.
//
// Errors: log2 below 2^-51 absolute, of the right sign and 0 only at 1; exp2 below 2^-50 relative. Arguments: log2 of
// normal numbers above 0, exp2 of -1000 to 1000.
#pragma once

namespace slipstream {

double portable_log2(double x);
double portable_exp2(double y);

inline double portable_pow(double x, double y) { return portable_exp2(y * portable_log2(x)); }

}  // namespace slipstream
