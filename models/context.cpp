#include <dualtape/models/context.hpp>

#include <dualtape/ops/random.hpp>

namespace dualtape::nn {

Var Context::next_key(Location where) {
  if (!key.defined())
    fail<GraphError>({.op = "Context",
                      .what = "a layer draws random numbers, but there is no key",
                      .where = where,
                      .help = "set context.key to an int64 scalar that differs in every step, such "
                              "as graph.input(\"key\", {}, dt::int64)"});
  return fold_key({key, where}, {draws++, where});
}

}  // namespace dualtape::nn
