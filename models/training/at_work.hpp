// Guards what calls functions of the user's, such as fit(), from being called by these. One thread
// at a time.
#pragma once

#include <string>
#include <string_view>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

// GraphError where `function` is called while `work` of the same object runs.
inline void refuse_while(bool running, std::string_view work, std::string_view function,
                         Location where) {
  if (running)
    fail<GraphError>({.op = function,
                      .what = std::string(function) + "() is called from within its own " +
                              std::string(work) + "()",
                      .where = where,
                      .help = "return from the callback first"});
}

// That it runs, in `flag`; GraphError if it does already.
class AtWork {
 public:
  AtWork(bool& flag, std::string_view work, Location where) : flag_(flag) {
    refuse_while(flag, work, work, where);
    flag_ = true;
  }
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;
  ~AtWork() { flag_ = false; }

 private:
  bool& flag_;
};

}  // namespace dualtape::detail
