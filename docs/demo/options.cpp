#include "options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <ostream>

#include "common/text.hpp"
#include "config.hpp"

namespace dualtape::demo {
using namespace docs;  // NOLINT(google-build-using-namespace)
namespace {

constexpr const char* examples = R"(Examples:
  ./run demo                                    all three ways on the digits
  ./run demo --data iris --epochs 50            a smaller data set
  ./run demo --mode reverse --lr 0.05           backpropagation only
  ./run demo --mode forward --directions 1,4,64 forward gradients side by side
  ./run demo --config demo-report/config.toml   a former run again; other flags win
  ./run demo --graph mlp.dot                    and: dot -Tsvg mlp.dot -o mlp.svg)";

// Values as they stand on the command line, lists still as separate words.
struct Words {
  std::string data = "digits";
  std::vector<std::string> modes = {"all"};
  std::vector<std::string> directions = {"1", "16"};
  std::string epochs, steps, batch, lr, stop, graph;
  std::string decay = "cosine";
  std::string seed = "7";
  std::string out = "demo-report";
};

// The whole text as one number, or nothing. from_chars takes no blanks, plus signs or leftovers.
template <class T>
std::optional<T> whole_text_as(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (text.empty() || result.ec != std::errc() || result.ptr != end) return {};
  return value;
}

constexpr std::size_t largest_count = 1'000'000'000;

// Checks return what is wrong, or "" (CLI11's contract).
std::string positive_whole(const std::string& text) {
  const auto value = whole_text_as<std::size_t>(text);
  if (value && *value >= 1 && *value <= largest_count) return "";
  return "'" + text + "' is not a whole number from 1 to " + std::to_string(largest_count);
}

std::string positive_real(const std::string& text) {
  const auto value = whole_text_as<double>(text);
  if (value && std::isfinite(*value) && *value > 0) return "";
  return "'" + text + "' is not a positive number";
}

std::string decay_name(const std::string& text) {
  if (text == "cosine" || text == "none" || positive_real(text).empty()) return "";
  return "'" + text + "' is neither cosine nor none nor a positive number";
}

std::string seed_number(const std::string& text) {
  if (whole_text_as<std::uint64_t>(text)) return "";
  return "'" + text + "' is not a whole number from 0 to 18446744073709551615";
}

std::string not_empty(const std::string& text) { return text.empty() ? "the name is empty" : ""; }

CLI::Validator one_of(std::vector<std::string> names) {
  return {[names = std::move(names)](std::string& text) -> std::string {
            if (std::find(names.begin(), names.end(), text) != names.end()) return "";
            std::string known;
            for (std::size_t i = 0; i < names.size(); ++i) {
              known += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
            }
            const std::string near = closest(text, names);
            return "'" + text + "' is none of " + known +
                   (near.empty() ? "" : "; did you mean " + near + "?");
          },
          ""};
}

std::string real(double value) { return csv_number(value); }

std::string by_data(std::size_t digits, std::size_t iris) {
  return std::to_string(digits) + " for digits, " + std::to_string(iris) + " for iris";
}

std::string rates(const Defaults& d) {
  return real(d.reverse_lr) + " reverse, " + real(d.forward_lr) + " K^(3/4) forward";
}

void declare(CLI::App& app, Words& words) {
  const Defaults digits = defaults_of(DataSet::digits);
  const Defaults iris = defaults_of(DataSet::iris);

  const auto add = [&](const char* flag, auto& value, const char* type, const std::string& text,
                       const char* group) {
    return app.add_option(flag, value, text)->type_name(type)->group(group);
  };
  const char* what = "What is trained";
  add("--data", words.data, "NAME", "iris or digits [digits]", what)
      ->check(one_of({"iris", "digits"}));
  add("--epochs", words.epochs, "N",
      "passes over the training rows [" + by_data(digits.epochs, iris.epochs) + "]", what)
      ->check(positive_whole);
  add("--steps", words.steps, "N", "steps in all; with --epochs, whichever ends first", what)
      ->check(positive_whole);
  add("--stop", words.stop, "X", "ends after an epoch with a mean loss below X", what)
      ->check(positive_real);
  add("--batch", words.batch, "N", "rows in a step [" + by_data(digits.batch, iris.batch) + "]",
      what)
      ->check(positive_whole);
  add("--seed", words.seed, "N", "of parameters, shuffles and directions [7]", what)
      ->check(seed_number);

  const char* how = "How it is trained";
  add("--mode", words.modes, "NAME",
      "all, reverse (also backprop) or forward; several with commas\nor by repeating the flag "
      "[all]",
      how)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(one_of({"all", "reverse", "backprop", "forward"}));
  add("--directions", words.directions, "N",
      "random directions in a step of a forward gradient;\none training for each number [1,16]",
      how)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(positive_whole);
  add("--lr", words.lr, "X",
      "learning rate of every mode at the start\n[tuned for K directions; digits: " +
          rates(digits) + ";\niris: " + rates(iris) + "]",
      how)
      ->check(positive_real);

  add("--decay", words.decay, "NAME",
      "how the rate falls: cosine, half of one, to 0; none;\nor a number K, by e^(-K step) "
      "[cosine]",
      how)
      ->check(decay_name);

  const char* where = "What is written and read";
  add("--out", words.out, "DIR", "folder of the report, made where missing [demo-report]", where)
      ->check(not_empty);
  add("--graph", words.graph, "FILE", "the graph and its derivative program, for Graphviz", where)
      ->check(not_empty);
}

bool has(const std::vector<std::string>& words, const char* word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

double rate_of(const Defaults& defaults, Mode mode, std::size_t directions) {
  return mode == Mode::reverse ? defaults.reverse_lr : forward_rate(defaults, directions);
}

std::vector<Method> methods_of(const Words& words, const Defaults& defaults) {
  const bool all = has(words.modes, "all");
  std::vector<Method> methods;
  const auto add = [&](Mode mode, std::size_t directions) {
    const bool there = std::any_of(methods.begin(), methods.end(), [&](const Method& method) {
      return method.mode == mode && method.directions == directions;
    });
    if (there) return;
    const auto lr = whole_text_as<double>(words.lr);
    methods.push_back({mode, directions, lr ? *lr : rate_of(defaults, mode, directions)});
  };
  if (all || has(words.modes, "reverse") || has(words.modes, "backprop")) add(Mode::reverse, 0);
  if (all || has(words.modes, "forward")) {
    for (const std::string& count : words.directions) {
      add(Mode::forward, *whole_text_as<std::size_t>(count));
    }
  }
  return methods;
}

// The words have passed their checks, so every conversion succeeds.
Options options_of(const Words& words) {
  Options options;
  options.data = words.data == "iris" ? DataSet::iris : DataSet::digits;
  const Defaults defaults = defaults_of(options.data);
  options.methods = methods_of(words, defaults);
  options.steps = whole_text_as<std::size_t>(words.steps);
  options.epochs =
      whole_text_as<std::size_t>(words.epochs).value_or(options.steps ? 0 : defaults.epochs);
  options.stop_below = whole_text_as<double>(words.stop);
  if (words.decay != "cosine") options.decay = Decay::none;
  if (const auto k = whole_text_as<double>(words.decay)) {
    options.decay = Decay::natural;
    options.decay_k = *k;
  }
  options.batch = whole_text_as<std::size_t>(words.batch).value_or(defaults.batch);
  options.seed = *whole_text_as<std::uint64_t>(words.seed);
  options.out = words.out;
  if (!words.graph.empty()) options.graph = words.graph;
  return options;
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

std::string unknown_flag(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining();
  const std::string word = rest.empty() ? "" : rest.front().substr(0, rest.front().find('='));
  if (word.empty() || word.front() != '-') return "unexpected argument '" + word + "'";
  const std::string near = closest(word, flags_of(app));
  return "unknown flag " + word + (near.empty() ? "" : "; did you mean " + near + "?");
}

// CLI11 says "--epochs: 1 required N missing" and "--epochs: At Most 1 required but received 2".
std::string wrong_count(const std::string& text) {
  const bool many = text.find("received") != std::string::npos;
  return text.substr(0, text.find(':')) +
         (many ? ": given more than once" : ": a value is missing");
}

// Of a mistake in the file of --config: its name is told where the flag is not among the words.
std::string with_file(const CLI::App& app, const std::string& text, int argc,
                      const char* const* argv) {
  const auto file = app.count("--config") > 0 ? app["--config"]->results().front() : "";
  const std::string flag = text.substr(0, text.find(':'));
  const bool there = std::any_of(argv, argv + argc, [&](std::string_view word) {
    return word.substr(0, word.find('=')) == flag;
  });
  return file.empty() || there ? text : file + ": " + text;
}

// CLI11 says "INI was not able to parse epcohs" of a flag that does not exist.
std::string wrong_config(const CLI::App& app, const std::string& text) {
  const std::string unknown = "INI was not able to parse ";
  if (text.rfind(unknown, 0) != 0) return text;
  const std::string word = text.substr(unknown.size());
  const std::string near = closest("--" + word, flags_of(app));
  return "unknown setting '" + word + "'" +
         (near.empty() ? "" : "; did you mean " + near.substr(2) + "?");
}

// CLI11 leaves two blank lines between groups.
std::string help_text(const CLI::App& app) {
  std::string text = app.help();
  for (std::size_t at = 0; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
  return text;
}

Parsed mistake(std::string text, std::ostream& err) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  err << "demo: " << text << " (see --help)\n";
  return {{}, 2};
}

}  // namespace

Defaults defaults_of(DataSet data) {
  if (data == DataSet::iris) return {200, 16, 0.1, 0.02};
  return {500, 64, 0.1, 0.0015};
}

double forward_rate(const Defaults& defaults, std::size_t directions) {
  const double power = std::pow(static_cast<double>(directions), 0.75);
  return std::min(defaults.reverse_lr, defaults.forward_lr * power);
}

std::string Method::name() const {
  if (mode == Mode::reverse) return "reverse";
  return "forward, " + std::to_string(directions) +
         (directions == 1 ? " direction" : " directions");
}

std::string Options::data_name() const { return data == DataSet::iris ? "iris" : "digits"; }

bool Options::one_rate() const {
  return std::all_of(methods.begin(), methods.end(),
                     [&](const Method& method) { return method.lr == methods.front().lr; });
}

std::vector<std::pair<std::string, std::string>> Options::settings() const {
  std::string modes;
  std::string directions;
  for (const Method& method : methods) {
    const bool forward = method.mode == Mode::forward;
    const std::string mode = forward ? "forward" : "reverse";
    if (modes.find(mode) == std::string::npos) modes += (modes.empty() ? "" : ",") + mode;
    if (forward) {
      directions += (directions.empty() ? "" : ",") + std::to_string(method.directions);
    }
  }
  std::vector<std::pair<std::string, std::string>> all = {{"data", data_name()}, {"mode", modes}};
  if (!directions.empty()) all.emplace_back("directions", directions);
  if (epochs > 0) all.emplace_back("epochs", std::to_string(epochs));
  if (steps) all.emplace_back("steps", std::to_string(*steps));
  if (stop_below) all.emplace_back("stop", real(*stop_below));
  all.emplace_back("batch", std::to_string(batch));
  // Different rates are the defaults of the modes.
  if (one_rate() && !methods.empty()) all.emplace_back("lr", real(methods.front().lr));
  if (decay != Decay::cosine)
    all.emplace_back("decay", decay == Decay::none ? "none" : real(decay_k));
  all.emplace_back("seed", std::to_string(seed));
  return all;
}

std::string Options::command() const {
  std::string text = "./run demo";
  for (const auto& [flag, value] : settings()) {
    text += " --";
    text += flag;
    text += " ";
    text += value;
  }
  text += " --out " + shell_word(out);
  if (graph) text += " --graph " + shell_word(*graph);
  return text;
}

Parsed parse_options(int argc, const char* const* argv, std::string_view version, std::ostream& out,
                     std::ostream& err) {
  CLI::App app(
      "Trains one graph by backpropagation and by forward gradients, from bitwise equal\n"
      "starting parameters, and writes a report with tables and plots.",
      "./run demo");
  Words words;
  declare(app, words);
  app.set_help_flag("-h,--help", "this text")->group("Help");
  app.set_version_flag("--version", std::string(version), "the version of dualtape")->group("Help");
  app.set_config("--config", "",
                 "flags from a file, as lines like epochs = 20; those of the\n"
                 "command line win. A run leaves one: config.toml")
      ->type_name("FILE")
      ->group("What is written and read");
  app.config_formatter(std::make_shared<ConfigFile>());
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.footer(examples);
  app.get_formatter()->column_width(26);
  // Words left over are looked at below, so that the message can suggest a flag.
  app.allow_extras();

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    out << help_text(app);
    return {{}, 0};
  } catch (const CLI::CallForVersion&) {
    out << "dualtape " << version << "\n";
    return {{}, 0};
  } catch (const CLI::ArgumentMismatch& e) {
    return mistake(with_file(app, wrong_count(e.what()), argc, argv), err);
  } catch (const CLI::FileError&) {
    return mistake("--config: '" + app["--config"]->results().front() + "' cannot be read", err);
  } catch (const CLI::ConfigError& e) {
    return mistake(with_file(app, wrong_config(app, e.what()), argc, argv), err);
  } catch (const CLI::ParseError& e) {
    return mistake(with_file(app, e.what(), argc, argv), err);
  }
  if (!app.remaining().empty()) return mistake(unknown_flag(app), err);

  Options options = options_of(words);
  const bool forward = std::any_of(options.methods.begin(), options.methods.end(),
                                   [](const Method& m) { return m.mode == Mode::forward; });
  if (!forward && app.count("--directions") > 0) {
    return mistake("--directions: reverse mode has none; add --mode forward", err);
  }
  return {std::move(options), 0};
}

}  // namespace dualtape::demo
