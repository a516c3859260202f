// Dropout (Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
// JMLR 2014), in the form that scales while training. A graph may be built by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>
#include <dualtape/core/random.hpp>

namespace dualtape {

// Each element of x is 0 with probability p, else x / (1 - p). The choice depends on the key alone
// (an int64 scalar, as in ops/random.hpp): every mode and every run with that key drops the same
// elements; two calls with one key drop alike, so give each its own by fold_key. What is dropped is
// 0 whatever x is, NaN too. With p = 0 or without `training` the result is x itself. ValueError
// unless 0 <= p < 1; TypeError unless the key is int64.
Var dropout(In x, double p, In key, bool training = true);
Var dropout(In x, double p, Key key, bool training = true);

}  // namespace dualtape
