// What a Trainer holds, for the files that implement it. One thread at a time.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <dualtape/models/metrics.hpp>
#include <dualtape/models/not_finite.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/models/training/epoch_layout.hpp>
#include <dualtape/models/training/trainer_programs.hpp>

namespace dualtape {

struct Trainer::Impl : detail::TrainerParts {
  detail::Cache steps = {};
  detail::Cache cosines = {};
  detail::Cache evaluations = {};
  detail::Cache predictions = {};
  std::optional<Type> labels_seen = {};  // of the last batch or data set
  std::int64_t step = 0;                 // done
  std::int64_t epoch = 0;                // begun
  bool in_epoch = false;                 // that epoch has not ended
  std::int64_t batch = 0;                // done of it
  RunningMean mean = {};                 // of its losses
  EpochLayout layout = {};
  bool resumed = false;      // the next fit() goes on in that epoch
  bool interrupted = false;  // by an error; it goes on there as well, if its batches are the same
  bool goes_on = false;      // it does now
  bool running = false;      // fit() is at work
  bool told_to_stop = false;
  std::string stopped_by = {};             // the first that told so
  std::vector<std::string> reported = {};  // names of scalars
  Tensor rate = Tensor({}, float64);
  Tensor key = Tensor({}, int64);

  // The Compiled for these types, made by `build` where there is none yet.
  detail::Compiled& find(detail::Cache& cache, const Type& inputs, const Type& labels,
                         void (TrainerParts::*build)(detail::Compiled&) const) {
    const auto known = std::ranges::find_if(
        cache, [&](const detail::Compiled& c) { return c.fits(inputs, labels); });
    if (known != cache.end()) return *known;
    detail::Compiled fresh(inputs, labels);
    (this->*build)(fresh);
    cache.push_back(std::move(fresh));
    return cache.back();
  }

  std::vector<Feed> feeds(const detail::Compiled& c, const Tensor& inputs,
                          const Tensor& labels) const {
    return {{c.inputs, inputs, where},
            {c.labels, labels, where},
            {c.rate, rate, where},
            {c.key, key, where}};
  }
  Outputs run(detail::Compiled& c, const Tensor& inputs, const Tensor& labels) {
    return c.program->run({{c.inputs, inputs, where},
                           {c.labels, labels, where},
                           {c.rate, rate, where},
                           {c.key, key, where}},
                          where);
  }

  // Calls what is to be told after a step or an epoch; false if one of them wants to stop.
  template <class Info>
  bool tell(Trainer& trainer, const char* name, const std::function<bool(const Info&)>& function,
            const Info& info, bool (Callback::*member)(Trainer&, const Info&)) {
    if (function && !function(info)) stop_for("TrainerOptions::" + std::string(name));
    for (std::size_t i = 0; i < options.callbacks.size(); ++i)
      if (!(options.callbacks[i].get()->*member)(trainer, info)) stop_for(i);
    return !told_to_stop;
  }
  void stop_for(const std::string& who) {
    told_to_stop = true;
    if (stopped_by.empty()) stopped_by = who;
  }
  void stop_for(std::size_t number) {
    const Callback& callback = *options.callbacks[number];
    const std::string name = callback.name();
    const std::string why = callback.why();
    stop_for((name.empty() ? "callback " + std::to_string(number) : name) +
             (why.empty() ? "" : ": " + why));
  }
  void settle(Trainer& trainer) {
    for (const auto& callback : options.callbacks) callback->settled(trainer);
  }

  // The epoch is to be gone on with by batches that are not those of then.
  [[noreturn]] void refuse(const std::string& difference) {
    resumed = !goes_on;  // for one more try, with the right ones; or else by another epoch
    if (goes_on) in_epoch = false;
    fail<ValueError>({.op = "fit",
                      .what = "the run was stopped after batch " + std::to_string(batch) +
                              " of an epoch, " + difference,
                      .where = where,
                      .help = "resume with the batches of then; others may begin with an epoch"});
  }

  // Whether the run that is resumed may go on with batches of this layout.
  void check_resumed(const EpochLayout& now) {
    const EpochLayout unknown;
    if (!detail::same_sizes(now, layout) && !detail::same_sizes(now, unknown) &&
        !detail::same_sizes(layout, unknown)) {
      if (in_epoch && batch > 0)
        refuse("which had " + detail::to_string(layout) + "; now it has " + detail::to_string(now));
      return;  // other data, in an order of theirs
    }
    if (!now.order.known || !layout.order.known || now.order == layout.order) return;
    fail<ValueError>({.op = "fit",
                      .what = "the batches of the run that is resumed are drawn from " +
                              detail::to_string(layout.order) + ", those given now from " +
                              detail::to_string(now.order),
                      .where = where,
                      .help = "make them with the key of then; if another order is wanted, give "
                              "fit() a function that visits the batches, whose key it cannot see"});
  }

  // All that a step may change.
  std::vector<Parameter> changing() const {
    std::vector<Parameter> all = parameters;
    all.insert(all.end(), options.buffers.begin(), options.buffers.end());
    const std::vector<Parameter> own = optimiser->state(where);
    all.insert(all.end(), own.begin(), own.end());
    return all;
  }

  // A step's loss, and what went wrong where it is traced; then nothing has changed.
  struct Taken {
    StepInfo info;
    std::string fault = {};
  };

  Taken take_step(const Tensor& inputs, const Tensor& labels, double seconds_before);
  // The Compiled that predicts of such inputs.
  detail::Compiled& prediction(const Type& inputs);

  static std::string fault_of(const detail::Compiled& c, std::int64_t step,
                              const std::vector<Feed>& feeds) {
    const std::optional<NotFinite> found = find_not_finite(c.outputs, c.assigns, feeds);
    return "step " + std::to_string(step) + ": " +
           (found
                ? to_string(*found)
                : std::string("the loss or a new value is not finite, but only as it is compiled; "
                              "node by node all is finite"));
  }
};

}  // namespace dualtape
