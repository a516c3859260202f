// The download of data sets, from files of the test's own: checksums, mirrors, what is left when it
// fails, and what it says without a network.
#include <stdlib.h>  // setenv

#include <array>
#include <cstdio>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/data/paths.hpp>

#include "packed.hpp"

using namespace dualtape;
using namespace dualtape::testing;
namespace fs = std::filesystem;

namespace {

struct Ran {
  int status;
  std::string text;  // both streams
};

Ran run(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1 </dev/null").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> buffer{};
  while (const std::size_t got = fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), got);
  }
  return {pclose(pipe), text};
}

bool without_curl() {
  const bool missing = run("command -v curl").status != 0;
  if (missing) MESSAGE("[skipped] there is no curl");
  return missing;
}

// A cache and a table of sources of the test's own, in which files stand for the network.
struct Sandbox {
  TemporaryFolder folder;
  fs::path cache = folder.path() / "xdg" / "dualtape";

  std::string address(const std::string& name) const {
    return "file://" + (folder.path() / "net" / name).string();
  }
  std::string checksum(const std::string& kind, const std::string& name) const {
    const Ran sum = run(kind + "sum < '" + (folder.path() / "net" / name).string() + "'");
    return kind + ":" + sum.text.substr(0, sum.text.find(' '));
  }
  void publish(const std::string& name, const std::string& content) const {
    folder.write("net/" + name, content);
  }
  Ran fetch(const std::string& table, const std::string& names = "") const {
    const fs::path sources = folder.write("sources.txt", table);
    return run("XDG_CACHE_HOME='" + (folder.path() / "xdg").string() + "' DUALTAPE_SOURCES='" +
               sources.string() + "' '" DUALTAPE_SOURCE "/data/fetch.sh' " + names);
  }
  // Everything in the cache but folders, by path.
  std::set<std::string> cached() const {
    std::set<std::string> names;
    if (!fs::exists(cache)) return names;
    for (const auto& entry : fs::recursive_directory_iterator(cache)) {
      if (!entry.is_directory()) names.insert(fs::relative(entry.path(), cache).string());
    }
    return names;
  }
};

using Names = std::set<std::string>;

}  // namespace

TEST_CASE("files go where find_data looks, and are not fetched twice") {
  if (without_curl()) return;
  const Sandbox net;
  net.publish("a", "alpha");
  net.publish("b", "beta");
  const std::string table = "one one/a.gz " + net.checksum("sha256", "a") + " " + net.address("a") +
                            "\n# a comment\ntwo two/b " + net.checksum("md5", "b") + " " +
                            net.address("b") + "\n";
  CHECK(net.fetch(table, "two").status == 0);
  CHECK(net.cached() == Names{"two/b"});
  const Ran all = net.fetch(table);
  CHECK(all.status == 0);
  CHECK(has(all.text, "have     two/b"));
  CHECK(has(all.text, "fetching one/a.gz from file://"));
  CHECK(net.cached() == Names{"one/a.gz", "two/b"});
  CHECK(bytes_of_file(net.cache / "one/a.gz") == "alpha");
  // A file that was spoilt is fetched again.
  net.folder.write("xdg/dualtape/one/a.gz", "spoilt");
  CHECK(net.fetch(table, "one").status == 0);
  CHECK(bytes_of_file(net.cache / "one/a.gz") == "alpha");

  const Environment cache("XDG_CACHE_HOME", net.folder.path() / "xdg");
  CHECK(data_cache() == net.cache);
  CHECK(find_data("one/a.gz") == net.cache / "one/a.gz");
}

