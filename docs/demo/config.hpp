// Files of the demo's flags, for --config: CLI11's TOML, held to what a user means. Call from one
// thread.
#pragma once

#include <CLI/CLI.hpp>
#include <istream>
#include <vector>

namespace dualtape::demo {

// `flag = value` lines without sections. Beside what CLI11 refuses, a flag that stands twice is
// refused (CLI11 takes the first), and a # inside quotes is no comment. Throws CLI::ConfigError.
class ConfigFile : public CLI::ConfigBase {
 public:
  ConfigFile();
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
};

}  // namespace dualtape::demo
