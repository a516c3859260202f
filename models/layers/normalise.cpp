#include <dualtape/models/normalise.hpp>

#include <dualtape/core/composite.hpp>
#include <dualtape/models/layers/layer_shape.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/normalise.hpp>

namespace dualtape::nn {
namespace {

Tensor filled(std::string_view layer, const std::string& name, std::string_view what,
              std::int64_t size, int value, DType dtype, Location where) {
  const Shape shape = dualtape::detail::layer_shape(layer, name, what, {size}, where);
  dualtape::detail::check_dtype(layer, dtype, where);
  if (!is_floating(dtype))
    fail<TypeError>(
        {.op = layer,
         .label = name,
         .what = "its " + std::string(what) + " cannot be " + std::string(name_of(dtype)),
         .where = where,
         .help = "make it float32 or float64"});
  return dualtape::detail::layer_tensor(layer, name, what, {shape, dtype}, where,
                                        [&] { return full(shape, value, dtype, where); });
}

}  // namespace

ScaleAndShift::ScaleAndShift(std::string_view layer, const std::string& name, std::int64_t size,
                             const NormOptions& options, Location where)
    : name_(name),
      weight_(name + ".weight", filled(layer, name, "weight", size, 1, options.dtype, where)),
      bias_(name + ".bias", filled(layer, name, "bias", size, 0, options.dtype, where)),
      epsilon_(options.epsilon) {}

Var LayerNorm::operator()(Var x, Location where) const {
  return layer_norm({x, where}, {weight(), where}, {bias(), where}, epsilon()).named(name());
}

RmsNorm::RmsNorm(const std::string& name, std::int64_t size, const RmsNormOptions& options,
                 Location where)
    : name_(name),
      weight_(name + ".weight", filled("RmsNorm", name, "weight", size, 1, options.dtype, where)),
      epsilon_(options.epsilon) {}

Var RmsNorm::operator()(Var x, Location where) const {
  return rms_norm({x, where}, {weight_, where}, epsilon_).named(name_);
}

GroupNorm::GroupNorm(const std::string& name, std::int64_t groups, std::int64_t channels,
                     const NormOptions& options, Location where)
    : ScaleAndShift("GroupNorm", name, channels, options, where), groups_(groups) {
  if (groups < 1 || channels % groups != 0)
    fail<ShapeError>(
        {.op = "GroupNorm",
         .label = name,
         .what = std::to_string(channels) + " channels in " + std::to_string(groups) + " groups",
         .where = where,
         .help = "groups must divide the channels"});
}

Var GroupNorm::operator()(Var x, Location where) const {
  return group_norm({x, where}, groups_, {weight(), where}, {bias(), where}, epsilon())
      .named(name());
}

BatchNorm::BatchNorm(std::string_view layer, const std::string& name, std::int64_t channels,
                     const BatchNormOptions& options, std::size_t least_rank, std::size_t most_rank,
                     Location where)
    : ScaleAndShift(layer, name, channels, {options.epsilon, options.dtype}, where),
      layer_(layer),
      least_rank_(least_rank),
      most_rank_(most_rank),
      momentum_(options.momentum),
      running_mean_(name + ".running_mean",
                    filled(layer, name, "running mean", channels, 0, options.dtype, where)),
      running_var_(name + ".running_var",
                   filled(layer, name, "running variance", channels, 1, options.dtype, where)) {
  if (!(options.momentum >= 0 && options.momentum <= 1))
    fail<ValueError>(
        {.op = layer,
         .label = name,
         .what = "momentum is " + std::to_string(options.momentum) + ", but must be in [0, 1]",
         .where = where});
}

void BatchNorm::check(Var x, bool training, Location where) const {
  const std::size_t rank = x.rank(where);
  const bool ranked = rank >= least_rank_ && rank <= most_rank_;
  const std::int64_t channels = weight().count();
  if (!ranked || x.shape()[1] != channels)
    fail<ShapeError>(
        {.op = layer_,
         .label = name(),
         .what = "x is " + to_string(x.type()) + ", not one of " + std::to_string(channels) +
                 " channels along axis 1",
         .where = where,
         .help = "it takes rank " + std::to_string(least_rank_) +
                 (most_rank_ > least_rank_ ? " or " + std::to_string(most_rank_) : std::string())});
  if (training && x.shape().count() <= channels)
    fail<ShapeError>({.op = layer_,
                      .label = name(),
                      .what = "x is " + to_string(x.type()) +
                              ": the variance of a single element of each channel is not known",
                      .where = where,
                      .help = "train with larger batches"});
}

Var BatchNorm::operator()(Var, Location where) const {
  detail::refuse_without_context(layer_, name(), detail::Called::layer, where);
}

Var BatchNorm::evaluate(Var x, Location where) const {
  Context evaluation;
  return (*this)(x, evaluation, where);
}

Var BatchNorm::operator()(Var x, Context& context, Location where) const {
  const Composite c(layer_, {In(x, where)});
  check(x, context.training, where);
  if (!context.training)
    return batch_norm_inference(x, running_mean_, running_var_, weight(), bias(), epsilon())
        .named(name());
  const BatchNormed made = batch_norm(x, weight(), bias(), epsilon());
  const auto follow = [&](const Parameter& running, Var batch) {
    const Var before = context.latest(running, x.graph());
    const Var after = (1 - momentum_) * before + momentum_ * batch;
    context.update(running, after.named("new " + running.name()), where);
  };
  follow(running_mean_, made.mean);
  follow(running_var_, made.unbiased_variance);
  return made.y.named(name());
}

}  // namespace dualtape::nn
