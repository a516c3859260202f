#include <dualtape/core/callable.hpp>

namespace dualtape {

void detail::require_callable(bool there, const char* function, Location where) {
  if (there) return;
  fail<GraphError>({.op = function,
                    .what = "the function is null, or what was made of it has been moved from",
                    .where = where,
                    .help = "give a function of Vars, such as a lambda"});
}

}  // namespace dualtape
