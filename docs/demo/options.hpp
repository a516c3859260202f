// The command line of the demo. Call from one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dualtape::demo {

enum class DataSet { iris, digits };
enum class Mode { reverse, forward };
enum class Decay { cosine, none, natural };  // natural: e^(-k step)

// What is trained with where the user does not say. The rates are the first values of a cosine
// schedule, tuned once by hand for these epochs and batches: about half of what still converged
// with several seeds.
struct Defaults {
  std::size_t epochs;
  std::size_t batch;
  double reverse_lr;
  double forward_lr;  // with one direction; the estimate is noisy and wants small steps
};
Defaults defaults_of(DataSet data);
// The rate with that many directions: forward_lr * directions^(3/4), at most reverse_lr. The noise
// falls with the directions; the power is what was found to be stable from 1 to 128.
double forward_rate(const Defaults& defaults, std::size_t directions);

// One way of training.
struct Method {
  Mode mode = Mode::reverse;
  std::size_t directions = 0;  // averaged in each step; 0 in reverse mode
  double lr = 0;

  std::string name() const;  // "reverse", "forward, 1 direction", "forward, 16 directions"
};

struct Options {
  DataSet data = DataSet::digits;
  std::vector<Method> methods;  // in the order of the closing table
  std::size_t epochs = 0;       // 0: as many as `steps` needs
  std::optional<std::size_t> steps;
  std::optional<double> stop_below;  // an epoch's mean loss
  Decay decay = Decay::cosine;
  double decay_k = 0;  // of Decay::natural
  std::size_t batch = 0;
  std::uint64_t seed = 7;
  std::string out = "demo-report";
  std::optional<std::string> graph;  // Graphviz file to write

  std::string data_name() const;  // "iris", "digits"
  // A ./run line that repeats this run whatever the defaults become; quoted for a shell.
  std::string command() const;
  // The same as a file for --config.
  std::string config() const;
  // Flags without -- and their values, those of folders and files apart.
  std::vector<std::pair<std::string, std::string>> settings() const;
  bool one_rate() const;  // whether all methods have the same; a flag gives one rate only
};

// Either options, or the exit code of a program that has nothing more to do: 0 after --help and
// --version (written to `out`), 2 after a mistake (one line, written to `err`).
struct Parsed {
  std::optional<Options> options;
  int exit_code = 0;
};

Parsed parse_options(int argc, const char* const* argv, std::string_view version, std::ostream& out,
                     std::ostream& err);

}  // namespace dualtape::demo
