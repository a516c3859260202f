// What is asked of the numbers in CompileOptions, whoever takes them. Private; any thread.
#pragma once

#include <string>
#include <string_view>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/compile_options.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/core/machine/team.hpp>

namespace dualtape::detail {

// ValueError in the name of `function`.
inline void check_numbers(std::string_view function, const CompileOptions& options,
                          Location where) {
  if (options.threads < 0 || options.threads > most_threads)
    fail<ValueError>(
        {.op = function,
         .what = "a program cannot run on " + std::to_string(options.threads) + " threads",
         .where = where,
         .help = "give a number from 1 to " + std::to_string(most_threads) +
                 ", or 0 for num_threads()"});
  require_listed(function, "Precision", options.precision, 2, "dt::full or dt::bf16", where);
}

}  // namespace dualtape::detail
