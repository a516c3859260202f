#include <dualtape/modes/walk/vars.hpp>

#include <string>

namespace dualtape::detail {

std::vector<Var> joined(std::initializer_list<std::span<const Var>> parts) {
  std::vector<Var> all;
  for (const std::span<const Var> part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<Type> types_of(std::span<const Var> vars) {
  std::vector<Type> types;
  for (const Var& var : vars) types.push_back(var.type());
  return types;
}

void require_taken(const Inference& inference, std::size_t operand, const Type& wanted,
                   std::string_view name) {
  const Type& given = inference.in[operand];
  if (given == wanted) return;
  const std::string seen = "operand " + std::to_string(operand) + " of '" + std::string(name) +
                           "' is " + to_string(wanted) + ", got " + to_string(given);
  if (given.shape != wanted.shape) inference.shape_error(seen);
  inference.type_error(seen, "cast the operand");
}

void require_derivable(Var var, const char* function, const char* what, Location where) {
  require_alive(var, function, what, where);
  if (is_floating(var.dtype())) return;
  fail<TypeError>({.op = function,
                   .label = var.label(),
                   .what = std::string(what) + " is " + to_string(var.type()) +
                           ", and only float32 and float64 have derivatives",
                   .where = where,
                   .help = "convert it with to(dt::float64)"});
}

}  // namespace dualtape::detail
