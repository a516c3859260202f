// What a Trainer can be told to do beside its steps. Each does one thing; numbers pass between them
// by name: an evaluation reports "test loss", and whatever waits for "test loss" hears it.
// Waiting for one that is never reported while others are is a ValueError, at the beginning of
// fit() where all callbacks say what they report, as those below do, else at its end.
//
//   dt::TrainerOptions options{.callbacks = {
//       std::make_shared<dt::EvaluateEvery>("test", test.inputs, test.labels),
//       std::make_shared<dt::EarlyStopping>("test loss", dt::EarlyStoppingOptions{.patience = 5}),
//       std::make_shared<dt::Checkpoints>("last.safetensors"),
//       std::make_shared<dt::BestCheckpoint>("best.safetensors", "test loss")}};
//
// The progress bar and the log are in models/progress.hpp and models/json_log.hpp. Objects are for
// one Trainer and its thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dualtape/models/checkpoint.hpp>
#include <dualtape/models/plateau.hpp>
#include <dualtape/models/trainer.hpp>

namespace dualtape {

// At least one of them above 0; counted since the Trainer was made.
struct EvaluateOptions {
  std::int64_t every_epochs = 1;
  std::int64_t every_steps = 0;
  std::int64_t rows_at_once = 512;
};

// Reports "<name> loss" of a data set, and what else an Evaluation has: for objectives with logits
// "<name> accuracy", with predictions "<name> mae", "<name> mse" and "<name> r2", and
// "<name> <metric>" for each of TrainerOptions::metrics.
class EvaluateEvery final : public Callback {
 public:
  // Shares the tensors. ValueError for options out of range.
  EvaluateEvery(std::string name, Tensor inputs, Tensor labels, EvaluateOptions options = {},
                Location where = Location::current());
  bool step(Trainer& trainer, const StepInfo& info) override;
  bool epoch(Trainer& trainer, const EpochInfo& info) override;
  void begin(Trainer& trainer, const StopRules& rules) override;
  std::optional<Names> reports() const override;
  bool may_report(const std::string& scalar) const override;

 private:
  void evaluate(Trainer& trainer);

  std::string name_;
  Tensor inputs_;
  Tensor labels_;
  EvaluateOptions options_;
  Names metrics_ = {};  // of the trainer
  bool evaluated_ = false;
};

struct EarlyStoppingOptions {
  std::int64_t patience = 10;  // reports in a row without improvement: the last of them stops
  double least_change = 0;     // what counts as an improvement is above this
  bool larger_is_better = false;
  // When fit() ends, however it does, parameters and buffers become those of the best report.
  bool restore_best = true;
};

// Stops where a reported number has not improved for a while: at the tenth bad report for a
// patience of 10, as Keras and PyTorch Lightning count. A NaN is no improvement. Its count, and the
// best parameters and buffers so far, are in checkpoints. One for each fit(): after its stop it
// stops the next one at once unless that improves. After another end the next fit() goes on from
// the last parameters, not from the best, unless they were changed in between.
class EarlyStopping final : public Callback {
 public:
  // ValueError for options out of range.
  explicit EarlyStopping(std::string scalar, EarlyStoppingOptions options = {},
                         Location where = Location::current());
  bool scalar(Trainer& trainer, const Scalar& scalar) override;
  void begin(Trainer& trainer, const StopRules& rules) override;
  void settled(Trainer& trainer) override;
  void end(Trainer& trainer, const TrainResult& result) override;
  std::string awaits() const override { return scalar_; }
  std::optional<Names> reports() const override { return Names(); }
  std::string why() const override;
  std::string name() const override { return "early stopping by " + scalar_; }
  Tensor state() const override;
  void restore(const Tensor& state) override;

 private:
  void give_back(const Trainer& trainer, const std::vector<std::byte>& values) const;

  std::string scalar_;
  EarlyStoppingOptions options_;
  double best_;
  std::int64_t bad_ = 0;
  bool stopped_ = false;              // and the best is still to be given back
  std::vector<std::byte> kept_ = {};  // the elements of the best report, one tensor after the other
  std::vector<std::byte> last_ = {};  // those to go on from, where fit() ended with the best
};

// Tells a Plateau of a reported number, and saves the plateau in checkpoints. The trainer's
// schedule is plateau->schedule().
class ReduceRate final : public Callback {
 public:
  // ValueError without a plateau.
  ReduceRate(std::string scalar, std::shared_ptr<Plateau> plateau,
             Location where = Location::current());
  bool scalar(Trainer& trainer, const Scalar& scalar) override;
  std::string awaits() const override { return scalar_; }
  std::optional<Names> reports() const override { return Names(); }
  std::string name() const override { return "plateau of " + scalar_; }
  Tensor state() const override { return plateau_->state(); }
  void restore(const Tensor& state) override { plateau_->restore(state); }

 private:
  std::string scalar_;
  std::shared_ptr<Plateau> plateau_;
};

struct CheckpointsOptions {
  std::int64_t every_steps = 0;   // 0: not by steps
  std::int64_t every_epochs = 1;  // 0: not by epochs
};

// Writes the last checkpoint over the one before, and once more at the end, unless the loss was not
// finite there.
class Checkpoints final : public Callback {
 public:
  // ValueError for options out of range.
  explicit Checkpoints(std::filesystem::path path, CheckpointsOptions options = {},
                       Location where = Location::current());
  bool step(Trainer& trainer, const StepInfo& info) override;
  bool epoch(Trainer& trainer, const EpochInfo& info) override;
  void settled(Trainer& trainer) override;
  void end(Trainer& trainer, const TrainResult& result) override;
  std::optional<Names> reports() const override { return Names(); }

 private:
  std::filesystem::path path_;
  CheckpointsOptions options_;
  bool due_ = false;
};

// Writes a checkpoint whenever a reported number is the best so far, which checkpoints remember.
class BestCheckpoint final : public Callback {
 public:
  // ValueError for an empty name.
  BestCheckpoint(std::filesystem::path path, std::string scalar, bool larger_is_better = false,
                 Location where = Location::current());
  bool scalar(Trainer& trainer, const Scalar& scalar) override;
  void settled(Trainer& trainer) override;
  std::string awaits() const override { return scalar_; }
  std::optional<Names> reports() const override { return Names(); }
  std::string name() const override { return "best " + scalar_; }
  Tensor state() const override;
  void restore(const Tensor& state) override;

 private:
  std::filesystem::path path_;
  std::string scalar_;
  bool larger_;
  double best_;
  bool due_ = false;
};

}  // namespace dualtape
