// Callback: what a Trainer calls between steps. Those the library has are in models/callbacks.hpp;
// one of your own overrides what it needs. Called on the trainer's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <dualtape/core/tensor.hpp>

namespace dualtape {

class Trainer;
struct StepInfo;
struct EpochInfo;
struct StopRules;
struct TrainResult;

// A number worth knowing, such as an evaluation's: see Trainer::report.
struct Scalar {
  std::string name;  // "test loss"
  double value = 0;
  std::int64_t step = 0;  // steps done
  std::int64_t epoch = 0;
};

// Where something returns false, the training stops after the step or epoch under way.
class Callback {
 public:
  Callback() = default;
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
  virtual ~Callback() = default;

  virtual void begin(Trainer&, const StopRules&) {}
  virtual bool step(Trainer&, const StepInfo&) { return true; }
  virtual bool epoch(Trainer&, const EpochInfo&) { return true; }
  virtual bool scalar(Trainer&, const Scalar&) { return true; }
  // When all callbacks have seen a step or an epoch: the time to save.
  virtual void settled(Trainer&) {}
  virtual void end(Trainer&, const TrainResult&) {}

  // The scalar it acts on, if any. A fit() that can see that nobody will report it, or that ends
  // without it while others were reported, throws a ValueError: the name is wrong.
  virtual std::string awaits() const { return {}; }
  // The scalars it reports; nothing if it does not say, and then it may report any.
  using Names = std::vector<std::string>;
  virtual std::optional<Names> reports() const { return std::nullopt; }
  // Whether it reports this scalar, but has not been due yet.
  virtual bool may_report(const std::string& /*scalar*/) const { return false; }

  // Why it returned false, in words; asked right after that, for TrainResult::stopped_by.
  virtual std::string why() const { return {}; }

  // What a resumed run needs of it: a tensor that checkpoints save under this name, which differs
  // from the others' in the trainer. No name: nothing is saved.
  virtual std::string name() const { return {}; }
  virtual Tensor state() const { return {}; }
  virtual void restore(const Tensor& /*state*/) {}
};

}  // namespace dualtape
