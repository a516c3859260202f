// Scaling of inputs: unit rows, columns to [0, 1], columns to mean 0 and deviation 1.
// Plain values; any thread may call. Sums are made in float64; results keep the input's dtype.
#pragma once

#include <string>
#include <vector>

#include <dualtape/core/named_tensor.hpp>
#include <dualtape/core/tensor.hpp>

namespace dualtape {

// All errors name the line of the call.

// Divides each row (all but the first axis) by its L2 norm; rows of zeros stay zero,
// and a row with a NaN or an infinity becomes NaN. For float tensors (n, ...) of rank 2 or more;
// ShapeError or TypeError otherwise.
Tensor normalise_rows(const Tensor& inputs, Location where = Location::current());

// Column by column (x - shift) / width; where width is 0, the result is 0. A column is one
// position of the axes after the first. Predictions of scaled labels are brought back by invert().
// To keep it beside a model:
//
//   dt::save_safetensors("scale.safetensors", {scale.state("inputs")});
//   auto scale = dt::Scaling::from_state(dt::load_safetensors("scale.safetensors").tensors,
//   "inputs");
struct Scaling {
  Tensor shift;  // float64 (...): inputs' shape without the first axis
  Tensor width;  // the same

  // float (n, ...) to the same type. ShapeError unless the columns fit.
  Tensor apply(const Tensor& inputs, Location where = Location::current()) const;
  // The other way, x width + shift, up to rounding; where width is 0, the shift.
  Tensor invert(const Tensor& scaled, Location where = Location::current()) const;

  // "<name>.shift" and "<name>.width", which share the tensors, and a Scaling of them. ValueError
  // for tensors that are missing, are not both float64 of one shape or hold what no fit() gives.
  std::vector<NamedTensor> state(const std::string& name = "scaling") const;
  static Scaling from_state(const std::vector<NamedTensor>& state,
                            const std::string& name = "scaling",
                            Location where = Location::current());
};

// fit() learns from float tensors (n, ...) with n of 1 or more; apply() then serves train and test
// data alike. Throws ValueError where a value is not finite, and where those of a column are
// further apart than a double can say; it names the place.

// Each column's smallest value goes to 0 and its largest to 1; values unseen in fit() may fall
// outside. Columns that are constant in fit() become 0.
struct MinMax : Scaling {
  static MinMax fit(const Tensor& train, Location where = Location::current());
};

// Each column to mean 0 and standard deviation 1 (dividing by n, as scikit-learn does). Columns
// that are constant in fit() become 0.
struct Standardise : Scaling {
  static Standardise fit(const Tensor& train, Location where = Location::current());
};

// fit and apply on the same data.
Tensor min_max(const Tensor& inputs, Location where = Location::current());
Tensor standardise(const Tensor& inputs, Location where = Location::current());

}  // namespace dualtape
