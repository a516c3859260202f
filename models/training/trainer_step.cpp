// One step of a Trainer.
#include <chrono>
#include <cmath>
#include <utility>

#include <dualtape/models/training/trainer_impl.hpp>

namespace dualtape {

using detail::Compiled;
using detail::TrainerParts;

namespace {

bool all_finite(const std::vector<Parameter>& parameters) {
  return std::ranges::all_of(parameters, [](const Parameter& parameter) {
    if (!is_floating(parameter.dtype())) return true;
    return dispatch(parameter.dtype(), [&]<class T>() {
      return std::ranges::all_of(parameter.value().data<T>(),
                                 [](T value) { return std::isfinite(static_cast<double>(value)); });
    });
  });
}

}  // namespace

Trainer::Impl::Taken Trainer::Impl::take_step(const Tensor& inputs, const Tensor& labels,
                                              double seconds_before) {
  StepInfo info;
  info.epoch = epoch - 1;
  info.rate = options.schedule(step);
  if (!std::isfinite(info.rate))
    fail<ValueError>({.op = "fit",
                      .what = "the schedule gives a rate of " + std::to_string(info.rate) +
                              " at step " + std::to_string(step) + ", counted from 0",
                      .where = where,
                      .help = "rates must be finite"});
  rate.data<double>()[0] = info.rate;
  key.data<std::int64_t>()[0] =
      static_cast<std::int64_t>(options.key.fold(static_cast<std::uint64_t>(step)).value());
  // Measured before the update, on the parameters and the directions of the step itself.
  if (options.cosine_every > 0 && step % options.cosine_every == 0) {
    Compiled& c = find(cosines, inputs.type(), labels.type(), &TrainerParts::build_cosine);
    info.cosine = run(c, inputs, labels)[c.outputs[0]].item();
  }
  Compiled& c = find(steps, inputs.type(), labels.type(), &TrainerParts::build_step);
  std::vector<Parameter> watched;
  std::vector<Tensor> before;
  if (options.trace_not_finite) {
    watched = changing();
    for (const Parameter& parameter : watched) before.push_back(parameter.value().copy());
  }
  const auto start = std::chrono::steady_clock::now();
  info.loss = run(c, inputs, labels)[c.outputs[0]].item();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  info.seconds = seconds_before + taken.count();
  info.step = step + 1;
  if (options.trace_not_finite && !(std::isfinite(info.loss) && all_finite(watched))) {
    for (std::size_t i = 0; i < watched.size(); ++i) watched[i].set(before[i]);
    return {info, fault_of(c, info.step, feeds(c, inputs, labels))};
  }
  ++step;
  ++batch;
  mean.add(info.loss, static_cast<double>(inputs.size(0)));
  return {info};
}

}  // namespace dualtape
