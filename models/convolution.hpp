// Layers of convolutional networks: convolutions and pooling, with PyTorch's names, options and
// starting values. Images have shape (N, C, H, W), sequences (N, C, L). Copies share parameters.
// Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include <dualtape/models/layers.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/pooling.hpp>

namespace dualtape::nn {

struct Conv2dOptions {
  Size2d stride = 1;
  Padding padding = 0;  // numbers, Padding::same() or Padding::valid()
  Size2d dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Initialiser initialiser = Initialiser::Rule::torch_default;
  DType dtype = float32;
};

// conv2d with a weight of shape (out, in / groups, rows, columns), plus one bias for each of the
// `out` channels. Weights are started by fan_in = in / groups * rows * columns.
class Conv2d : public Weighted {
 public:
  // Parameters are called "<name>.weight" and "<name>.bias" and drawn from sub-streams of the key
  // by name. ShapeError for sizes below 1 and channels that `groups` does not divide.
  Conv2d(const std::string& name, std::int64_t in, std::int64_t out, Size2d kernel, Key key,
         const Conv2dOptions& options = {}, Location where = Location::current());

  // (N, in, H, W) to (N, out, H', W'). ShapeError for another rank or number of channels, and
  // the errors of conv2d; all name the layer.
  Var operator()(Var x, Location where = Location::current()) const;

 private:
  ConvOptions options_;
};

struct Conv1dOptions {
  std::int64_t stride = 1;
  Padding padding = 0;  // a number, Padding::same() or Padding::valid()
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Initialiser initialiser = Initialiser::Rule::torch_default;
  DType dtype = float32;
};

// The same for sequences, the weight of shape (out, in / groups, kernel).
class Conv1d : public Weighted {
 public:
  Conv1d(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel, Key key,
         const Conv1dOptions& options = {}, Location where = Location::current());

  // (N, in, L) to (N, out, L').
  Var operator()(Var x, Location where = Location::current()) const;

 private:
  ConvOptions options_;
};

struct ConvTranspose2dOptions {
  Size2d stride = 1;
  Size2d padding = 0;
  Size2d output_padding = 0;
  Size2d dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Initialiser initialiser = Initialiser::Rule::torch_default;
  DType dtype = float32;
};

// conv_transpose2d with a weight of shape (in, out / groups, rows, columns), plus one bias for each
// of the `out` channels. Started as PyTorch does it, by fan_in = out / groups * rows * columns.
class ConvTranspose2d : public Weighted {
 public:
  ConvTranspose2d(const std::string& name, std::int64_t in, std::int64_t out, Size2d kernel,
                  Key key, const ConvTranspose2dOptions& options = {},
                  Location where = Location::current());

  // (N, in, H, W) to (N, out, H', W').
  Var operator()(Var x, Location where = Location::current()) const;

 private:
  ConvTransposeOptions options_;
};

// The largest or the mean element of windows; see ops/pooling.hpp.
class MaxPool2d {
 public:
  explicit MaxPool2d(Size2d window, const PoolOptions& options = {})
      : window_(window), options_(options) {}
  Var operator()(Var x, Location where = Location::current()) const {
    return max_pool2d({x, where}, window_, options_);
  }

 private:
  Size2d window_;
  PoolOptions options_;
};

class AvgPool2d {
 public:
  explicit AvgPool2d(Size2d window, const PoolOptions& options = {})
      : window_(window), options_(options) {}
  Var operator()(Var x, Location where = Location::current()) const {
    return avg_pool2d({x, where}, window_, options_);
  }

 private:
  Size2d window_;
  PoolOptions options_;
};

// To `size` whatever the size of the image.
class AdaptiveAvgPool2d {
 public:
  explicit AdaptiveAvgPool2d(Size2d size) : size_(size) {}
  Var operator()(Var x, Location where = Location::current()) const {
    return adaptive_avg_pool2d({x, where}, size_);
  }

 private:
  Size2d size_;
};

}  // namespace dualtape::nn
