#include <dualtape/models/initialise.hpp>

#include <cmath>
#include <string>
#include <utility>

namespace dualtape {
namespace {

using Rule = Initialiser::Rule;

Fans fans_of(const Shape& shape, std::string_view rule, Location where) {
  if (shape.rank() != 2 || shape.count() == 0)
    fail<ShapeError>(
        {.op = rule,
         .what = "a weight of shape " + to_string(shape) + " has no number of inputs and outputs",
         .where = where,
         .help = "shapes are (fan_in, fan_out), both above 0"});
  return {static_cast<double>(shape[0]), static_cast<double>(shape[1])};
}

// Sizes are whole.
std::string number(double size) {
  return size == std::floor(size) && std::abs(size) < 1e15
             ? std::to_string(static_cast<std::int64_t>(size))
             : std::to_string(size);
}

bool needs_fans(Rule rule) {
  return rule != Rule::zeros && rule != Rule::uniform && rule != Rule::normal;
}

void check_fans(Fans fans, const Shape& shape, Rule rule, Location where) {
  if (fans.in > 0 && fans.out > 0) return;
  fail<ShapeError>({.op = name_of(rule),
                    .what = "a weight of shape " + to_string(shape) + " with " + number(fans.in) +
                            " inputs and " + number(fans.out) + " outputs",
                    .where = where,
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

void check(const Initialiser& initialiser, Location where) {
  if (name_of(initialiser.rule).empty())
    fail<ValueError>({.op = "Initialiser",
                      .what = "there is no rule of the number " +
                              std::to_string(static_cast<int>(initialiser.rule)),
                      .where = where,
                      .help = "dt::Initialiser::Rule::he_uniform, or another one"});
  if (!std::isfinite(initialiser.scale) || initialiser.scale < 0)
    fail<ValueError>({.op = name_of(initialiser.rule),
                      .what = "the scale is " + std::to_string(initialiser.scale) +
                              ", but must be finite and at least 0",
                      .where = where});
}

void check_dtype(DType dtype, Rule rule, Location where) {
  detail::check_dtype(name_of(rule), dtype, where);
  if (is_floating(dtype)) return;
  fail<TypeError>({.op = name_of(rule),
                   .what = "weights cannot be " + std::string(name_of(dtype)),
                   .where = where,
                   .help = "draw them in float32 or float64"});
}

Tensor draw(const Initialiser& initialiser, double spread, Key key, Shape shape, DType dtype,
            Location where) {
  check(initialiser, where);
  check_dtype(dtype, initialiser.rule, where);
  const double width = initialiser.scale * spread;
  if (is_normal(initialiser.rule)) return normal(key, std::move(shape), 0, width, dtype, where);
  if (initialiser.rule == Rule::zeros) return zeros(std::move(shape), dtype, where);
  return uniform(key, std::move(shape), -width, width, dtype, where);
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

Tensor Initialiser::weight(Key key, Shape shape, DType dtype, Location where) const {
  const double spread =
      needs_fans(rule) ? spread_of(rule, fans_of(shape, name_of(rule), where)) : 1;
  return draw(*this, spread, key, std::move(shape), dtype, where);
}

Tensor Initialiser::bias(Key key, const Shape& weight_shape, DType dtype, Location where) const {
  const Fans fans = fans_of(weight_shape, name_of(rule), where);
  return bias(key, Shape{weight_shape[1]}, fans, dtype, where);
}

Tensor Initialiser::weight(Key key, Shape shape, Fans fans, DType dtype, Location where) const {
  check_fans(fans, shape, rule, where);
  return draw(*this, spread_of(rule, fans), key, std::move(shape), dtype, where);
}

Tensor Initialiser::bias(Key key, Shape shape, Fans fans, DType dtype, Location where) const {
  check_fans(fans, shape, rule, where);
  check_dtype(dtype, rule, where);
  if (rule != Rule::torch_default) return zeros(std::move(shape), dtype, where);
  return draw(*this, spread_of(rule, fans), key, std::move(shape), dtype, where);
}

Tensor glorot_uniform(Key key, Shape shape, DType dtype, Location where) {
  return Initialiser(Rule::glorot_uniform).weight(key, std::move(shape), dtype, where);
}
Tensor glorot_normal(Key key, Shape shape, DType dtype, Location where) {
  return Initialiser(Rule::glorot_normal).weight(key, std::move(shape), dtype, where);
}
Tensor he_uniform(Key key, Shape shape, DType dtype, Location where) {
  return Initialiser(Rule::he_uniform).weight(key, std::move(shape), dtype, where);
}
Tensor he_normal(Key key, Shape shape, DType dtype, Location where) {
  return Initialiser(Rule::he_normal).weight(key, std::move(shape), dtype, where);
}

}  // namespace dualtape
