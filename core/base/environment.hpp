// The complaint about an environment variable of the library's. Private; any thread may call it.
#pragma once

#include <string>
#include <string_view>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

// Throws ValueError: `variable` is `text`, but there is only `allowed`; `unset` is what follows
// where it is not set: "to have the last".
[[noreturn]] inline void refuse_environment(std::string_view variable, std::string_view text,
                                            const std::string& allowed, const std::string& unset) {
  fail<ValueError>({.op = variable,
                    .what = "the environment variable is \"" + std::string(text) +
                            "\", but here there is only: " + allowed,
                    .help = "set it to one of these, or unset it " + unset});
}

}  // namespace dualtape::detail
