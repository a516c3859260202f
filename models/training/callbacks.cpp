#include <dualtape/models/callbacks.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <sstream>
#include <utility>
#include <vector>

#include <dualtape/models/files/counts.hpp>

namespace dualtape {
namespace {

void require(bool good, const char* callback, const char* what, Location where, const char* help) {
  if (!good) fail<ValueError>({.op = callback, .what = what, .where = where, .help = help});
}

constexpr const char* name_the_scalar = "give the name of a reported number, such as \"test loss\"";

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

// A number that is the best so far, and a count as doubles hold them.
void check_counted(const char* callback, double best, double count) {
  if (detail::is_count(count) && !std::isnan(best)) return;
  fail<ValueError>({.op = callback,
                    .what = "a state holds a best of " + std::to_string(best) + " and a count of " +
                            std::to_string(count),
                    .help = "restore from a file that is whole"});
}

}  // namespace

EvaluateEvery::EvaluateEvery(std::string name, Tensor inputs, Tensor labels,
                             EvaluateOptions options, Location where)
    : name_(std::move(name)),
      inputs_(std::move(inputs)),
      labels_(std::move(labels)),
      options_(options) {
  require(options.every_epochs >= 0 && options.every_steps >= 0 &&
              (options.every_epochs > 0 || options.every_steps > 0),
          "EvaluateEvery", "neither epochs nor steps are above 0, or one is below", where,
          "{.every_epochs = 1} evaluates after each epoch");
  require(options.rows_at_once >= 1, "EvaluateEvery", "rows_at_once is below 1", where,
          "512 is the default");
}

void EvaluateEvery::evaluate(Trainer& trainer) {
  // The line is that of the fit() under way.
  const Evaluation found = trainer.evaluate(inputs_, labels_, options_.rows_at_once, Location{});
  evaluated_ = true;
  for (const auto& [what, value] : found.named())
    trainer.report(name_ + " " + what, value, Location{});
}

void EvaluateEvery::begin(Trainer& trainer, const StopRules&) {
  metrics_.clear();
  for (const Metric& metric : trainer.metrics(Location{})) metrics_.push_back(metric.name);
}

std::optional<Callback::Names> EvaluateEvery::reports() const {
  Names names{"loss"};
  if (is_integer(labels_.dtype()))
    names.emplace_back("accuracy");
  else
    names.insert(names.end(), {"mae", "mse", "r2"});
  names.insert(names.end(), metrics_.begin(), metrics_.end());
  for (std::string& name : names) name.insert(0, name_ + " ");
  return names;
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
  const Names names = *reports();
  return !evaluated_ && std::ranges::find(names, scalar) != names.end();
}

EarlyStopping::EarlyStopping(std::string scalar, EarlyStoppingOptions options, Location where)
    : scalar_(std::move(scalar)), options_(options), best_(worst(options.larger_is_better)) {
  require(!scalar_.empty(), "EarlyStopping", "the name of what it waits for is empty", where,
          name_the_scalar);
  require(options.patience >= 0, "EarlyStopping", "the patience is below 0", where,
          "give how many reports without improvement to tolerate");
  require(options.least_change >= 0 && std::isfinite(options.least_change), "EarlyStopping",
          "the least change is below 0 or not finite", where, "0 takes any improvement");
}

namespace {

// All that the best report was measured with.
std::vector<Parameter> measured(const Trainer& trainer) {
  std::vector<Parameter> all = trainer.parameters(Location{});
  const std::vector<Parameter>& buffers = trainer.buffers(Location{});
  all.insert(all.end(), buffers.begin(), buffers.end());
  return all;
}

std::vector<std::byte> elements_of(const Trainer& trainer) {
  std::vector<std::byte> all;
  for (const Parameter& parameter : measured(trainer)) {
    const auto* from = static_cast<const std::byte*>(parameter.value().raw());
    all.insert(all.end(), from, from + parameter.value().bytes());
  }
  return all;
}

void check_size(const Trainer& trainer, std::size_t kept) {
  std::size_t bytes = 0;
  for (const Parameter& parameter : measured(trainer)) bytes += parameter.value().bytes();
  if (bytes == kept) return;
  fail<ValueError>({.op = "EarlyStopping",
                    .what = "the best report was of " + std::to_string(kept) +
                            " bytes of parameters, the trainer has " + std::to_string(bytes),
                    .where = trainer.line(),
                    .help = "use one EarlyStopping for one Trainer"});
}

}  // namespace

bool EarlyStopping::scalar(Trainer& trainer, const Scalar& scalar) {
  if (scalar.name != scalar_) return true;
  const double gain = options_.larger_is_better ? scalar.value - best_ : best_ - scalar.value;
  if (gain > options_.least_change) {
    best_ = scalar.value;
    bad_ = 0;
    stopped_ = false;
    if (options_.restore_best) kept_ = elements_of(trainer);
    return true;
  }
  stopped_ = ++bad_ >= options_.patience;
  return !stopped_;
}

// After other callbacks have acted on the last report, and before they save.
void EarlyStopping::settled(Trainer& trainer) {
  if (std::exchange(stopped_, false) && !kept_.empty()) give_back(trainer, kept_);
}

void EarlyStopping::begin(Trainer& trainer, const StopRules&) {
  if (!kept_.empty()) check_size(trainer, kept_.size());
  const std::vector<std::byte> last = std::exchange(last_, {});
  if (!last.empty() && elements_of(trainer) == kept_) give_back(trainer, last);
}

// Checkpoints written after this hold both, so that a resumed run goes on from the last.
void EarlyStopping::end(Trainer& trainer, const TrainResult& result) {
  const bool goes_on = result.stop != Stop::callback && result.stop != Stop::not_finite;
  stopped_ = false;
  if (kept_.empty()) return;
  std::vector<std::byte> last = elements_of(trainer);
  if (last == kept_) return;
  give_back(trainer, kept_);
  if (goes_on) last_ = std::move(last);
}

void EarlyStopping::give_back(const Trainer& trainer, const std::vector<std::byte>& values) const {
  check_size(trainer, values.size());
  std::size_t at = 0;
  for (Parameter& parameter : measured(trainer)) {
    Tensor best(parameter.type());
    if (best.bytes() > 0) std::memcpy(best.raw(), values.data() + at, best.bytes());
    at += best.bytes();
    parameter.set(best);
  }
}

std::string EarlyStopping::why() const {
  std::ostringstream text;
  text << bad_ << (bad_ == 1 ? " report" : " reports") << " without improvement on " << best_;
  return text.str();
}

// The best number's bits, the count, how many bytes are kept, these, eight in one element, and
// the last ones in the same way, where there are any.
Tensor EarlyStopping::state() const {
  const std::size_t kept_words = (kept_.size() + 7) / 8;
  std::vector<std::int64_t> words(3 + kept_words + (last_.size() + 7) / 8);
  words[0] = std::bit_cast<std::int64_t>(best_);
  words[1] = bad_;
  words[2] = static_cast<std::int64_t>(kept_.size());
  if (!kept_.empty()) std::memcpy(words.data() + 3, kept_.data(), kept_.size());
  if (!last_.empty()) std::memcpy(words.data() + 3 + kept_words, last_.data(), last_.size());
  return Tensor::from(words, Shape{static_cast<std::int64_t>(words.size())});
}

void EarlyStopping::restore(const Tensor& state) {
  stopped_ = false;
  if (state.dtype() == float64) {  // of older files, which have no parameters
    check_state("EarlyStopping", state, 2);
    check_counted("EarlyStopping", state.at({0}), state.at({1}));
    best_ = state.at({0});
    bad_ = static_cast<std::int64_t>(state.at({1}));
    kept_.clear();
    last_.clear();
    return;
  }
  const bool fits = state.dtype() == int64 && state.rank() == 1 && state.count() >= 3;
  const std::span<const std::int64_t> words =
      fits ? state.data<std::int64_t>() : std::span<const std::int64_t>();
  const std::size_t rest = fits ? words.size() - 3 : 0;
  const bool holds = fits && detail::is_count(words[1]) && detail::is_count(words[2]);
  const std::size_t kept_words = holds ? (static_cast<std::size_t>(words[2]) + 7) / 8 : 0;
  if (!holds || (rest != kept_words && rest != 2 * kept_words))
    fail<ValueError>(
        {.op = "EarlyStopping",
         .what = "this is no state of an EarlyStopping: " + to_string(state.type()) +
                 (holds ? " that says it keeps " + std::to_string(words[2]) + " bytes" : ""),
         .help = "restore from a file that is whole"});
  const auto best = std::bit_cast<double>(words[0]);
  check_counted("EarlyStopping", best, static_cast<double>(words[1]));
  kept_.resize(static_cast<std::size_t>(words[2]));
  best_ = best;
  bad_ = words[1];
  if (!kept_.empty()) std::memcpy(kept_.data(), words.data() + 3, kept_.size());
  last_.resize(rest == kept_words ? 0 : kept_.size());
  if (!last_.empty()) std::memcpy(last_.data(), words.data() + 3 + kept_words, last_.size());
}

ReduceRate::ReduceRate(std::string scalar, std::shared_ptr<Plateau> plateau, Location where)
    : scalar_(std::move(scalar)), plateau_(std::move(plateau)) {
  require(!scalar_.empty(), "ReduceRate", "the name of what it waits for is empty", where,
          name_the_scalar);
  require(plateau_ != nullptr, "ReduceRate", "there is no plateau", where,
          "make it with std::make_shared<dt::Plateau>");
}

bool ReduceRate::scalar(Trainer&, const Scalar& scalar) {
  if (scalar.name == scalar_) plateau_->observe(scalar.value);
  return true;
}

Checkpoints::Checkpoints(std::filesystem::path path, CheckpointsOptions options, Location where)
    : path_(std::move(path)), options_(options) {
  require(options.every_steps >= 0 && options.every_epochs >= 0, "Checkpoints",
          "a number of steps or epochs is below 0", where, "0 is never, but at the end");
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
  if (std::exchange(due_, false)) save_checkpoint(path_, trainer, trainer.line());
}

void Checkpoints::end(Trainer& trainer, const TrainResult& result) {
  due_ = false;
  if (result.stop != Stop::not_finite) save_checkpoint(path_, trainer, trainer.line());
}

BestCheckpoint::BestCheckpoint(std::filesystem::path path, std::string scalar,
                               bool larger_is_better, Location where)
    : path_(std::move(path)),
      scalar_(std::move(scalar)),
      larger_(larger_is_better),
      best_(worst(larger_is_better)) {
  require(!scalar_.empty(), "BestCheckpoint", "the name of what it waits for is empty", where,
          name_the_scalar);
}

bool BestCheckpoint::scalar(Trainer&, const Scalar& scalar) {
  if (scalar.name != scalar_) return true;
  if (larger_ ? scalar.value > best_ : scalar.value < best_) {
    best_ = scalar.value;
    due_ = true;
  }
  return true;
}

void BestCheckpoint::settled(Trainer& trainer) {
  if (std::exchange(due_, false)) save_checkpoint(path_, trainer, trainer.line());
}

Tensor BestCheckpoint::state() const { return state_of({best_}); }

void BestCheckpoint::restore(const Tensor& state) {
  check_state("BestCheckpoint", state, 1);
  check_counted("BestCheckpoint", state.at({0}), 0);
  best_ = state.at({0});
}

}  // namespace dualtape
