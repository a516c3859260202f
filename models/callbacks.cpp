#include <dualtape/models/callbacks.hpp>

#include <cmath>
#include <limits>
#include <sstream>
#include <utility>
#include <vector>

namespace dualtape {
namespace {

void require(bool good, const char* callback, const char* what) {
  if (!good) fail<ValueError>({.op = callback, .what = what});
}

bool is_due(std::int64_t every, std::int64_t now) { return every > 0 && now % every == 0; }

double worst(bool larger_is_better) {
  return larger_is_better ? -std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::infinity();
}

Tensor state_of(const std::vector<double>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  return Tensor::from(values, Shape{count});
}

void check_state(const char* callback, const Tensor& state, std::int64_t count) {
  if (state.type() == Type{Shape{count}, float64}) return;
  fail<ValueError>({.op = callback,
                    .what = "a state is float64 (" + std::to_string(count) + ",), got " +
                            to_string(state.type())});
}

}  // namespace

EvaluateEvery::EvaluateEvery(std::string name, Tensor inputs, Tensor labels,
                             EvaluateOptions options)
    : name_(std::move(name)),
      inputs_(std::move(inputs)),
      labels_(std::move(labels)),
      options_(options) {
  require(options.every_epochs >= 0 && options.every_steps >= 0 &&
              options.every_epochs + options.every_steps > 0,
          "EvaluateEvery", "neither epochs nor steps are above 0, or one is below");
}

void EvaluateEvery::evaluate(Trainer& trainer) {
  const Evaluation found = trainer.evaluate(inputs_, labels_, options_.rows_at_once);
  evaluated_ = true;
  trainer.report(name_ + " loss", found.loss);
  if (!std::isnan(found.accuracy)) trainer.report(name_ + " accuracy", found.accuracy);
}

bool EvaluateEvery::step(Trainer& trainer, const StepInfo& info) {
  if (is_due(options_.every_steps, info.step)) evaluate(trainer);
  return true;
}

bool EvaluateEvery::epoch(Trainer& trainer, const EpochInfo& info) {
  if (is_due(options_.every_epochs, info.epoch + 1)) evaluate(trainer);
  return true;
}

bool EvaluateEvery::may_report(const std::string& scalar) const {
  return !evaluated_ && (scalar == name_ + " loss" || scalar == name_ + " accuracy");
}

EarlyStopping::EarlyStopping(std::string scalar, EarlyStoppingOptions options)
    : scalar_(std::move(scalar)), options_(options), best_(worst(options.larger_is_better)) {
  require(options.patience >= 0, "EarlyStopping", "the patience is below 0");
  require(options.least_change >= 0, "EarlyStopping", "the least change is below 0");
}

bool EarlyStopping::scalar(Trainer&, const Scalar& scalar) {
  if (scalar.name != scalar_) return true;
  const double gain = options_.larger_is_better ? scalar.value - best_ : best_ - scalar.value;
  if (gain > options_.least_change) {
    best_ = scalar.value;
    bad_ = 0;
    return true;
  }
  return ++bad_ <= options_.patience;
}

std::string EarlyStopping::why() const {
  std::ostringstream text;
  text << bad_ << (bad_ == 1 ? " report" : " reports") << " without improvement on " << best_;
  return text.str();
}

Tensor EarlyStopping::state() const { return state_of({best_, static_cast<double>(bad_)}); }

void EarlyStopping::restore(const Tensor& state) {
  check_state("EarlyStopping", state, 2);
  best_ = state.at({0});
  bad_ = static_cast<std::int64_t>(state.at({1}));
}

ReduceRate::ReduceRate(std::string scalar, std::shared_ptr<Plateau> plateau)
    : scalar_(std::move(scalar)), plateau_(std::move(plateau)) {
  require(plateau_ != nullptr, "ReduceRate", "there is no plateau");
}

bool ReduceRate::scalar(Trainer&, const Scalar& scalar) {
  if (scalar.name == scalar_) plateau_->observe(scalar.value);
  return true;
}

Checkpoints::Checkpoints(std::filesystem::path path, CheckpointsOptions options)
    : path_(std::move(path)), options_(options) {
  require(options.every_steps >= 0 && options.every_epochs >= 0, "Checkpoints",
          "a number of steps or epochs is below 0");
}

bool Checkpoints::step(Trainer&, const StepInfo& info) {
  due_ = due_ || is_due(options_.every_steps, info.step);
  return true;
}

bool Checkpoints::epoch(Trainer&, const EpochInfo& info) {
  due_ = due_ || is_due(options_.every_epochs, info.epoch + 1);
  return true;
}

void Checkpoints::settled(Trainer& trainer) {
  if (std::exchange(due_, false)) save_checkpoint(path_, trainer);
}

void Checkpoints::end(Trainer& trainer, const TrainResult& result) {
  due_ = false;
  if (result.stop != Stop::not_finite) save_checkpoint(path_, trainer);
}

BestCheckpoint::BestCheckpoint(std::filesystem::path path, std::string scalar,
                               bool larger_is_better)
    : path_(std::move(path)),
      scalar_(std::move(scalar)),
      larger_(larger_is_better),
      best_(worst(larger_is_better)) {}

bool BestCheckpoint::scalar(Trainer&, const Scalar& scalar) {
  if (scalar.name != scalar_) return true;
  if (larger_ ? scalar.value > best_ : scalar.value < best_) {
    best_ = scalar.value;
    due_ = true;
  }
  return true;
}

void BestCheckpoint::settled(Trainer& trainer) {
  if (std::exchange(due_, false)) save_checkpoint(path_, trainer);
}

Tensor BestCheckpoint::state() const { return state_of({best_}); }

void BestCheckpoint::restore(const Tensor& state) {
  check_state("BestCheckpoint", state, 1);
  best_ = state.at({0});
}

}  // namespace dualtape
