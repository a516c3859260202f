// A log of all numbers of a training, one JSON object on a line, which jq, pandas and the like
// read:
//
//   {"event":"step","step":1,"epoch":0,"loss":2.3,"rate":0.1,"step_seconds":0.004,"wall_seconds":0.01}
//   {"event":"epoch","step":15,"epoch":0,"loss":1.9,"wall_seconds":0.2}
//   {"event":"scalar","step":15,"epoch":0,"name":"test loss","value":1.8,"wall_seconds":0.21}
//   {"event":"end","step":150,"stop":"epochs","wall_seconds":2.1}
//
// JSON has no NaN and no infinities: they are written as "NaN", "Infinity" and "-Infinity". Needs
// nlohmann's JSON library when dualtape is built. One Trainer, one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <dualtape/models/callback.hpp>

namespace dualtape {

namespace detail {
class LogFile;
}

// step_seconds is what the compiled step took; wall_seconds counts from begin(), loading and
// callbacks included. Lines are written one by one, whole or not at all: a killed run leaves all
// but the last, a full disk all that had room.
class JsonLog final : public Callback {
 public:
  // Appends to the file; "begin" lines tell the runs apart. `every_steps` thins the step lines.
  // ValueError below 1; DataError names a file that cannot be opened, or, later, written.
  explicit JsonLog(std::filesystem::path path, std::int64_t every_steps = 1,
                   Location here = Location::current());
  ~JsonLog() override;

  void begin(Trainer& trainer, const StopRules& rules) override;
  bool step(Trainer& trainer, const StepInfo& info) override;
  bool epoch(Trainer& trainer, const EpochInfo& info) override;
  bool scalar(Trainer& trainer, const Scalar& scalar) override;
  void end(Trainer& trainer, const TrainResult& result) override;
  std::optional<Names> reports() const override { return Names(); }

 private:
  double wall() const;
  void write(const std::string& line);

  std::int64_t every_;
  std::unique_ptr<detail::LogFile> file_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double seconds_ = 0;  // of steps so far
};

}  // namespace dualtape