TEST_CASE("a wrong checksum: the next address, or an error and nothing left behind") {
  if (without_curl()) return;
  const Sandbox net;
  net.publish("good", "alpha");
  net.publish("bad", "evil");
  const std::string start =
      "one one/a " + net.checksum("sha256", "good") + " " + net.address("bad");
  const Ran alone = net.fetch(start + "\n");
  CHECK(alone.status != 0);
  CHECK(has(alone.text, "wrong checksum: expected " + net.checksum("sha256", "good") + ", got " +
                            net.checksum("sha256", "bad")));
  CHECK(net.cached().empty());
  // What was there before stays as it was.
  net.folder.write("xdg/dualtape/one/a", "older");
  CHECK(net.fetch(start + "\n").status != 0);
  CHECK(bytes_of_file(net.cache / "one/a") == "older");
  const Ran mirrored = net.fetch(start + " " + net.address("good") + "\n");
  CHECK(mirrored.status == 0);
  CHECK(bytes_of_file(net.cache / "one/a") == "alpha");
  CHECK(net.cached() == Names{"one/a"});
}

TEST_CASE("without a network: which files to put where") {
  if (without_curl()) return;
  const Sandbox net;
  const std::string gone = "file:///no/such/host/a.gz";
  const Ran offline =
      net.fetch("one one/a.gz sha256:0 " + gone + "\nfashion-mnist fashion-mnist/b md5:0 " + gone +
                " " + gone + "2\n");
  CHECK(offline.status != 0);
  CHECK(has(offline.text, "2 of the files could not be downloaded. Is there a network?"));
  CHECK(has(offline.text, "by hand into " + net.cache.string() + "\n"));
  CHECK(has(offline.text, "DUALTAPE_DATA"));
  CHECK(has(offline.text, "  one/a.gz  " + gone + "\n"));
  CHECK(has(offline.text, "  fashion-mnist/b  " + gone + " " + gone + "2\n"));
  CHECK(has(offline.text, "apt-get install dataset-fashion-mnist"));
  CHECK(net.cached().empty());
}

TEST_CASE("archives are unpacked whole or not at all") {
  if (without_curl()) return;
  const Sandbox net;
  net.publish("set/x.bin", "x");
  net.publish("set/y.bin", "y");
  const std::string there = (net.folder.path() / "net").string();
  REQUIRE(run("tar -C '" + there + "' -czf '" + there + "/set.tar.gz' set").status == 0);
  const std::string entry =
      " " + net.checksum("md5", "set.tar.gz") + " " + net.address("set.tar.gz");
  CHECK(net.fetch("one set/" + entry + "\n").status == 0);
  CHECK(net.cached() == Names{"set/.fetched", "set/x.bin", "set/y.bin"});
  CHECK(has(net.fetch("one set/" + entry + "\n").text, "have     set/"));
  const Ran other = net.fetch("one other/" + entry + "\n");
  CHECK(other.status != 0);
  CHECK(has(other.text, "does not unpack to other"));
  CHECK(net.cached() == Names{"set/.fetched", "set/x.bin", "set/y.bin"});
}

TEST_CASE("the table itself: HTTPS alone, whole checksums, the sets the library loads") {
  std::istringstream lines(bytes_of_file(DUALTAPE_SOURCE "/data/sources.txt"));
  std::string line;
  Names sets;
  while (std::getline(lines, line)) {
    if (line.empty() || line[0] == '#') continue;
    CAPTURE(line);
    std::istringstream words(line);
    std::string set, target, checksum, address;
    words >> set >> target >> checksum;
    sets.insert(set);
    const bool sha = checksum.starts_with("sha256:") && checksum.size() == 7 + 64;
    const bool md5 = checksum.starts_with("md5:") && checksum.size() == 4 + 32;
    CHECK((sha || md5));
    int addresses = 0;
    for (; words >> address; ++addresses) CHECK(address.starts_with("https://"));
    CHECK(addresses > 0);
  }
  CHECK(sets == Names{"cifar-10", "fashion-mnist", "kmnist", "mnist"});
  const Sandbox net;
  if (without_curl()) return;
  const Ran unknown = net.fetch("one a md5:0 file:///x\n", "two");
  CHECK(unknown.status != 0);
  CHECK(has(unknown.text, "no set 'two'; there are: one"));
  CHECK(has(net.fetch("one a md5:0 file:///x\n", "--help").text, "sets: one"));
}
