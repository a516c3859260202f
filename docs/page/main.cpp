// Holds a page to the programs it shows, or writes what they have into it.
//   dualtape-page check|update PAGE [PROGRAM [FLAGS...]]
//   dualtape-page check|update PAGE --output FILE
// The program, if named, is run for the output blocks; FILE holds what a full run printed.
#include <sys/wait.h>

#include <algorithm>
#include <dualtape/core/error.hpp>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "common/files.hpp"
#include "common/page.hpp"
#include "common/process.hpp"

namespace fs = std::filesystem;
using namespace dualtape::docs;  // NOLINT(google-build-using-namespace)

namespace {

Sources sources_of(const fs::path& page, const std::vector<std::string>& command) {
  Sources sources;
  sources.program = [page](const std::string& path) {
    return read_file(page.parent_path() / path);
  };
  if (command.empty()) return sources;
  sources.has_output = true;
  if (command.size() == 2 && command[0] == "--output") {
    sources.sections = sections_of(read_file(command[1]));
    sources.full = true;
    return sources;
  }
  const Ended ended = run_program(command, fs::current_path(), Catch::output);
  if (ended.spawn_error != 0 || !WIFEXITED(ended.status) || WEXITSTATUS(ended.status) != 0)
    throw dualtape::DataError("'" + command[0] + "' failed:\n" + ended.messages);
  sources.sections = sections_of(ended.messages);
  sources.full = std::find(command.begin(), command.end(), "--quick") == command.end();
  return sources;
}

int work(bool update, const fs::path& page, const std::vector<std::string>& command) {
  const std::string text = read_file(page);
  Rewritten result = rewrite(text, sources_of(page, command));
  for (const std::string& picture : pictures_of(text)) {
    if (fs::exists(page.parent_path() / picture)) continue;
    result.problems.push_back("there is no picture " + picture);
    result.mended = false;
  }
  if (update && result.page != text) write_file(page, result.page);
  if (result.problems.empty() || (update && result.mended)) return 0;
  for (const std::string& problem : result.problems)
    std::cerr << page.string() << ": " << problem << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2 || (words[0] != "check" && words[0] != "update")) {
    std::cerr << "usage: dualtape-page check|update PAGE [PROGRAM [FLAGS...] | --output FILE]\n";
    return 2;
  }
  try {
    return work(words[0] == "update", words[1], {words.begin() + 2, words.end()});
  } catch (const std::exception& error) {
    std::cerr << words[1] << ": " << error.what() << "\n";
    return 1;
  }
}
