// The demo's command line and its configuration file.
#include "../../docs/demo/options.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/data/temporary.hpp"

using namespace dualtape::demo;  // NOLINT(google-build-using-namespace)
using dualtape::testing::contains;
using dualtape::testing::TemporaryFolder;

namespace {

std::ptrdiff_t lines_in(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

struct Outcome {
  Parsed parsed;
  std::string out, err;
};

Outcome parse(std::vector<const char*> words) {
  words.insert(words.begin(), "demo");
  std::ostringstream out;
  std::ostringstream err;
  Parsed parsed = parse_options(static_cast<int>(words.size()), words.data(), "9.8.7", out, err);
  return {std::move(parsed), out.str(), err.str()};
}

}  // namespace

TEST_CASE("demo options: defaults train in three ways on the digits") {
  const Outcome got = parse({});
  REQUIRE(got.parsed.options);
  const Options& options = *got.parsed.options;
  CHECK(options.data == DataSet::digits);
  REQUIRE(options.methods.size() == 3);
  CHECK(options.methods[0].name() == "reverse");
  CHECK(options.methods[1].name() == "forward, 1 direction");
  CHECK(options.methods[2].name() == "forward, 16 directions");
  const Defaults defaults = defaults_of(DataSet::digits);
  CHECK(options.epochs == defaults.epochs);
  CHECK(options.batch == defaults.batch);
  CHECK(options.methods[0].lr == defaults.reverse_lr);
  CHECK(options.methods[1].lr == defaults.forward_lr);
  // 16^(3/4) is 8.
  CHECK(options.methods[2].lr == doctest::Approx(8 * defaults.forward_lr));
  CHECK(forward_rate(defaults, 1'000'000) == defaults.reverse_lr);
  CHECK_FALSE(options.graph);
  CHECK(got.err.empty());
}

TEST_CASE("demo options: lists, aliases and repeats") {
  const Outcome got = parse({"--data=iris",
                             "--mode",
                             "forward,backprop",
                             "--mode",
                             "forward",
                             "--directions",
                             "4,1",
                             "--directions",
                             "4",
                             "--lr",
                             "2e-3",
                             "--epochs",
                             "3",
                             "--batch",
                             "5",
                             "--seed",
                             "18446744073709551615",
                             "--out",
                             "a b",
                             "--graph",
                             "g.dot"});
  REQUIRE(got.parsed.options);
  const Options& options = *got.parsed.options;
  CHECK(options.data_name() == "iris");
  REQUIRE(options.methods.size() == 3);
  CHECK(options.methods[0].mode == Mode::reverse);
  CHECK(options.methods[1].directions == 4);
  CHECK(options.methods[2].directions == 1);
  for (const Method& method : options.methods) CHECK(method.lr == 0.002);
  CHECK(options.seed == std::numeric_limits<std::uint64_t>::max());
  CHECK(options.graph == "g.dot");
  CHECK(options.command() ==
        "./run demo --data iris --mode reverse,forward --directions 4,1 --epochs 3 --batch 5 "
        "--lr 0.002 --seed 18446744073709551615 --out 'a b' --graph g.dot");
}

TEST_CASE(
    "demo options: a configuration file gives what the same flags give, and gives way to them") {
  const TemporaryFolder folder;
  const char* const name = "run.toml";
  const std::string file = (folder.path() / name).string();
  folder.write(name,
               "# a run\n\ndata = \"iris\"\nmode = [\"forward\", 'reverse']  # both\n"
               "directions = [4, 1]\nepochs=3\nlr = 2e-3\ndecay = 0.001 # e^(-k step)\n"
               "stop = 0.25\nsteps = 40\nout = \"a #1, b\"\n");
  const Outcome from_file = parse({"--config", file.c_str(), "--epochs", "5"});
  CAPTURE(from_file.err);
  REQUIRE(from_file.parsed.options);
  const Options& options = *from_file.parsed.options;
  CHECK(options.epochs == 5);
  CHECK(options.steps == 40);
  CHECK(options.stop_below == 0.25);
  CHECK(options.decay == Decay::natural);
  CHECK(options.decay_k == 0.001);
  CHECK(options.out == "a #1, b");
  const Outcome from_flags = parse({"--data", "iris", "--mode", "forward,reverse", "--directions",
                                    "4,1", "--lr", "2e-3", "--decay", "0.001", "--stop", "0.25",
                                    "--steps", "40", "--epochs", "5", "--out", "a #1, b"});
  REQUIRE(from_flags.parsed.options);
  CHECK(from_flags.parsed.options->command() == options.command());
}

TEST_CASE("demo options: the file that a run leaves gives that run again") {
  const TemporaryFolder folder;
  const char* const name = "config.toml";
  const std::string file = (folder.path() / name).string();
  const std::vector<std::vector<const char*>> runs = {
      {},
      {"--data", "iris", "--lr", "0.1", "--mode", "reverse", "--steps", "7"},
      {"--mode", "forward", "--directions", "1,4,64", "--decay", "none", "--stop", "1e-5"},
      {"--directions", "3", "--mode", "forward", "--decay", "2e-06", "--batch", "9"},
      {"--seed", "18446744073709551615", "--out", "a 'b', c#d", "--graph", "say \"x\".dot"},
      {"--out", "[x]", "--graph", "1"},
      {"--out", "a=b", "--graph", "#"}};
  for (const auto& words : runs) {
    const Outcome first = parse(words);
    REQUIRE(first.parsed.options);
    const std::string text = first.parsed.options->config();
    folder.write(name, text);
    const Outcome again = parse({"--config", file.c_str()});
    CAPTURE(text);
    CAPTURE(again.err);
    REQUIRE(again.parsed.options);
    CHECK(again.parsed.options->command() == first.parsed.options->command());
    CHECK(again.parsed.options->config() == text);
  }
  // What the file cannot hold stands there as a comment, not as something else.
  const Outcome odd = parse({"--out", "a'b\"c"});
  CHECK(contains(odd.parsed.options->config(), "# out: "));
}

TEST_CASE("demo options: mistakes in a configuration file are one line that names the file") {
  const TemporaryFolder folder;
  const char* const name = "run.toml";
  const std::string file = (folder.path() / name).string();
  const std::vector<std::pair<std::string, std::string>> mistakes = {
      {"epochs = 0\n", "--epochs: '0' is not a whole number"},
      {"epochs = \n", "--epochs"},
      {"epochs\n", "--epochs: 'true' is not a whole number"},
      {"epochs = 1 2\n", "--epochs: given more than once"},
      {"epochs = 1\nepochs = 2\n", "--epochs: given more than once"},
      {"epochs = 1\nseed = 2\nepochs = 3\n", "'epochs' stands there twice"},
      {"epcohs = 3\n", "unknown setting 'epcohs'; did you mean epochs?"},
      {"[run]\nepochs = 3\n", "'run' is a section"},
      {"config = \"x\"\n", "config"},
      {"help = true\n", "help"},
      {"decay = \"fast\"\n", "--decay: 'fast' is neither cosine nor none"}};
  for (const auto& mistake : mistakes) {
    folder.write(name, mistake.first);
    const Outcome got = parse({"--config", file.c_str(), "--seed", "1"});
    CAPTURE(mistake.first);
    CAPTURE(got.err);
    CHECK_FALSE(got.parsed.options);
    CHECK(got.parsed.exit_code == 2);
    CHECK(contains(got.err, mistake.second));
    CHECK(contains(got.err, file));
    CHECK(lines_in(got.err) == 1);
  }
  folder.write(name, "epochs = 1\n");
  CHECK_FALSE(contains(parse({"--config", file.c_str(), "--epochs", "0"}).err, file));
  for (const std::string& none : {file + ".none", folder.path().string()})
    CHECK(contains(parse({"--config", none.c_str()}).err, "'" + none + "' cannot be read"));
}

TEST_CASE("demo options: every mistake is one line that names the flag, and code 2") {
  const std::vector<std::pair<std::vector<const char*>, std::string>> mistakes = {
      {{"--epochs", "0"}, "--epochs: '0' is not a whole number"},
      {{"--epochs", "1.5"}, "--epochs: '1.5'"},
      {{"--epochs", "99999999999999999999999"}, "--epochs: "},
      {{"--epochs"}, "--epochs: a value is missing"},
      {{"--epochs", "1", "--epochs", "2"}, "--epochs: given more than once"},
      {{"--batch", "-4"}, "--batch: '-4'"},
      {{"--lr", "0"}, "--lr: '0' is not a positive number"},
      {{"--lr", "nan"}, "--lr: 'nan'"},
      {{"--lr", "inf"}, "--lr: 'inf'"},
      {{"--lr", "0.1x"}, "--lr: '0.1x'"},
      {{"--seed", "-1"}, "--seed: '-1'"},
      {{"--steps", "0"}, "--steps: '0'"},
      {{"--stop", "-1"}, "--stop: '-1'"},
      {{"--decay", "0"}, "--decay: '0'"},
      {{"--config"}, "--config: a value is missing"},
      {{"--directions", "1,x"}, "--directions: 'x'"},
      {{"--directions", "0"}, "--directions: '0'"},
      {{"--directions", "4", "--mode", "reverse"}, "--directions: "},
      {{"--mode", "revers"}, "did you mean reverse?"},
      {{"--data", "mnist"}, "--data: 'mnist' is none of iris or digits"},
      {{"--out", ""}, "--out: "},
      {{"--epcohs", "3"}, "unknown flag --epcohs; did you mean --epochs?"},
      {{"--epcohs=3"}, "unknown flag --epcohs; did you mean --epochs?"},
      {{"--data", "a\nb"}, "--data: "},
      {{"file"}, "unexpected argument 'file'"},
  };
  for (const auto& mistake : mistakes) {
    const Outcome got = parse(mistake.first);
    const std::string& message = mistake.second;
    CAPTURE(message);
    CAPTURE(got.err);
    CHECK_FALSE(got.parsed.options);
    CHECK(got.parsed.exit_code == 2);
    CHECK(contains(got.err, message));
    CHECK(lines_in(got.err) == 1);
    CHECK(got.out.empty());
  }
}

TEST_CASE("demo options: help names every flag, version is the library's") {
  const Outcome help = parse({"--help"});
  CHECK_FALSE(help.parsed.options);
  CHECK(help.parsed.exit_code == 0);
  CHECK(help.err.empty());
  for (const char* flag : {"--data", "--mode", "--epochs", "--lr", "--batch", "--seed",
                           "--directions", "--out", "--graph", "--config", "--steps", "--stop",
                           "--decay", "--help", "--version", "Examples:"}) {
    CHECK(contains(help.out, flag));
  }
  std::istringstream text(help.out);
  for (std::string line; std::getline(text, line);) CHECK(line.size() <= 100);
  const Outcome version = parse({"--version"});
  CHECK(version.parsed.exit_code == 0);
  CHECK(version.out == "dualtape 9.8.7\n");
}
