// A log of all numbers of a training for TensorBoard: `tensorboard --logdir FOLDER` shows one curve
// for each name, one run for each folder. One Trainer, one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <dualtape/models/callback.hpp>

namespace dualtape {

namespace detail {
class LogFile;
}

// Writes "loss", "rate" and, where measured, "cosine" by step, "epoch loss" by epoch and what is
// reported by its own name, all against the steps done. TensorBoard keeps float32.
class TensorBoard final : public Callback {
 public:
  // Makes the folder where missing and in it a new events.out.tfevents file. `every_steps` thins
  // the steps; losses that are not finite are always written. ValueError below 1; DataError names a
  // file that cannot be opened, or, later, written.
  explicit TensorBoard(const std::filesystem::path& folder, std::int64_t every_steps = 1,
                       Location here = Location::current());
  ~TensorBoard() override;  // writes what is left, if it can be

  bool step(Trainer& trainer, const StepInfo& info) override;
  bool epoch(Trainer& trainer, const EpochInfo& info) override;
  bool scalar(Trainer& trainer, const Scalar& scalar) override;
  void end(Trainer& trainer, const TrainResult& result) override;
  std::optional<Names> reports() const override { return Names(); }

  const std::filesystem::path& path() const { return path_; }  // of the file

 private:
  void write(std::int64_t step, const std::string& tag, double value);
  void put(const std::string& event);
  void flush();

  std::filesystem::path path_;
  std::int64_t every_;
  std::unique_ptr<detail::LogFile> file_;
  std::string waiting_;  // records that are not written yet
};

}  // namespace dualtape
