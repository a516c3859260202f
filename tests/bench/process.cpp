#include <tests/bench/process.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

namespace dualtape::bench {
namespace {

[[noreturn]] void become(const Launch& launch) {
  for (const auto& [name, value] : launch.environment) setenv(name.c_str(), value.c_str(), 1);
  if (launch.processor >= 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(launch.processor), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  std::vector<char*> arguments;
  for (const std::string& word : launch.command)
    arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

[[noreturn]] void fail_with_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

Process::Process(const Launch& launch) : name_(launch.command.front()) {
  int in[2], out[2];
  // Closed on exec, so that one program does not hold the other's pipe open.
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) fail_with_errno("pipe");
  pid_ = fork();
  if (pid_ < 0) fail_with_errno("fork");
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    become(launch);
  }
  close(in[0]);
  close(out[1]);
  to_ = fdopen(in[1], "w");
  from_ = fdopen(out[0], "r");
  std::signal(SIGPIPE, SIG_IGN);
}

Process::~Process() {
  std::fclose(to_);
  std::fclose(from_);
  waitpid(pid_, nullptr, 0);
}

nlohmann::json Process::ask(const std::string& line) {
  std::fprintf(to_, "%s\n", line.c_str());
  std::fflush(to_);
  std::string answer;
  for (int c = std::fgetc(from_); c != '\n'; c = std::fgetc(from_)) {
    if (c == EOF) throw std::runtime_error(name_ + " ended when asked: " + line);
    answer.push_back(static_cast<char>(c));
  }
  nlohmann::json parsed = nlohmann::json::parse(answer);
  if (parsed.contains("error"))
    throw std::runtime_error(name_ + ", asked " + line + ": " + parsed["error"].get<std::string>());
  return parsed;
}

}  // namespace dualtape::bench
