// Measured choices of libraries: remembered, kept in files, and without effect beyond rounding.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/ops/kernels/products/onednn.hpp>
#include <dualtape/ops/kernels/products/tune.hpp>
#include <dualtape/ops/matmul.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::detail::ProductChoice;
using dt::detail::ProductUse;
using dt::detail::TuneCache;

namespace {

constexpr std::array both{ProductChoice::openblas, ProductChoice::onednn};

// Measures by a list of times and counts how often it is asked.
struct Clock {
  std::vector<double> times;
  int asked = 0;
  TuneCache::Measure measure() {
    return [this](std::span<const ProductChoice>) {
      ++asked;
      return times;
    };
  }
};

// The path of a file that is not there, and goes with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name)
      : folder_(std::filesystem::temp_directory_path() /
                ("dualtape-tune-" + std::to_string(::getpid()) + "-" + name)) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~TemporaryFile() { std::filesystem::remove_all(folder_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  std::string path() const { return (folder_ / "choices").string(); }
  std::string text() const {
    std::ifstream in(path());
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  void write(const std::string& text) const { std::ofstream(path()) << text; }
  // Files in its folder, so that nothing is left beside it.
  std::size_t count() const {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      files += entry.exists() ? 1U : 0U;
    return files;
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace

TEST_CASE("the fastest candidate is chosen and remembered") {
  TuneCache cache("here");
  Clock clock{{2.0, 1.0}};
  CHECK(cache.choice("a", both, clock.measure()) == ProductChoice::onednn);
  CHECK(clock.asked == 1);
  clock.times = {1.0, 2.0};
  CHECK(cache.choice("a", both, clock.measure()) == ProductChoice::onednn);  // as known
  CHECK(clock.asked == 1);
  CHECK(cache.choice("b", both, clock.measure()) == ProductChoice::openblas);
  CHECK(clock.asked == 2);
}

TEST_CASE("a candidate that gains next to nothing does not displace the usual one") {
  TuneCache cache("here");
  Clock clock{{1.0, 0.98}};
  CHECK(cache.choice("a", both, clock.measure()) == ProductChoice::openblas);
  clock.times = {1.0, 0.96};
  CHECK(cache.choice("b", both, clock.measure()) == ProductChoice::onednn);
}

TEST_CASE("a single candidate needs no measurement") {
  TuneCache cache("here");
  Clock clock{{}};
  constexpr std::array one{ProductChoice::openblas};
  CHECK(cache.choice("a", one, clock.measure()) == ProductChoice::openblas);
  CHECK(clock.asked == 0);
}

TEST_CASE("what is known but cannot be had here is measured again") {
  TuneCache cache("here");
  Clock clock{{2.0, 1.0}};
  cache.choice("a", both, clock.measure());
  constexpr std::array others{ProductChoice::openblas, ProductChoice::onednn_prepared};
  CHECK(cache.choice("a", others, clock.measure()) == ProductChoice::onednn_prepared);
  CHECK(clock.asked == 2);
}

TEST_CASE("threads that want one key measure once, one at a time") {
  TuneCache cache("here");
  std::atomic<int> inside{0};
  std::atomic<int> asked{0};
  std::atomic<bool> alone{true};
  const auto measure = [&](std::span<const ProductChoice>) {
    if (++inside != 1) alone = false;
    ++asked;
    std::this_thread::yield();
    --inside;
    return std::vector{2.0, 1.0};
  };
  std::vector<std::thread> threads;
  std::array<bool, 4> good{};
  for (std::size_t t = 0; t < good.size(); ++t)
    threads.emplace_back([&, t] {
      good[t] = true;
      for (int i = 0; i < 50; ++i)
        good[t] &= cache.choice(std::to_string(i), both, measure) == ProductChoice::onednn;
    });
  for (std::thread& thread : threads) thread.join();
  for (const bool ok : good) CHECK(ok);
  CHECK(asked == 50);
  CHECK(alone);
}

TEST_CASE("choices are kept in a file and read by the next process") {
  const TemporaryFile file("kept");
  Clock clock{{2.0, 1.0}};
  {
    TuneCache first("here");
    first.choice("a", both, clock.measure(), file.path());
    clock.times = {1.0, 2.0};
    first.choice("b", both, clock.measure(), file.path());
    CHECK(first.complaints().empty());
  }
  CHECK(file.text() == "dualtape measured products, version 1\nhere\na: onednn\nb: openblas\n");
  CHECK(file.count() == 1);
  TuneCache second("here");
  CHECK(second.choice("a", both, clock.measure(), file.path()) == ProductChoice::onednn);
  CHECK(second.choice("b", both, clock.measure(), file.path()) == ProductChoice::openblas);
  CHECK(clock.asked == 2);
}

TEST_CASE("what other processes have written meanwhile stays in the file") {
  const TemporaryFile file("shared");
  Clock clock{{2.0, 1.0}};
  TuneCache first("here");
  TuneCache second("here");
  first.choice("a", both, clock.measure(), file.path());
  second.choice("a", both, clock.measure(), file.path());
  first.choice("b", both, clock.measure(), file.path());
  second.choice("c", both, clock.measure(), file.path());
  CHECK(file.text() ==
        "dualtape measured products, version 1\nhere\na: onednn\nb: onednn\nc: onednn\n");
}

TEST_CASE("an empty file is a new one") {
  const TemporaryFile file("empty");
  file.write("");
  Clock clock{{2.0, 1.0}};
  TuneCache cache("here");
  cache.choice("a", both, clock.measure(), file.path());
  CHECK(cache.complaints().empty());
  CHECK(file.text() == "dualtape measured products, version 1\nhere\na: onednn\n");
}

TEST_CASE("files of others and broken ones are named, passed over and left as they are") {
  const std::string head = "dualtape measured products, version 1\n";
  const std::array<std::array<std::string, 2>, 6> bad{{
      {"my thesis\n", "does not begin with"},
      {"dualtape measured products, version 2\nhere\na: onednn\n", "does not begin with"},
      {head + "there\na: onednn\n", "was measured on \"there\", and this is \"here\""},
      {head + "here\na: mkl\n", "line 3 is no"},
      {head + "here\na: onednn\nb openblas\n", "line 4 is no"},
      {head, "was measured on \"\""},
  }};
  for (const auto& [content, message] : bad) {
    const std::string& text = content;  // which CAPTURE can name
    CAPTURE(text);
    const TemporaryFile file("bad");
    file.write(text);
    Clock clock{{1.0, 2.0}};
    TuneCache cache("here");
    CHECK(cache.choice("a", both, clock.measure(), file.path()) == ProductChoice::openblas);
    CHECK(clock.asked == 1);  // nothing was taken from the file, not even good lines before
    cache.choice("c", both, clock.measure(), file.path());
    CHECK(cache.complaints().find(message) != std::string::npos);
    CHECK(cache.complaints().find(file.path()) != std::string::npos);
    CHECK(cache.complaints().find('\n') + 1 == cache.complaints().size());  // said once
    CHECK(file.text() == text);
    CHECK(file.count() == 1);
  }
}

TEST_CASE("a file that cannot be written is named, and choices are remembered all the same") {
  const TemporaryFile file("folder");
  Clock clock{{2.0, 1.0}};
  TuneCache cache("here");
  const std::string path = file.path() + "/nowhere";
  CHECK(cache.choice("a", both, clock.measure(), path) == ProductChoice::onednn);
  CHECK(cache.choice("a", both, clock.measure(), path) == ProductChoice::onednn);
  CHECK(clock.asked == 1);
  CHECK(cache.complaints().find("cannot be written") != std::string::npos);
}

TEST_CASE("what is no regular file is named, and neither read nor replaced") {
  const TemporaryFile file("pipe");
  REQUIRE(::mkfifo(file.path().c_str(), 0600) == 0);
  for (const std::string& path : {file.path(), std::string("/dev/full")}) {
    CAPTURE(path);
    Clock clock{{2.0, 1.0}};
    TuneCache cache("here");
    CHECK(cache.choice("a", both, clock.measure(), path) == ProductChoice::onednn);
    CHECK(cache.complaints().find("no regular file") != std::string::npos);
    CHECK(!std::filesystem::is_regular_file(path));
  }
  CHECK(std::filesystem::is_fifo(file.path()));
  CHECK(file.count() == 1);
}

TEST_CASE("a link to a file of choices stays a link, also where the file is not there yet") {
  const TemporaryFile file("link");
  const TemporaryFile target("target");
  const TemporaryFile between("between");
  std::filesystem::create_symlink(between.path(), file.path());
  std::filesystem::create_symlink(target.path(), between.path());
  Clock clock{{2.0, 1.0}};
  for (const char* key : {"a", "b"}) {
    TuneCache cache("here");
    cache.choice(key, both, clock.measure(), file.path());
    CHECK(cache.complaints().empty());
    CHECK(std::filesystem::is_symlink(file.path()));
    CHECK(std::filesystem::is_symlink(between.path()));
    CHECK(!std::filesystem::is_symlink(target.path()));
  }
  CHECK(target.text() == "dualtape measured products, version 1\nhere\na: onednn\nb: onednn\n");
  CHECK(target.count() == 1);
}

TEST_CASE("keys tell products apart, choices have names") {
  using dt::detail::tune_key;
  CHECK(tune_key({false, true, 64, 1024, 784}, ProductUse::assign) == "NT 64x784x1024 assign");
  CHECK(tune_key({true, false, 2, 3, 4}, ProductUse::add) == "TN 2x4x3 add");
  CHECK(tune_key({true, false, 2, 3, 4}, ProductUse::assign_many) == "TN 2x4x3 assign many");
  for (const auto choice :
       {ProductChoice::openblas, ProductChoice::onednn, ProductChoice::onednn_prepared})
    CHECK(dt::detail::choice_from(dt::detail::name_of(choice)) == choice);
  for (const char* text : {"", "mkl", "openblas "}) CHECK(!dt::detail::choice_from(text));
  for (const char* text : {"1", "yes", "on", "true"}) CHECK(dt::detail::tuning_wanted(text));
  for (const char* text : {"", "0", "no", "off", "false"}) CHECK(!dt::detail::tuning_wanted(text));
  const std::string said = dt::testing::error_of<dt::ValueError>(
      [] { static_cast<void>(dt::detail::tuning_wanted("sometimes")); });
  for (const char* part : {"DUALTAPE_TUNE]", "\"sometimes\"", "1, yes, on, true, 0"})
    CHECK(said.find(part) != std::string::npos);
  CHECK(!dt::detail::tuning_wanted(nullptr));
  CHECK(dt::detail::tuned_machine().find("OpenBLAS") != std::string::npos);
}

TEST_CASE("a tuned program computes the same to rounding, says so and fills its file") {
  const TemporaryFile file("program");
  dt::Graph g;
  const dt::Var a = g.input("a", {48, 136});
  const dt::Var b = g.input("b", {72, 136});
  const dt::Var narrow = g.input("narrow", {136, 1});
  const dt::Var pairs = g.input("pairs", {3, 8, 24});
  const std::vector<dt::Var> outputs{dt::matmul(a, b, {false, true}), dt::matmul(a, narrow),
                                     dt::matmul(pairs, pairs, {false, true})};
  dt::CompileOptions how;
  how.tune = true;
  how.tune_file = file.path();
  dt::Program usual = dt::compile(outputs);
  dt::Program tuned = dt::compile(outputs, {}, how);
  const auto values = [](std::uint64_t seed, const dt::Shape& shape) {
    return dt::uniform(dt::Key{seed}, shape, -1.0, 1.0);
  };
  const std::vector<dt::Feed> feeds{{a, values(1, a.shape())},
                                    {b, values(2, b.shape())},
                                    {narrow, values(3, narrow.shape())},
                                    {pairs, values(4, pairs.shape())}};
  const dt::Outputs expected = usual.run(feeds);
  const dt::Outputs found = tuned.run(feeds);
  for (const dt::Var& out : outputs) CHECK(dt::all_close(found[out], expected[out], 0, 2e-5));
  CHECK(usual.explain().find("measured") == std::string::npos);
  const std::string text = tuned.explain();
  if (!dt::detail::has_onednn()) return;  // then OpenBLAS has no rival
  CHECK(text.find("NT 48x136x72, measured") != std::string::npos);
  CHECK(text.find("NT 8x24x8 times 3, measured") != std::string::npos);
  CHECK(text.find("48x136x1, measured") == std::string::npos);  // no gemm
  CHECK(file.text().find("\nNT 48x136x72 assign: ") != std::string::npos);
  CHECK(file.text().find("\nNT 8x24x8 assign many: ") != std::string::npos);
  // The library a product was given is the one it keeps.
  const auto line = [](const std::string& all) {
    const auto end = all.find(" NT 48x136x72");
    return all.substr(all.rfind('\n', end) + 1, end - all.rfind('\n', end) - 1);
  };
  CHECK(line(dt::compile(outputs, {}, how).explain()) == line(text));
}
