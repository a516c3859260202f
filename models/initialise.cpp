#include <dualtape/models/initialise.hpp>

#include <cmath>
#include <string>
#include <utility>

namespace dualtape {
namespace {

using Rule = Initialiser::Rule;

Fans fans_of(const Shape& shape, std::string_view rule) {
  if (shape.rank() != 2 || shape.count() == 0)
    fail<ShapeError>(
        {.op = rule,
         .what = "a weight of shape " + to_string(shape) + " has no number of inputs and outputs",
         .help = "shapes are (fan_in, fan_out), both above 0"});
  return {static_cast<double>(shape[0]), static_cast<double>(shape[1])};
}

bool needs_fans(Rule rule) {
  return rule != Rule::zeros && rule != Rule::uniform && rule != Rule::normal;
}

void check_fans(Fans fans, const Shape& shape, Rule rule) {
  if (fans.in > 0 && fans.out > 0) return;
  fail<ShapeError>({.op = name_of(rule),
                    .what = "a weight of shape " + to_string(shape) + " with " +
                            std::to_string(fans.in) + " inputs and " + std::to_string(fans.out) +
                            " outputs",
                    .help = "both must be above 0"});
}

// The bound of a uniform rule, the standard deviation of a normal one.
double spread_of(Rule rule, Fans fans) {
  if (!needs_fans(rule)) return 1;
  switch (rule) {
    case Rule::glorot_uniform: return std::sqrt(6 / (fans.in + fans.out));
    case Rule::glorot_normal: return std::sqrt(2 / (fans.in + fans.out));
    case Rule::he_uniform: return std::sqrt(6 / fans.in);
    case Rule::he_normal: return std::sqrt(2 / fans.in);
    default: return 1 / std::sqrt(fans.in);
  }
}

bool is_normal(Rule rule) {
  return rule == Rule::normal || rule == Rule::glorot_normal || rule == Rule::he_normal;
}

void check(const Initialiser& initialiser) {
  if (!std::isfinite(initialiser.scale) || initialiser.scale < 0)
    fail<ValueError>({.op = name_of(initialiser.rule),
                      .what = "the scale is " + std::to_string(initialiser.scale) +
                              ", but must be finite and at least 0"});
}

Tensor draw(const Initialiser& initialiser, double spread, Shape shape, Key key, DType dtype) {
  check(initialiser);
  const double width = initialiser.scale * spread;
  if (is_normal(initialiser.rule)) return normal(key, std::move(shape), 0, width, dtype);
  if (initialiser.rule == Rule::zeros) return zeros(std::move(shape), dtype);
  return uniform(key, std::move(shape), -width, width, dtype);
}

}  // namespace

std::string_view name_of(Rule rule) {
  switch (rule) {
    case Rule::zeros: return "zeros";
    case Rule::uniform: return "uniform";
    case Rule::normal: return "normal";
    case Rule::glorot_uniform: return "glorot_uniform";
    case Rule::glorot_normal: return "glorot_normal";
    case Rule::he_uniform: return "he_uniform";
    case Rule::he_normal: return "he_normal";
    case Rule::torch_default: return "torch_default";
  }
  return "";
}

Tensor Initialiser::weight(Shape shape, Key key, DType dtype) const {
  const double spread = needs_fans(rule) ? spread_of(rule, fans_of(shape, name_of(rule))) : 1;
  return draw(*this, spread, std::move(shape), key, dtype);
}

Tensor Initialiser::bias(const Shape& weight_shape, Key key, DType dtype) const {
  const Fans fans = fans_of(weight_shape, name_of(rule));
  return bias(Shape{weight_shape[1]}, fans, key, dtype);
}

Tensor Initialiser::weight(Shape shape, Fans fans, Key key, DType dtype) const {
  check_fans(fans, shape, rule);
  return draw(*this, spread_of(rule, fans), std::move(shape), key, dtype);
}

Tensor Initialiser::bias(Shape shape, Fans fans, Key key, DType dtype) const {
  check_fans(fans, shape, rule);
  if (rule != Rule::torch_default) return zeros(std::move(shape), dtype);
  return draw(*this, spread_of(rule, fans), std::move(shape), key, dtype);
}

Tensor glorot_uniform(Shape shape, Key key, DType dtype) {
  return Initialiser(Rule::glorot_uniform).weight(std::move(shape), key, dtype);
}
Tensor glorot_normal(Shape shape, Key key, DType dtype) {
  return Initialiser(Rule::glorot_normal).weight(std::move(shape), key, dtype);
}
Tensor he_uniform(Shape shape, Key key, DType dtype) {
  return Initialiser(Rule::he_uniform).weight(std::move(shape), key, dtype);
}
Tensor he_normal(Shape shape, Key key, DType dtype) {
  return Initialiser(Rule::he_normal).weight(std::move(shape), key, dtype);
}

}  // namespace dualtape
