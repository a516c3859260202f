// Pooling: the largest or the mean element of windows that slide over images.
//
// Images have shape (N, C, H, W) and results (N, C, H', W'), with H' = floor((H + 2 padding -
// window) / stride) + 1 and W' alike; with `ceil_mode` rounded up, so that a last window may reach
// over the end, as long as it begins in the image or the padding before it. float32 and float64,
// integers and bools become float32. Numbers, ties and padding follow PyTorch: padding never wins a
// maximum; the first of several equal largest elements of a window (row by row) has its whole
// derivative; a window with a NaN gives NaN. ShapeError for another rank, windows that do not fit,
// strides below 1 and padding of more than half a window. A graph may be built by one thread at a
// time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/size2d.hpp>

namespace dualtape {

struct PoolOptions {
  Size2d stride = 0;  // from one window to the next; 0 means the window's size
  Size2d padding = 0;
  // Averages divide by the whole window, padding included, but never by what lies beyond it.
  bool count_include_pad = true;
  bool ceil_mode = false;  // the last entries are seen, too, where windows do not come out even
};

Var max_pool2d(In x, Size2d window, const PoolOptions& options = {});
Var avg_pool2d(In x, Size2d window, const PoolOptions& options = {});

// The same for sequences of shape (N, C, L); of the options the columns count.
Var max_pool1d(In x, std::int64_t window, const PoolOptions& options = {});
Var avg_pool1d(In x, std::int64_t window, const PoolOptions& options = {});

// To `size` whatever the size of x is: output i of n sees the entries from floor(i H / n) up to
// ceil((i + 1) H / n), so windows may overlap.
Var adaptive_avg_pool2d(In x, Size2d size);
Var adaptive_max_pool2d(In x, Size2d size);

// One number of each channel: (N, C, H, W) gives (N, C). The mean, and the largest (the first one
// has the derivative).
Var global_avg_pool(In x);
Var global_max_pool(In x);

// What the derivatives above are made of. t in the shape of x, at the place of each window's
// largest x; linear in t, and x is held constant.
Var max_pool2d_select(In x, In t, Size2d window, const PoolOptions& options = {});
// Its transpose: the pooled t, added up at the places of the largest x, elsewhere zero.
Var max_pool2d_scatter(In x, In t, Size2d window, const PoolOptions& options = {});
// The transpose of avg_pool2d: the pooled t, divided among the elements of its window; rows and
// columns of the result are `size`.
Var avg_pool2d_spread(In t, Size2d size, Size2d window, const PoolOptions& options = {});

}  // namespace dualtape
