// Runs another program and catches what it prints. May be called from several threads.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace dualtape::docs {

struct Ended {
  int spawn_error = 0;   // errno of a program that could not be started
  int status = 0;        // as waitpid gives it
  std::string messages;  // what was caught, in the order printed
};

enum class Catch {
  output_and_errors,
  output,  // errors go where this program's go
};

// Runs words[0], looked up in PATH, in `folder`, without a shell and without input.
Ended run_program(std::vector<std::string> words, const std::filesystem::path& folder,
                  Catch caught = Catch::output_and_errors);

}  // namespace dualtape::docs
