#include <dualtape/models/clipping.hpp>

#include <cmath>
#include <string>
#include <utility>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape {
namespace {

void check_limit(std::string_view op, double limit, Location where = {}) {
  if (limit > 0 && std::isfinite(limit)) return;
  fail<ValueError>(
      {.op = op,
       .what = "the limit is " + std::to_string(limit) + ", but must be above 0 and finite",
       .where = where});
}

void check_method(std::string_view op, const GradientMethod& method, Location where) {
  if (!method)
    fail<ValueError>({.op = op,
                      .what = "the gradient method is an empty function",
                      .where = where,
                      .help = "give backpropagation(), or another one"});
}

// In float64, where squares of float32 neither overflow nor vanish. The derivative at 0 is 0, as
// that of norm().
Var norm_in_double(const Var& g) {
  if (g.dtype() == float64) return norm(g);
  const Var squares = sum(square(cast(g, float64)));
  const Var none = equal(squares, 0);
  return where(none, 0, sqrt(where(none, 1, squares)));
}

template <class Change>
Gradients changed(std::string_view op, const WrtList& wrt, const Gradients& gradients,
                  Location where, const Change& change) {
  Gradients result;
  if (gradients.size() == 0) return result;
  Graph& graph = gradients.all().front().graph();
  for (const Wrt& by : wrt) {
    const Var of = by.in(graph, op, where);
    result.add(by, of, change(gradients[Wrt(of, where)]));
  }
  return result;
}

}  // namespace

Gradients clip_by_value(const WrtList& wrt, const Gradients& gradients, double limit,
                        Location where) {
  check_limit("clip_by_value", limit, where);
  return changed("clip_by_value", wrt, gradients, where,
                 [&](Var g) { return clamp(g, -limit, limit); });
}

Var global_norm(const Gradients& gradients, Location where) {
  std::vector<Var> norms;
  for (const Var g : gradients.all()) norms.push_back(norm_in_double(g));
  if (norms.empty())
    fail<ValueError>({.op = "global_norm", .what = "there are no gradients", .where = where});
  return norms.size() == 1 ? norms[0] : norm(stack(norms));
}

Gradients clip_by_norm(const WrtList& wrt, const Gradients& gradients, double limit,
                       Location where) {
  check_limit("clip_by_norm", limit, where);
  if (gradients.size() == 0) return gradients;
  // |g| below the limit makes limit / limit, which is 1; maximum() passes a NaN on.
  const Var scale = limit / maximum(global_norm(gradients, where), limit);
  // In two steps where the scale is too small for float32: the first is a power of two.
  const Var tiny = scale < 0x1p-100;
  const Var first = dualtape::where(tiny, 0x1p-100, scale);
  const Var second = dualtape::where(tiny, scale * 0x1p100, 1);
  return changed("clip_by_norm", wrt, gradients, where,
                 [&](Var g) { return g * cast(first, g.dtype()) * cast(second, g.dtype()); });
}

GradientMethod clipped_by_value(GradientMethod method, double limit, Location where) {
  check_limit("clipped_by_value", limit, where);
  check_method("clipped_by_value", method, where);
  return [method = std::move(method), limit, where](Var loss, const std::vector<Wrt>& parameters,
                                                    Var key) {
    return clip_by_value(parameters, method(loss, parameters, key), limit, where);
  };
}

GradientMethod clipped_by_norm(GradientMethod method, double limit, Location where) {
  check_limit("clipped_by_norm", limit, where);
  check_method("clipped_by_norm", method, where);
  return [method = std::move(method), limit, where](Var loss, const std::vector<Wrt>& parameters,
                                                    Var key) {
    return clip_by_norm(parameters, method(loss, parameters, key), limit, where);
  };
}

}  // namespace dualtape
