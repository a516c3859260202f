// Layers that normalise, with PyTorch's names, options and starting values: scales begin at 1 and
// shifts at 0. Copies share parameters. Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <dualtape/models/context.hpp>

namespace dualtape::nn {

struct NormOptions {
  double epsilon = 1e-5;  // ValueError, from the operators, unless finite and at least 0
  DType dtype = float32;
};

// A scale "<name>.weight" and a shift "<name>.bias" of shape (size).
class ScaleAndShift {
 public:
  const std::string& name() const { return name_; }
  const Parameter& weight() const { return weight_; }
  const Parameter& bias() const { return bias_; }
  std::vector<Parameter> parameters() const { return {weight_, bias_}; }

 protected:
  // ShapeError for a size below 1.
  ScaleAndShift(std::string_view layer, const std::string& name, std::int64_t size,
                const NormOptions& options, Location where);
  double epsilon() const { return epsilon_; }

 private:
  std::string name_;
  Parameter weight_;
  Parameter bias_;
  double epsilon_;
};

// Rows along the last axis brought to mean 0 and variance 1; see ops/normalise.hpp.
class LayerNorm : public ScaleAndShift {
 public:
  LayerNorm(const std::string& name, std::int64_t size, const NormOptions& options = {},
            Location where = Location::current())
      : ScaleAndShift("LayerNorm", name, size, options, where) {}
  // (..., size), which is kept.
  Var operator()(Var x, Location where = Location::current()) const;
};

// Of their own, so that setting one of them leaves the other as it is.
struct RmsNormOptions {
  double epsilon = 1e-6;
  DType dtype = float32;
};

// Rows along the last axis brought to mean square 1, times a scale "<name>.weight".
class RmsNorm {
 public:
  RmsNorm(const std::string& name, std::int64_t size, const RmsNormOptions& options = {},
          Location where = Location::current());
  // (..., size), which is kept.
  Var operator()(Var x, Location where = Location::current()) const;
  const Parameter& weight() const { return weight_; }
  std::vector<Parameter> parameters() const { return {weight_}; }

 private:
  std::string name_;
  Parameter weight_;
  double epsilon_;
};

// Groups of neighbouring channels of each sample brought to mean 0 and variance 1.
class GroupNorm : public ScaleAndShift {
 public:
  // ShapeError unless `groups` divides the channels.
  GroupNorm(const std::string& name, std::int64_t groups, std::int64_t channels,
            const NormOptions& options = {}, Location where = Location::current());
  // (N, channels, ...), which is kept.
  Var operator()(Var x, Location where = Location::current()) const;

 private:
  std::int64_t groups_;
};

struct BatchNormOptions {
  double epsilon = 1e-5;
  double momentum = 0.1;  // the weight of the newest batch in the running statistics
  DType dtype = float32;
};

// Channels brought to mean 0 and variance 1: over the batch while training, by the running
// statistics else. Training leaves in context.updates
//   running <- (1 - momentum) running + momentum of the batch,
// with the batch's variance divided by n - 1. "<name>.running_mean" starts at 0,
// "<name>.running_var" at 1.
class BatchNorm : public ScaleAndShift {
 public:
  // GraphError: whether to train or to evaluate must be said.
  Var operator()(Var x, Location where = Location::current()) const;
  // By the running statistics, which stay.
  Var evaluate(Var x, Location where = Location::current()) const;
  // (N, channels, ...), which is kept. ShapeError for another rank or number of channels, and in
  // training for batches with a single element of a channel, whose variance is not known.
  Var operator()(Var x, Context& context, Location where = Location::current()) const;

  std::vector<Parameter> buffers() const { return {running_mean_, running_var_}; }

 protected:
  // ValueError unless 0 <= momentum <= 1.
  BatchNorm(std::string_view layer, const std::string& name, std::int64_t channels,
            const BatchNormOptions& options, std::size_t least_rank, std::size_t most_rank,
            Location where);

 private:
  void check(Var x, bool training, Location where) const;

  std::string_view layer_;
  std::size_t least_rank_;
  std::size_t most_rank_;
  double momentum_;
  Parameter running_mean_;
  Parameter running_var_;
};

// Of shape (N, C) or (N, C, L).
class BatchNorm1d : public BatchNorm {
 public:
  BatchNorm1d(const std::string& name, std::int64_t channels, const BatchNormOptions& options = {},
              Location where = Location::current())
      : BatchNorm("BatchNorm1d", name, channels, options, 2, 3, where) {}
};

// Of shape (N, C, H, W).
class BatchNorm2d : public BatchNorm {
 public:
  BatchNorm2d(const std::string& name, std::int64_t channels, const BatchNormOptions& options = {},
              Location where = Location::current())
      : BatchNorm("BatchNorm2d", name, channels, options, 4, 4, where) {}
};

}  // namespace dualtape::nn
