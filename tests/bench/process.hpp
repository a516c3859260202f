// A program of the benchmark that runs beside this one and answers a line with a line.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace dualtape::bench {

struct Launch {
  std::vector<std::string> command;  // the program first
  std::vector<std::pair<std::string, std::string>> environment;
  int processor = -1;  // kept to that one, if not negative
};

class Process {
 public:
  explicit Process(const Launch& launch);  // std::system_error
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();  // ends its input and waits for it

  // Throws std::runtime_error if it ended or answered an error.
  nlohmann::json ask(const std::string& line);

 private:
  std::string name_;
  pid_t pid_ = -1;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
};

}  // namespace dualtape::bench
