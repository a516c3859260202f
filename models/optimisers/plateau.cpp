#include <dualtape/models/plateau.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/models/files/counts.hpp>

namespace dualtape {

Plateau::Plateau(Schedule base, const PlateauOptions& options, Location where)
    : base_(std::move(base)),
      options_(options),
      scale_(std::make_shared<double>(1.0)),
      best_(options.larger_is_better ? -std::numeric_limits<double>::infinity()
                                     : std::numeric_limits<double>::infinity()) {
  const auto require = [where](bool good, const char* what) {
    if (!good) fail<ValueError>({.op = "Plateau", .what = what, .where = where});
  };
  require(static_cast<bool>(base_), "the schedule is an empty function");
  require(options.factor > 0 && options.factor < 1, "the factor must be between 0 and 1");
  require(options.patience >= 0 && options.cooldown >= 0,
          "patience and cooldown must be at least 0");
  require(options.threshold >= 0 && std::isfinite(options.threshold),
          "the threshold must be finite and at least 0");
  require(options.lowest_rate >= 0 && std::isfinite(options.lowest_rate),
          "the lowest rate must be finite and at least 0");
}

Schedule Plateau::schedule() const {
  return [base = base_, scale = scale_, lowest = options_.lowest_rate](std::int64_t step) {
    return std::max(base(step) * *scale, lowest);
  };
}

bool Plateau::better(double metric) const {
  if (std::isinf(best_)) return options_.larger_is_better ? metric > best_ : metric < best_;
  const double margin = options_.threshold * (options_.relative ? std::abs(best_) : 1.0);
  return options_.larger_is_better ? metric > best_ + margin : metric < best_ - margin;
}

bool Plateau::observe(double metric) {
  if (better(metric)) {
    best_ = metric;
    bad_ = 0;
  } else {
    ++bad_;
  }
  if (cooling_ > 0) {
    --cooling_;
    bad_ = 0;
  }
  if (bad_ <= options_.patience) return false;
  // Never 0, which would be no state to restore.
  *scale_ = std::max(*scale_ * options_.factor, std::numeric_limits<double>::min());
  cooling_ = options_.cooldown;
  bad_ = 0;
  return true;
}

Tensor Plateau::state() const {
  return Tensor::from(
      std::vector<double>{*scale_, best_, static_cast<double>(bad_), static_cast<double>(cooling_)},
      Shape{4});
}

void Plateau::restore(const Tensor& state, Location where) {
  if (state.type() != Type{Shape{4}, float64})
    fail<ValueError>({.op = "Plateau",
                      .what = "a state is float64 (4,), got " + to_string(state.type()),
                      .where = where});
  const double scale = state.at({0});
  if (!(scale > 0 && scale <= 1) || std::isnan(state.at({1})) || !detail::is_count(state.at({2})) ||
      !detail::is_count(state.at({3})))
    fail<ValueError>({.op = "Plateau",
                      .what = "this is no state of a Plateau: " + to_string(state),
                      .where = where,
                      .help = "a state is a scale of up to 1, the best number and two counts"});
  *scale_ = scale;
  best_ = state.at({1});
  bad_ = static_cast<std::int64_t>(state.at({2}));
  cooling_ = static_cast<std::int64_t>(state.at({3}));
}

}  // namespace dualtape
