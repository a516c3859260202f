// Starting values of weights and biases, drawn from a key, which comes first as in all functions
// that draw. Plain functions; any thread may call.
//
// Weights have shape (fan_in, fan_out): fan_in inputs, fan_out outputs. The same key gives the same
// bits on every machine.
#pragma once

#include <cstdint>
#include <string_view>

#include <dualtape/core/random.hpp>

namespace dualtape {

// U(-a, a) with a = sqrt(6 / (fan_in + fan_out)), and N(0, 2 / (fan_in + fan_out)): Glorot and
// Bengio, AISTATS 2010. For activations that are linear around 0, such as tanh. All four throw
// ShapeError unless `shape` is (fan_in, fan_out) with both above 0, and TypeError unless `dtype` is
// float32 or float64.
Tensor glorot_uniform(Key key, Shape shape, DType dtype = float32,
                      Location where = Location::current());
Tensor glorot_normal(Key key, Shape shape, DType dtype = float32,
                     Location where = Location::current());

// U(-a, a) with a = sqrt(6 / fan_in), and N(0, 2 / fan_in): He, Zhang, Ren and Sun, ICCV 2015. For
// relu, which keeps half of the variance.
Tensor he_uniform(Key key, Shape shape, DType dtype = float32,
                  Location where = Location::current());
Tensor he_normal(Key key, Shape shape, DType dtype = float32, Location where = Location::current());

// How many inputs each output of a layer sums over, and how many outputs each input reaches.
struct Fans {
  double in = 0;
  double out = 0;
};

// How a layer starts: a rule, and a factor on what it draws. Biases start at 0, except by
// torch_default.
struct Initialiser {
  enum class Rule : std::uint8_t {
    zeros,
    uniform,  // U(-1, 1), so `scale` is the bound
    normal,   // N(0, 1), so `scale` is the standard deviation
    glorot_uniform,
    glorot_normal,
    he_uniform,
    he_normal,
    torch_default,  // weights and biases U(-a, a) with a = 1 / sqrt(fan_in), as torch.nn.Linear
  };
  Rule rule = Rule::glorot_uniform;
  double scale = 1;

  Initialiser() = default;
  Initialiser(Rule which, double factor = 1) : rule(which), scale(factor) {}

  // `shape` is (fan_in, fan_out). Throws ShapeError, TypeError, and ValueError unless scale is
  // finite and at least 0.
  Tensor weight(Key key, Shape shape, DType dtype = float32,
                Location where = Location::current()) const;
  // The biases of such a weight: (fan_out,).
  Tensor bias(Key key, const Shape& weight_shape, DType dtype = float32,
              Location where = Location::current()) const;
  // Weights and biases of any shape, as of kernels; ShapeError unless both fans are above 0.
  Tensor weight(Key key, Shape shape, Fans fans, DType dtype = float32,
                Location where = Location::current()) const;
  Tensor bias(Key key, Shape shape, Fans fans, DType dtype = float32,
              Location where = Location::current()) const;
};
std::string_view name_of(Initialiser::Rule rule);

}  // namespace dualtape
