#include <dualtape/models/json_log.hpp>

#include <cmath>
#include <utility>

#include <dualtape/models/files/json.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/models/training/log_file.hpp>

namespace dualtape {

using detail::json_object;

namespace {

std::string text(std::string_view view) { return std::string(view); }

}  // namespace

JsonLog::JsonLog(std::filesystem::path path, std::int64_t every_steps, Location here)
    : every_(every_steps) {
  if (every_steps < 1)
    fail<ValueError>({.op = "JsonLog",
                      .what = "every_steps is " + std::to_string(every_steps),
                      .where = here,
                      .help = "1 writes every step"});
  json_object({});  // throws where there is no JSON, before a file is made
  file_ = std::make_unique<detail::LogFile>("JsonLog", std::move(path),
                                            detail::LogFile::Begin::append, here);
}
JsonLog::~JsonLog() = default;

double JsonLog::wall() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void JsonLog::write(const std::string& line) { file_->append(line + '\n'); }

void JsonLog::begin(Trainer& trainer, const StopRules&) {
  start_ = std::chrono::steady_clock::now();
  seconds_ = 0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  write(json_object({{"event", "begin"},
                     {"step", trainer.steps_done(Location{})},
                     {"unix_seconds", std::chrono::duration<double>(now).count()}}));
}

bool JsonLog::step(Trainer&, const StepInfo& info) {
  const double taken = info.seconds - std::exchange(seconds_, info.seconds);
  if (info.step % every_ != 0 && std::isfinite(info.loss)) return true;
  std::vector<std::pair<std::string, detail::JsonValue>> fields{
      {"event", "step"},   {"step", info.step},     {"epoch", info.epoch},   {"loss", info.loss},
      {"rate", info.rate}, {"step_seconds", taken}, {"wall_seconds", wall()}};
  if (!std::isnan(info.cosine)) fields.emplace_back("cosine", info.cosine);
  write(json_object(fields));
  return true;
}

bool JsonLog::epoch(Trainer&, const EpochInfo& info) {
  write(json_object({{"event", "epoch"},
                     {"step", info.step},
                     {"epoch", info.epoch},
                     {"loss", info.loss},
                     {"step_seconds", info.seconds},
                     {"wall_seconds", wall()}}));
  return true;
}

bool JsonLog::scalar(Trainer&, const Scalar& scalar) {
  write(json_object({{"event", "scalar"},
                     {"step", scalar.step},
                     {"epoch", scalar.epoch},
                     {"name", scalar.name},
                     {"value", scalar.value},
                     {"wall_seconds", wall()}}));
  return true;
}

void JsonLog::end(Trainer& trainer, const TrainResult& result) {
  std::vector<std::pair<std::string, detail::JsonValue>> fields{
      {"event", "end"},
      {"step", trainer.steps_done(Location{})},
      {"stop", text(name_of(result.stop))},
      {"step_seconds", result.seconds},
      {"wall_seconds", wall()}};
  if (!result.fault.empty()) fields.emplace_back("fault", result.fault);
  if (!result.stopped_by.empty()) fields.emplace_back("stopped_by", result.stopped_by);
  write(json_object(fields));
}

}  // namespace dualtape
